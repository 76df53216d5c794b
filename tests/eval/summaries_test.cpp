#include "eval/summaries.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "core/error.h"
#include "core/files.h"
#include "core/stop.h"
#include "eval/rouge.h"
#include "ingest/byte_model.h"
#include "text/bytes_tokenizer.h"

namespace lookback {
namespace {

using testing::HasSubstr;
namespace fs = std::filesystem;

InferenceModel byte_model() {
  InferenceModel opened;
  opened.model = make_model(byte_model_config(), at::kCPU, 3);
  opened.model->parameters().freeze(at::kFloat);
  opened.tokenizer = std::make_unique<BytesTokenizer>();
  return opened;
}

// By generate itself, from prompts written by hand.
TEST(Summaries, ContinueTheCutDocumentAndSeparator) {
  const InferenceModel opened = byte_model();
  GenerateConfig config;
  config.sampling.greedy = true;
  config.stop.max_new_tokens = 6;
  const std::vector<SummaryPair> pairs = {{"0123456789", "first"}, {"ab", "second"}};
  const auto whole = predict_summaries(opened, pairs, 0, config, {});
  // 20 tokens less 6 new ones and the separator's 9: 5.
  const auto cut = predict_summaries(opened, pairs, 20, config, {});
  ASSERT_EQ(whole.size(), 2U);
  ASSERT_EQ(cut.size(), 2U);
  const auto expected = [&](const std::string& prompt) {
    const std::vector<std::int32_t> ids = opened.tokenizer->encode(prompt);
    return generate(*opened.model, opened.tokenizer.get(), {ids.begin(), ids.end()}, config).text;
  };
  EXPECT_EQ(whole[0].prediction, expected("0123456789\n\nTL;DR:\n"));
  EXPECT_EQ(cut[0].prediction, expected("01234\n\nTL;DR:\n"));
  EXPECT_NE(cut[0].prediction, whole[0].prediction);
  EXPECT_EQ(cut[1].prediction, whole[1].prediction);
  EXPECT_EQ(cut[1].summary, "second");
  StopSource stop;
  const auto stop_at_once = [&](std::size_t) { stop.request_stop(); };
  EXPECT_EQ(predict_summaries(opened, pairs, 0, config, stop_at_once, stop.token()).size(), 1U);
  EXPECT_THROW(predict_summaries(opened, pairs, 15, config, {}), Error);
}

TEST(Summaries, PredictionsComeBackFromTheirFile) {
  const fs::path path = fs::temp_directory_path() / ("lookback-summaries-" + std::to_string(::getpid()) + ".jsonl");
  const std::vector<SummaryPrediction> written = {{"a \"b\"\n", "\xe2\x80\x94"}, {"c", ""}};
  write_predictions(written, path);
  const std::vector<SummaryPrediction> read = read_predictions(path);
  ASSERT_EQ(read.size(), 2U);
  for (std::size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(read[i].summary, written[i].summary);
    EXPECT_EQ(read[i].prediction, written[i].prediction);
  }
  const auto error_of = [&](const std::string& content) -> std::string {
    write_file_atomic(path, content);
    try {
      read_predictions(path);
    } catch (const Error& error) {
      return error.what();
    }
    return "no Error was thrown";
  };
  EXPECT_THAT(error_of("{\"summary\": \"s\"}\n"), HasSubstr(path.string() + ", line 1: field \"prediction\""));
  EXPECT_THAT(error_of(""), HasSubstr(path.string()));
  // Blank lines count as lines only; nothing matches an empty reference.
  write_file_atomic(
      path, "{\"summary\": \"\", \"prediction\": \"p q\"}\n\n \r\n{\"summary\": \"p q\", \"prediction\": \"\"}\n");
  const std::vector<SummaryPrediction> empty = read_predictions(path);
  ASSERT_EQ(empty.size(), 2U);
  for (const SummaryPrediction& one : empty) {
    EXPECT_EQ(rouge_scores(one.summary, one.prediction), RougeScores{});  // as the package rouge-score 0.1.2 says
  }
  fs::remove(path);
}

}  // namespace
}  // namespace lookback
