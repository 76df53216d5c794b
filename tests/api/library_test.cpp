// The public headers against the folders below them and against the golden numbers. That programs can be built on what
// is installed is tests/api/installed_library_test.py's matter.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include "generate/generator.h"
#include "generate/inference_model.h"
#include "ingest/byte_model.h"
#include "lookback/lookback.h"
#include "lookback/torch.h"
#include "models/model_folder.h"
#include "nn/safetensors.h"
#include "text/tokenizer.h"

namespace lookback {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

const fs::path golden = fs::path(LOOKBACK_SOURCE_DIR) / "tests/fixtures/golden/drt-one-hop";

GenerateConfig greedy(std::int64_t max_new_tokens) {
  GenerateConfig config;
  config.sampling.greedy = true;
  config.stop.max_new_tokens = max_new_tokens;
  return config;
}

// The first `length` ids of the golden text.
std::vector<std::int64_t> golden_ids(std::int64_t length) {
  for (const auto& [name, tensor] : read_safetensors(golden / "expected.safetensors")) {
    if (name != "input_ids") continue;
    const auto* ids = tensor.const_data_ptr<std::int64_t>();
    return {ids, ids + length};
  }
  return {};
}

// What `call` throws, as its message.
template <typename Call>
std::string error_of(const Call& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return "nothing was thrown";
}

TEST(LanguageModel, ShowsTheWeightsOfItsFile) {
  const LanguageModel model(golden);
  const NamedTensors stored = read_safetensors(golden / "model.safetensors");
  EXPECT_EQ(model.weight_names().size(), stored.size());
  for (const auto& [name, tensor] : stored) {
    const TensorView view = model.weight(name);
    EXPECT_EQ(view.type, DataType::float32);
    EXPECT_TRUE(tensor_of(view).equal(tensor)) << name;
  }
  EXPECT_THAT(error_of([&] { model.weight("model.nothing"); }), HasSubstr("model.nothing"));
}

TEST(LanguageModel, WithoutTokenizerHasIdsOnly) {
  const LanguageModel model(golden);
  EXPECT_FALSE(model.has_tokenizer());
  EXPECT_EQ(model.vocab_size(), 320);
  EXPECT_EQ(model.decode(std::vector<std::int64_t>{1, 22, 3}), "1 22 3");
  EXPECT_THAT(error_of([&] { static_cast<void>(model.encode("words")); }), HasSubstr("drt-one-hop"));
  EXPECT_THAT(error_of([&] { Session(model).ask("words"); }), HasSubstr("drt-one-hop"));
  EXPECT_THAT(error_of([] { LanguageModel("no/such/folder"); }), HasSubstr("no/such/folder"));
  EXPECT_THAT(error_of([] { LanguageModel(golden, {.device = "abacus"}); }), HasSubstr("abacus"));
  EXPECT_THAT(error_of([&] { Memories(model, {golden / "config.json"}); }), HasSubstr("config.json"));
}

TEST(Session, ContinuesAsTheGeneratorDoes) {
  const LanguageModel model(golden);
  const std::vector<std::int64_t> prompt = golden_ids(200);
  const InferenceModel plain = load_inference_model(golden, at::kCPU, at::kFloat);
  const GenerateResult expected = generate(*plain.model, nullptr, prompt, greedy(70));
  Session session(model);
  const Answer answer = session.ask(prompt, greedy(70));
  EXPECT_EQ(answer.ids, expected.ids);
  EXPECT_EQ(session.ids().size(), 270U);
  EXPECT_THAT(error_of([&] { session.ask(std::vector<std::int64_t>{320}); }), HasSubstr("320"));
  EXPECT_EQ(session.ids().size(), 270U) << "an error at the door changes nothing";
}

TEST(Session, GoesOnFromItsFile) {
  const LanguageModel model(golden);
  const std::vector<std::int64_t> first = golden_ids(150);
  const std::vector<std::int64_t> second = {7, 8, 9};
  Session whole(model);
  whole.ask(first, greedy(20));
  const fs::path file = fs::path(testing::TempDir()) / "library_test.session";
  whole.save(file);
  const Answer expected = whole.ask(second, greedy(20));
  Session opened = Session::open(file, model);
  EXPECT_EQ(opened.ids().size(), 170U);
  EXPECT_EQ(opened.ask(second, greedy(20)).ids, expected.ids);
  const LanguageModel other(golden.parent_path() / "drt-two-hop");
  EXPECT_THAT(error_of([&] { Session::open(file, other); }), HasSubstr("library_test.session"));
  fs::remove(file);
}

TEST(Session, ExplainsByItsOwnText) {
  const LanguageModel model(golden);
  const std::vector<std::int64_t> prompt = golden_ids(300);
  GenerateConfig config = greedy(5);
  config.explain = true;
  Session session(model);
  const Answer answer = session.ask(prompt, config);
  ASSERT_FALSE(answer.retrieved.empty());
  ASSERT_FALSE(answer.retrieved.front().sources.empty());
  for (const Source& source : answer.retrieved.front().sources) {
    EXPECT_EQ(source.memory, "");
    EXPECT_EQ(source.text, model.decode(std::span(prompt).subspan(static_cast<std::size_t>(source.chunk) * 63, 63)));
  }
}

TEST(Session, StopsWhileItReads) {
  StopSource stop;
  GenerateListener listener;
  listener.stop = stop.token();
  listener.on_prompt_read = [&](std::int64_t) { stop.request_stop(); };
  GenerateConfig config = greedy(5);
  config.segment_tokens = 63;
  Session session{LanguageModel(golden)};
  EXPECT_THROW(session.ask(golden_ids(300), config, listener), Interrupted);
  EXPECT_EQ(session.num_read(), 63);
}

// A folder with a small model that reads bytes, in chunks of 8 tokens, and texts of 125 and 3 such chunks.
class BuildMemoryTest : public testing::Test {
 protected:
  void SetUp() override {
    fs::create_directories(folder_ / "texts");
    fs::create_directories(folder_ / "model");
    save_model(*make_model(byte_model_config(), at::kCPU, 5), folder_ / "model");
    load_tokenizer("bytes")->save(folder_ / "model");
    for (int i = 0; i < 1000; ++i) long_.push_back(static_cast<char>('a' + i * i % 23));
    std::ofstream(folder_ / "texts/long.txt") << long_;
    std::ofstream(folder_ / "texts/short.txt") << "A text of 24 characters.";
    config_.inputs = {folder_ / "texts"};
    config_.out = folder_ / "texts.memory";
    config_.segment_tokens = 64;
    config_.num_threads = 2;
  }
  void TearDown() override { fs::remove_all(folder_); }

  const fs::path folder_ = fs::path(testing::TempDir()) / ("build_memory_" + std::to_string(::getpid()));
  std::string long_;
  BuildMemoryConfig config_;
};

TEST_F(BuildMemoryTest, WhatWasReadIsRetrieved) {
  const LanguageModel model(folder_ / "model");
  const BuildMemoryResult result = build_memory(model, config_);
  EXPECT_FALSE(result.interrupted);
  EXPECT_EQ(result.num_documents, 2);
  EXPECT_EQ(result.num_tokens, 1024);
  const Memories memories(model, {config_.out});
  EXPECT_EQ(memories.num_chunks(), 128);
  GenerateConfig config = greedy(5);
  config.explain = true;
  std::size_t num_from_memory = 0;
  for (const RetrievedSources& retrieved : Session(model, memories).ask("Which characters?", config).retrieved) {
    for (const Source& source : retrieved.sources) {
      if (source.document != (folder_ / "texts/long.txt").string()) continue;
      EXPECT_EQ(source.text, long_.substr(source.text_begin, 8));
      EXPECT_EQ(source.text_begin, 8 * static_cast<std::uint64_t>(source.chunk));
      ++num_from_memory;
    }
  }
  EXPECT_GT(num_from_memory, 0U);
}

TEST_F(BuildMemoryTest, GoesOnWhereItWasStopped) {
  const LanguageModel model(folder_ / "model");
  StopSource stop;
  BuildMemoryListener listener;
  listener.stop = stop.token();
  listener.on_progress = [&](const BuildMemoryProgress& progress) {
    EXPECT_EQ(progress.disk_bytes_total, 1024);
    stop.request_stop();
  };
  const BuildMemoryResult stopped = build_memory(model, config_, listener);
  EXPECT_TRUE(stopped.interrupted);
  EXPECT_LT(stopped.num_tokens, 1024);
  const BuildMemoryResult rest = build_memory(model, config_);
  EXPECT_FALSE(rest.interrupted);
  EXPECT_EQ(stopped.num_tokens + rest.num_tokens, 1024);
  EXPECT_EQ(Memories(model, {config_.out}).num_chunks(), 128);
  const BuildMemoryResult again = build_memory(model, config_);
  EXPECT_EQ(again.num_known, 2);
  EXPECT_EQ(again.num_tokens, 0);
}

TEST_F(BuildMemoryTest, SettingsAreChecked) {
  const LanguageModel model(folder_ / "model");
  std::vector<std::string> skipped;
  BuildMemoryListener listener;
  listener.on_skipped = [&](const std::string& reason) { skipped.push_back(reason); };
  std::ofstream(folder_ / "texts/broken.jsonl") << "{\"text\": 1}\n";
  EXPECT_EQ(build_memory(model, config_, listener).num_skipped, 1);
  ASSERT_EQ(skipped.size(), 1U);
  EXPECT_THAT(skipped[0], HasSubstr("broken.jsonl:1: "));
  config_.strict = true;
  EXPECT_THAT(error_of([&] { build_memory(model, config_); }), HasSubstr("broken.jsonl:1: "));
  config_.num_threads = -1;
  EXPECT_THAT(error_of([&] { build_memory(model, config_); }), HasSubstr("num_threads -1"));
  config_.num_threads = 0;
  config_.elements = "float8";
  EXPECT_THAT(error_of([&] { build_memory(model, config_); }), HasSubstr("float8"));
  EXPECT_THAT(error_of([&] { build_memory(LanguageModel(golden), config_); }), HasSubstr("drt-one-hop"));
}

TEST(AskAll, IsAskOfEach) {
  const LanguageModel model(golden);
  const std::vector<std::vector<std::int64_t>> prompts = {golden_ids(90), golden_ids(10), golden_ids(200)};
  std::vector<std::vector<std::int64_t>> answers(prompts.size());
  ask_all(model, {}, prompts, greedy(8), 2, {}, [&](std::size_t i, const Answer& answer) { answers[i] = answer.ids; });
  for (std::size_t i = 0; i < prompts.size(); ++i) EXPECT_EQ(answers[i], Session(model).ask(prompts[i], greedy(8)).ids);
}

TEST(Score, IsThatOfTheWholeForward) {
  const LanguageModel model(golden);
  const std::vector<std::int64_t> ids = golden_ids(130);
  const Model& plain = *model.opened().model;
  const at::Tensor rows = at::tensor(ids, at::kLong).view({2, 65});
  const at::Tensor logits = plain.logits(plain.hidden_states(rows, {})).to(at::kDouble);
  const at::Tensor expected =
      at::log_softmax(logits.narrow(1, 0, 64), 2).gather(2, rows.narrow(1, 1, 64).unsqueeze(2)).squeeze(2);
  const at::Tensor columns = rows.t().contiguous();  // the same rows by other strides
  const std::vector<float> logprobs = score(model, view_of(columns.t()));
  for (std::int64_t n = 0; n < 2; ++n) {
    EXPECT_TRUE(std::isnan(logprobs[static_cast<std::size_t>(65 * n)]));
    for (std::int64_t i = 1; i < 65; ++i) {
      EXPECT_NEAR(logprobs[static_cast<std::size_t>(65 * n + i)], expected[n][i - 1].item<double>(), 1e-4);
    }
  }
  EXPECT_THAT(error_of([&] { score(model, view_of(at::zeros({2, 3}))); }), HasSubstr("int64"));
  EXPECT_THAT(error_of([&] { score(model, view_ids(std::vector<std::int64_t>{1, 319})); }), HasSubstr("319"));
}

TEST(Score, SummaryByHand) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const ScoreSummary summary = summarize_scores(std::vector<float>{nan, -1.0F, -3.0F});
  EXPECT_EQ(summary.num_scored, 2);
  EXPECT_DOUBLE_EQ(summary.total_nll, 4);
  EXPECT_DOUBLE_EQ(summary.mean_nll, 2);
  EXPECT_DOUBLE_EQ(summary.perplexity, std::exp(2.0));
  EXPECT_DOUBLE_EQ(bits_per_byte(summary, 8), 4 / std::log(2.0) / 8);
  EXPECT_TRUE(std::isnan(summarize_scores(std::vector<float>{nan}).perplexity));
}

TEST(StopReason, HasTheNameThatJsonShows) {
  EXPECT_EQ(stop_reason_name(StopReason::max_new_tokens), "max_new_tokens");
  EXPECT_EQ(stop_reason_name(StopReason::end_of_text), "end_of_text");
  EXPECT_EQ(stop_reason_name(StopReason::stop_string), "stop_string");
  EXPECT_EQ(stop_reason_name(StopReason::interrupted), "interrupted");
}

TEST(TensorView, KeepsStridesAndTypes) {
  const at::Tensor values = at::arange(12, at::kFloat).view({3, 4}).t();
  const TensorView view = view_of(values);
  EXPECT_EQ(view.shape, (std::vector<std::int64_t>{4, 3}));
  EXPECT_EQ(view.strides, (std::vector<std::int64_t>{1, 4}));
  EXPECT_TRUE(tensor_of(view).equal(values));
  EXPECT_TRUE(tensor_of(view_of(values.to(at::kBFloat16))).equal(values.to(at::kBFloat16)));
  EXPECT_EQ(view_rows(nullptr, DataType::int64, {2, 3, 4}).strides, (std::vector<std::int64_t>{12, 4, 1}));
  EXPECT_THAT(error_of([&] { view_of(values.to(at::kDouble)); }), HasSubstr("float32"));
}

TEST(Version, IsThatOfTheHeaders) { EXPECT_STREQ(library_version(), version); }

}  // namespace
}  // namespace lookback
