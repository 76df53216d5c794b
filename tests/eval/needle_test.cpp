#include "eval/needle.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <string_view>

#include "core/error.h"
#include "models/small_models.h"

namespace lookback {
namespace {

constexpr std::int64_t chunk_size = 40;
constexpr std::int64_t vocab_size = 258;

class Bytes : public Tokenizer {
 public:
  using Tokenizer::decode;
  using Tokenizer::encode;
  void encode(std::string_view text, std::vector<std::int32_t>& ids) const override {
    for (const char byte : text) ids.push_back(static_cast<unsigned char>(byte));
  }
  void decode(std::int32_t id, std::string& text) const override {
    if (id < 256) text += static_cast<char>(id);
  }
  std::int32_t vocab_size() const override { return 257; }
  std::int32_t end_of_text_id() const override { return 256; }
  std::string fingerprint() const override { return "0123456789abcdef"; }
  void save(const std::filesystem::path&) const override {}
};

// What a reader that looks for the words before the passkey would see.
constexpr std::string_view words_before = "|The passkey is:";

// Finds the passkey with its eyes. `wrong_token`: one of its ten tokens that it gets wrong, or -1.
class OracleSession : public Session {
 public:
  OracleSession(std::int64_t wrong_token, std::int64_t rank) : wrong_token_(wrong_token), rank_(rank) {}

  at::Tensor append(const at::Tensor& input_ids) override {
    const at::Tensor hidden = at::zeros({input_ids.size(0), input_ids.size(1), vocab_size});
    for (std::int64_t n = 0; n < input_ids.size(0); ++n) {
      for (std::int64_t t = 0; t < input_ids.size(1); ++t) set_answer(hidden, n, t, num_answered_ + t);
    }
    num_answered_ += input_ids.size(1);
    return hidden;
  }
  at::Tensor prefill(const at::Tensor& input_ids, const PrefillOptions& options) override {
    const at::Tensor hidden = at::zeros({input_ids.size(0), 1, vocab_size});
    for (std::int64_t n = 0; n < input_ids.size(0); ++n) {
      const auto* ids = input_ids[n].const_data_ptr<std::int64_t>();
      const auto* end = ids + input_ids.size(1);
      const auto* found = std::search(ids, end, words_before.begin(), words_before.end());
      begins_.push_back(found - ids);
      found += words_before.size();
      answers_.emplace_back(found, found + 10);
      set_answer(hidden, n, 0, 0);
    }
    num_chunks_ = input_ids.size(1) / chunk_size;
    num_answered_ = 1;
    if (options.on_progress && !options.on_progress(input_ids.size(1))) throw Error("interrupted");
    return hidden;
  }
  std::int64_t num_sequences() const override { return 1; }
  void select(const std::vector<std::int64_t>&) override {}
  NamedTensors state() const override { return {}; }
  void restore(const NamedTensors&) override {}
  std::int64_t num_tokens(std::int64_t) const override { return 0; }
  std::int64_t memory_bytes() const override { return 0; }
  std::int64_t window_bytes() const override { return 0; }

  // The needle's first chunk has the rank asked for, of two that are retrieved.
  std::vector<Retrieval> current_retrievals() const override {
    const auto batch = static_cast<std::int64_t>(answers_.size());
    Retrieval retrieval{at::full({batch, 1, num_chunks_}, -1.0), at::zeros({batch, 1, 2}, at::kLong), {}};
    for (std::int64_t n = 0; n < batch; ++n) {
      const std::int64_t chunk = begins_[static_cast<std::size_t>(n)] / chunk_size;
      at::Tensor scores = retrieval.scores[n][0];
      scores[chunk].fill_(0.0);
      for (std::int64_t better = 1; better < rank_; ++better) scores[(chunk + 5 + better) % num_chunks_].fill_(1.0);
      retrieval.indices[n][0].copy_(std::get<1>(scores.topk(2)));
    }
    return {retrieval};
  }

 private:
  void set_answer(const at::Tensor& hidden, std::int64_t n, std::int64_t t, std::int64_t index) const {
    const std::int64_t id = answers_[static_cast<std::size_t>(n)][static_cast<std::size_t>(index)];
    hidden[n][t][index == wrong_token_ ? (id + 1) % 256 : id].fill_(1.0);
  }

  std::int64_t wrong_token_;
  std::int64_t rank_;
  std::int64_t num_chunks_ = 0;
  std::int64_t num_answered_ = 0;
  std::vector<std::int64_t> begins_;
  std::vector<std::vector<std::int64_t>> answers_;
};

class Oracle : public Model {
 public:
  Oracle(std::int64_t wrong_token, std::int64_t rank)
      : Model(small_drt_config(), at::kCPU, 0), wrong_token_(wrong_token), rank_(rank) {
    embedding_ = at::eye(vocab_size);
  }
  at::Tensor hidden_states(const at::Tensor&, const ForwardOptions&) override { return {}; }
  std::unique_ptr<Session> new_session(std::int64_t, at::ScalarType) override {
    return std::make_unique<OracleSession>(wrong_token_, rank_);
  }

 private:
  std::int64_t wrong_token_;
  std::int64_t rank_;
};

class NeedleEvaluationTest : public testing::Test {
 protected:
  NeedleEvaluationTest() {
    config_.task = {.kind = NeedleKind::single, .chunk_size = chunk_size};
    config_.lengths = {800, 2'000};
    config_.depths = {0.0, 0.5, 1.0};
    config_.num_samples = 5;
    config_.seed = 9;
    config_.most_tokens_at_once = 4'000;
  }
  NeedleEvaluation evaluate(Model& model, const NeedleProgress& progress = {}) {
    return evaluate_needles(model, tokenizer_, haystack_, config_, progress);
  }

  const Bytes tokenizer_;
  const std::vector<std::int64_t> haystack_ = {'s', 'o', 'm', 'e', ' ', 't', 'e', 'x', 't', '.', ' '};
  NeedleEvaluationConfig config_;
};

TEST_F(NeedleEvaluationTest, WhoKnowsTheAnswerIsAlwaysRight) {
  Oracle model(-1, 1);
  const NeedleEvaluation evaluation = evaluate(model);
  EXPECT_TRUE(evaluation.complete);
  ASSERT_EQ(evaluation.cells.size(), 6U);
  for (const NeedleCell& cell : evaluation.cells) {
    EXPECT_EQ(cell.num_samples, 5);
    EXPECT_DOUBLE_EQ(cell.accuracy(), 1.0);
    ASSERT_EQ(cell.recall.size(), 1U);
    EXPECT_EQ(cell.recall[0][0].num_recalled, 5);
    EXPECT_DOUBLE_EQ(cell.recall[0][0].rank_sum, 5.0);
  }
  EXPECT_EQ(sum_of_length(evaluation, 800).num_correct, 15);
  EXPECT_EQ(sum_of_depth(evaluation, 0.5).num_samples, 10);
}

TEST_F(NeedleEvaluationTest, OneWrongTokenIsAWrongAnswer) {
  for (const std::int64_t wrong_token : {0, 1, 9}) {
    Oracle model(wrong_token, 1);
    for (const NeedleCell& cell : evaluate(model).cells) EXPECT_EQ(cell.num_correct, 0);
  }
}

TEST_F(NeedleEvaluationTest, RankCountsTheChunksBefore) {
  config_.depths = {0.0};  // away from the end, so that the better chunks are others than the needle's
  Oracle model(-1, 4);
  const NeedleEvaluation evaluation = evaluate(model);
  for (const NeedleCell& cell : evaluation.cells) {
    EXPECT_EQ(cell.recall[0][0].num_recalled, 0);
    EXPECT_DOUBLE_EQ(cell.recall[0][0].rank_sum, 4.0 * 5);
  }
  const Json json = to_json(evaluation, config_);
  EXPECT_DOUBLE_EQ(json["by_length"][0]["retrieval"][0][0]["mean_rank"].get<double>(), 4.0);
  EXPECT_DOUBLE_EQ(json["cells"][0]["accuracy"].get<double>(), 1.0);
  EXPECT_NEAR(json["cells"][0]["wilson_95"][0].get<double>(), wilson_interval(5, 5).low, 1e-12);
}

TEST_F(NeedleEvaluationTest, AnUntrainedModelIsAlwaysWrong) {
  for (const char* kind : {"drt", "sliding-window"}) {
    ModelConfig model_config = std::string_view(kind) == "drt" ? small_drt_config() : small_sliding_window_config();
    model_config.vocab_size = vocab_size;
    model_config.landmark_id = vocab_size - 1;
    model_config.chunk_size = chunk_size;
    const std::unique_ptr<Model> model = make_model(model_config, at::kCPU, 1);
    model->parameters().freeze(at::kFloat);
    config_.task.kind = NeedleKind::multi_hop;
    config_.lengths = {800};
    config_.depths = {0.5};
    for (const NeedleCell& cell : evaluate(*model).cells) {
      EXPECT_EQ(cell.num_correct, 0);
      // Two groups, two needles each.
      ASSERT_EQ(cell.recall.size(), model_config.kind == "drt" ? 2U : 0U);
      if (!cell.recall.empty()) {
        EXPECT_EQ(cell.recall[1].size(), 2U);
        EXPECT_GE(cell.recall[1][1].rank_sum, 5.0);
      }
    }
  }
}

TEST_F(NeedleEvaluationTest, ResultsDoNotDependOnWhatElseIsAsked) {
  ModelConfig model_config = small_drt_config();
  model_config.vocab_size = vocab_size;
  model_config.landmark_id = vocab_size - 1;
  model_config.chunk_size = chunk_size;
  const std::unique_ptr<Model> model = make_model(model_config, at::kCPU, 1);
  model->parameters().freeze(at::kFloat);
  config_.num_samples = 2;
  config_.depths = {0.0, 0.5};
  const NeedleEvaluation all = evaluate(*model);
  config_.lengths = {2'000};
  config_.depths = {0.5};
  config_.most_tokens_at_once = 1;
  const NeedleEvaluation one = evaluate(*model);
  EXPECT_DOUBLE_EQ(one.cells[0].recall[0][0].rank_sum, all.cells[3].recall[0][0].rank_sum);
  EXPECT_EQ(one.cells[0].recall[1][0].num_recalled, all.cells[3].recall[1][0].num_recalled);
}

TEST_F(NeedleEvaluationTest, AnInterruptedOneKeepsWhatItHas) {
  Oracle model(-1, 1);
  int calls = 0;
  const NeedleEvaluation evaluation = evaluate(model, [&](double, double) { return ++calls < 4; });
  EXPECT_FALSE(evaluation.complete);
  EXPECT_EQ(evaluation.cells[0].num_samples, 5);
  EXPECT_EQ(evaluation.cells[5].num_samples, 0);
  EXPECT_TRUE(std::isnan(evaluation.cells[5].accuracy()));
  EXPECT_TRUE(to_json(evaluation, config_)["cells"][5]["accuracy"].is_null());
}

TEST_F(NeedleEvaluationTest, RefusesLengthsWithoutRoomBeforeItBegins) {
  Oracle model(-1, 1);
  config_.lengths = {2'000, 80};
  EXPECT_THROW(evaluate(model, [](double, double) -> bool { throw std::logic_error("began"); }), Error);
}

}  // namespace
}  // namespace lookback
