#include "eval/needle.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <string_view>
#include <utility>

#include "core/error.h"
#include "lookback/stop.h"
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

// Finds the passkey with its eyes.
class OracleSequence : public Sequence {
 public:
  OracleSequence(const Model& model, std::int64_t rank) : Sequence(model, at::TensorOptions(at::kFloat)), rank_(rank) {}

  void read(std::span<const std::int64_t> ids) { ids_.insert(ids_.end(), ids.begin(), ids.end()); }

  // The token of the answer that stands behind token `place` of the text, of which the first one asked for ends the
  // prompt.
  std::int64_t answer_index(std::int64_t place) {
    if (prompt_length_ == 0) {
      prompt_length_ = place + 1;
      const auto found = std::search(ids_.begin(), ids_.end(), words_before.begin(), words_before.end());
      begin_ = found - ids_.begin();
      const auto answer = found + static_cast<std::ptrdiff_t>(words_before.size());
      answer_.assign(answer, answer + 10);
    }
    return place + 1 - prompt_length_;
  }
  std::int64_t answer(std::int64_t index) const { return answer_.at(static_cast<std::size_t>(index)); }

  // The needle's first chunk has the rank asked for, of two that are retrieved.
  std::vector<Retrieval> current_retrievals() const override {
    const std::int64_t num_chunks = prompt_length_ / chunk_size;
    Retrieval retrieval{at::full({1, 1, num_chunks}, -1.0), {}, {}};
    at::Tensor scores = retrieval.scores[0][0];
    const std::int64_t chunk = begin_ / chunk_size;
    scores[chunk].fill_(0.0);
    for (std::int64_t better = 1; better < rank_; ++better) scores[(chunk + 5 + better) % num_chunks].fill_(1.0);
    retrieval.indices = std::get<1>(scores.topk(2)).view({1, 1, 2});
    return {retrieval};
  }

  std::unique_ptr<Sequence> fork() const override { return nullptr; }
  std::int64_t memory_bytes() const override { return 0; }
  std::int64_t window_bytes() const override { return 0; }

 protected:
  void save_state(NamedTensors&) const override {}
  void restore_state(StateReader&) override {}

 private:
  std::int64_t rank_;
  std::int64_t prompt_length_ = 0;
  std::int64_t begin_ = 0;
  std::vector<std::int64_t> ids_;
  std::vector<std::int64_t> answer_;
};

// `wrong_token`: one of the passkey's ten tokens that it gets wrong, or -1.
class Oracle : public Model {
 public:
  Oracle(std::int64_t wrong_token, std::int64_t rank)
      : Model(config(), at::kCPU, 0), wrong_token_(wrong_token), rank_(rank) {
    embedding_ = at::eye(vocab_size);
  }
  at::Tensor hidden_states(const at::Tensor&, const ForwardOptions&) const override { return {}; }
  std::unique_ptr<Sequence> new_sequence(at::ScalarType) const override {
    return std::make_unique<OracleSequence>(*this, rank_);
  }

 protected:
  at::Tensor advance(std::span<const Piece> pieces) const override {
    std::vector<at::Tensor> hidden = {at::zeros({0, vocab_size})};
    for (const Piece& piece : pieces) {
      auto& sequence = static_cast<OracleSequence&>(*piece.sequence);
      sequence.read(piece.ids);
      for (std::int64_t i = piece.first_wanted; i < std::ssize(piece.ids); ++i) {
        const std::int64_t index = sequence.answer_index(sequence.num_tokens() + i);
        const std::int64_t id = sequence.answer(index);
        hidden.push_back(at::zeros({1, vocab_size}));
        hidden.back()[0][index == wrong_token_ ? (id + 1) % 256 : id].fill_(1.0);
      }
    }
    return at::cat(hidden);
  }

 private:
  static ModelConfig config() {
    ModelConfig config = small_drt_config();
    config.vocab_size = vocab_size;
    config.landmark_id = vocab_size - 1;
    return config;
  }

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
    return evaluate_needles(model, tokenizer_, haystack_, config_, progress, stop_.token());
  }

  const Bytes tokenizer_;
  const std::vector<std::int64_t> haystack_ = {'s', 'o', 'm', 'e', ' ', 't', 'e', 'x', 't', '.', ' '};
  NeedleEvaluationConfig config_;
  StopSource stop_;
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

// Two samples of 2,000 tokens are asked side by side: the first is answered while the second is being read.
TEST_F(NeedleEvaluationTest, AnInterruptedOneKeepsWhatItHas) {
  Oracle model(-1, 1);
  config_.segment_tokens = 160;
  constexpr double done_before = 3 * 5 * 800;  // the shorter cells
  for (const auto& [done_then, num_answered] : {std::pair(1'800, 0), std::pair(2'400, 0), std::pair(3'800, 1)}) {
    stop_ = {};
    const NeedleEvaluation evaluation = evaluate(model, [&](double done, double total) {
      EXPECT_EQ(total, done_before + 3 * 5 * 2'000);
      if (done > done_before + done_then) stop_.request_stop();
    });
    EXPECT_FALSE(evaluation.complete);
    for (std::size_t cell = 0; cell < 3; ++cell) EXPECT_EQ(evaluation.cells[cell].num_samples, 5);
    EXPECT_EQ(evaluation.cells[3].num_samples, num_answered) << done_then;
    EXPECT_EQ(evaluation.cells[3].num_correct, num_answered) << done_then;
    EXPECT_EQ(evaluation.cells[5].num_samples, 0);
    EXPECT_TRUE(std::isnan(evaluation.cells[5].accuracy()));
    EXPECT_TRUE(to_json(evaluation, config_)["cells"][5]["accuracy"].is_null());
  }
}

TEST_F(NeedleEvaluationTest, RefusesLengthsWithoutRoomBeforeItBegins) {
  Oracle model(-1, 1);
  config_.lengths = {2'000, 80};
  EXPECT_THROW(evaluate(model, [](double, double) { throw std::logic_error("began"); }), Error);
}

}  // namespace
}  // namespace lookback
