// Questions asked of memory files against the whole forward with the same text's chunks before each question.
#include "eval/stored_needle.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "core/error.h"
#include "core/stop.h"
#include "data/needle_library.h"
#include "data/needle_sequence.h"
#include "models/fingerprint.h"
#include "models/small_models.h"

namespace lookback {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::ThrowsMessage;

constexpr std::int64_t chunk_size = 40;

class StoredNeedleTest : public testing::Test {
 protected:
  void SetUp() override {
    ModelConfig config = small_drt_config();
    config.vocab_size = 258;
    config.landmark_id = 257;
    config.chunk_size = chunk_size;
    opened_.model = make_model(config, at::kCPU, 5);
    opened_.model->parameters().freeze(at::kFloat);
    opened_.tokenizer = load_tokenizer("bytes");
    opened_.fingerprint = model_fingerprint(*opened_.model);
    Random random(1);
    const std::string text = make_sentences(4000, random);
    haystack_.assign(text.begin(), text.end());
    config_.lengths = {800, 2000};
    config_.num_parts = 3;
    config_.num_samples = 4;
    config_.num_needles = 6;
    config_.folder = folder_;
  }
  void TearDown() override { fs::remove_all(folder_); }

  const fs::path folder_ = fs::temp_directory_path() / ("lookback_stored" + std::to_string(::getpid()));
  InferenceModel opened_;
  std::vector<std::int64_t> haystack_;
  StoredNeedleConfig config_;
};

TEST_F(StoredNeedleTest, CountsWhatTheWholeForwardSays) {
  const StoredNeedleEvaluation evaluation = evaluate_stored_needles(opened_, haystack_, config_, {});
  ASSERT_EQ(evaluation.needles.cells.size(), 6U);
  std::vector<NeedleCell> expected(6);
  for (std::size_t i = 0; i < 2; ++i) {
    for (std::uint64_t text = 0; text < 2; ++text) {  // 4 samples in 3 parts take 2 texts of 6 needles
      Random random(config_.seed, static_cast<std::uint64_t>(config_.lengths[i]) * 1024U + text);
      const NeedleLibrary library = make_needle_library(
          haystack_, {.chunk_size = chunk_size, .length = config_.lengths[i], .num_needles = 6}, random);
      const at::Tensor ids = at::tensor(library.ids, at::kLong).unsqueeze(0);
      const EncodedChunks memory = opened_.model->read_chunks(ids, 0, at::kFloat);
      for (std::size_t q = 0; q < 6; ++q) {
        const NeedleSample& question = library.questions[q];
        NeedleCell& cell = expected[i * 3 + q / 2];
        std::vector<Retrieval> retrievals;
        ForwardOptions forward;
        forward.memory = &memory;
        forward.retrievals = &retrievals;
        std::vector<std::int64_t> all = question.prompt_ids;
        all.insert(all.end(), question.answer_ids.begin(), question.answer_ids.end() - 1);
        const at::Tensor logits =
            opened_.model->logits(opened_.model->hidden_states(at::tensor(all, at::kLong).unsqueeze(0), forward));
        const at::Tensor said = logits[0].narrow(0, logits.size(1) - 5, 5).argmax(-1);
        ++cell.num_samples;
        cell.num_correct += said.equal(at::tensor(question.answer_ids, at::kLong)) ? 1 : 0;
        cell.recall.resize(retrievals.size(), std::vector<NeedleRecall>(1));
        // The last whole chunk of the prompt asks, chunk 3.
        for (std::size_t g = 0; g < retrievals.size(); ++g) {
          const bool found = retrievals[g].indices[0][3].eq(question.needle_begins[0] / chunk_size).any().item<bool>();
          cell.recall[g][0].num_recalled += found ? 1 : 0;
        }
      }
    }
  }
  std::int64_t num_recalled = 0;
  for (std::size_t c = 0; c < 6; ++c) {
    const NeedleCell& cell = evaluation.needles.cells[c];
    EXPECT_EQ(cell.num_samples, expected[c].num_samples) << c;
    EXPECT_EQ(cell.num_correct, expected[c].num_correct) << c;
    ASSERT_EQ(cell.recall.size(), expected[c].recall.size());
    for (std::size_t g = 0; g < cell.recall.size(); ++g) {
      EXPECT_EQ(cell.recall[g][0].num_recalled, expected[c].recall[g][0].num_recalled) << c;
      num_recalled += cell.recall[g][0].num_recalled;
    }
  }
  EXPECT_GT(num_recalled, 0) << "else this test could not fail";
  EXPECT_EQ(evaluation.costs.at(0).tokens_stored, 2 * 800);
  EXPECT_EQ(evaluation.costs.at(1).tokens_read, 2 * 2000);
}

TEST_F(StoredNeedleTest, WhatIsThereIsNotReadAgain) {
  const StoredNeedleEvaluation first = evaluate_stored_needles(opened_, haystack_, config_, {});
  const StoredNeedleEvaluation second = evaluate_stored_needles(opened_, haystack_, config_, {});
  EXPECT_EQ(second.costs.at(1).tokens_read, 0);
  EXPECT_EQ(second.costs.at(1).file_bytes, first.costs.at(1).file_bytes);
  for (std::size_t c = 0; c < 6; ++c) {
    EXPECT_EQ(second.needles.cells[c].num_correct, first.needles.cells[c].num_correct);
  }
}

TEST_F(StoredNeedleTest, StopsAndGoesOn) {
  StopSource stop;
  int calls = 0;
  const auto stop_at_the_tenth = [&](const std::string&) {
    if (++calls == 10) stop.request_stop();
  };
  const StoredNeedleEvaluation stopped =
      evaluate_stored_needles(opened_, haystack_, config_, stop_at_the_tenth, stop.token());
  EXPECT_EQ(calls, 10);
  EXPECT_FALSE(stopped.needles.complete);
  EXPECT_TRUE(evaluate_stored_needles(opened_, haystack_, config_, {}).needles.complete);
}

TEST_F(StoredNeedleTest, BadInputIsNamed) {
  StoredNeedleConfig few = config_;
  few.num_needles = 2;
  EXPECT_THAT([&] { evaluate_stored_needles(opened_, haystack_, few, {}); },
              ThrowsMessage<Error>(HasSubstr("2 needles in 3 parts")));
  evaluate_stored_needles(opened_, haystack_, config_, {});
  haystack_.front() = 'X';
  std::ranges::reverse(haystack_);
  EXPECT_THAT([&] { evaluate_stored_needles(opened_, haystack_, config_, {}); },
              ThrowsMessage<Error>(HasSubstr("has changed since it was read")));
  opened_.tokenizer = nullptr;
  EXPECT_THROW(evaluate_stored_needles(opened_, haystack_, config_, {}), Error);
}

}  // namespace
}  // namespace lookback
