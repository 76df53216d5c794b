// A session, however the text is cut into steps, gives what the whole forward gives.
#include <gtest/gtest.h>

#include <algorithm>
#include <ostream>
#include <string>

#include "core/random.h"
#include "generate/small_models.h"
#include "models/drt/drt_config.h"
#include "models/sequence_batch.h"

namespace lookback {

// How GoogleTest shows a failed case's parameter.
static void PrintTo(const SmallModelCase& small, std::ostream* out) { *out << small.name; }

namespace {

constexpr double tolerance = 2e-4;

// Logits [N, T, V] of tokens [first, first + count) appended in one step.
at::Tensor append_logits(const Model& model, SequenceBatch& sequences, const at::Tensor& ids, std::int64_t first,
                         std::int64_t count) {
  return model.logits(sequences.append(ids.narrow(1, first, count)));
}

class SessionTest : public ::testing::TestWithParam<SmallModelCase> {
 protected:
  std::unique_ptr<Model> model_ = make_small_model(GetParam().config);
};

TEST_P(SessionTest, TestIsAbleToFail) {
  const at::Tensor ids = random_ids(model_->config(), 2, 120, 1);
  const at::Tensor logits = whole_logits(*model_, ids);
  // Logits depend on far more than the last token: another first half changes later ones well over the bound.
  at::Tensor other = ids.clone();
  other.narrow(1, 100, 4).copy_(random_ids(model_->config(), 2, 4, 2));
  const at::Tensor changed = whole_logits(*model_, other);
  EXPECT_LT(largest_difference(logits.narrow(1, 0, 100), changed.narrow(1, 0, 100)), tolerance);
  EXPECT_GT(largest_difference(logits.narrow(1, 105, 4), changed.narrow(1, 105, 4)), 100 * tolerance);
}

TEST_P(SessionTest, PrefixOfAnyLengthGivesTheSame) {
  const at::Tensor ids = random_ids(model_->config(), 1, 26, 3);
  const at::Tensor logits = whole_logits(*model_, ids);
  for (std::int64_t length = 1; length <= 26; ++length) {
    EXPECT_LT(largest_difference(whole_logits(*model_, ids.narrow(1, 0, length)), logits.narrow(1, 0, length)),
              tolerance)
        << length;
  }
}

TEST_P(SessionTest, TokenByTokenEqualsWholeForward) {
  for (const std::int64_t num_sequences : {1, 3}) {
    const at::Tensor ids = random_ids(model_->config(), num_sequences, 60, 4);
    const at::Tensor expected = whole_logits(*model_, ids);
    SequenceBatch sequences(*model_, num_sequences);
    for (std::int64_t i = 0; i < ids.size(1); ++i) {
      ASSERT_LT(largest_difference(append_logits(*model_, sequences, ids, i, 1), expected.narrow(1, i, 1)), tolerance)
          << "token " << i << " of " << num_sequences << " sequences";
    }
    EXPECT_EQ(sequences[0].num_tokens(), 60);
  }
}

TEST_P(SessionTest, RandomPiecesEqualWholeForward) {
  const at::Tensor ids = random_ids(model_->config(), 2, 120, 5);
  const at::Tensor expected = whole_logits(*model_, ids);
  Random random(6);
  for (int trial = 0; trial < 4; ++trial) {
    SequenceBatch sequences(*model_, 2);
    const std::uint64_t longest = trial % 2 == 0 ? 11 : 40;
    for (std::int64_t first = 0; first < ids.size(1);) {
      const std::int64_t count = std::min(ids.size(1) - first, 1 + static_cast<std::int64_t>(random.below(longest)));
      ASSERT_LT(
          largest_difference(append_logits(*model_, sequences, ids, first, count), expected.narrow(1, first, count)),
          tolerance)
          << "tokens " << first << " to " << first + count << ", trial " << trial;
      first += count;
    }
  }
}

// Prefill of ids [N, L] but the last `num_decode_steps` tokens, then decoding these.
void expect_prefill_equals(Model& model, const at::Tensor& ids, std::int64_t num_decode_steps,
                           std::int64_t segment_tokens) {
  const std::int64_t length = ids.size(1) - num_decode_steps;
  SCOPED_TRACE("prompt of " + std::to_string(length) + ", segments of " + std::to_string(segment_tokens));
  const at::Tensor expected = whole_logits(model, ids);
  SequenceBatch sequences(model, ids.size(0));
  const at::Tensor hidden = sequences.prefill(ids.narrow(1, 0, length), segment_tokens);
  EXPECT_EQ(sequences[0].num_tokens(), length);
  ASSERT_LT(largest_difference(model.logits(hidden), expected.narrow(1, length - 1, 1)), tolerance);
  for (std::int64_t i = length; i < ids.size(1); ++i) {
    ASSERT_LT(largest_difference(append_logits(model, sequences, ids, i, 1), expected.narrow(1, i, 1)), tolerance)
        << "token " << i;
  }
}

// Prompts of every length modulo the chunk size, shorter than a segment and long enough that prefill leaves
// out upper layers; decoding passes a chunk's end.
TEST_P(SessionTest, PrefillThenDecodingEqualsWholeForward) {
  constexpr std::int64_t num_decode_steps = 10;
  for (std::int64_t slot = 0; slot < 8; ++slot) {
    const std::int64_t num_sequences = slot % 2 + 1;
    const at::Tensor ids = random_ids(model_->config(), num_sequences, 136 + slot + num_decode_steps, 7);
    expect_prefill_equals(*model_, ids, num_decode_steps, slot < 4 ? 16 : 30);
    expect_prefill_equals(*model_, ids.narrow(1, 0, 1 + slot + num_decode_steps), num_decode_steps, 1000);
  }
}

// Prefill, decoding, and prefill again in the middle of a chunk, as a conversation does.
TEST_P(SessionTest, SecondPrefillContinues) {
  for (const std::int64_t first_length : {97, 104}) {
    const at::Tensor ids = random_ids(model_->config(), 2, 310, 8);
    const at::Tensor expected = whole_logits(*model_, ids);
    SequenceBatch sequences(*model_, 2);
    sequences.prefill(ids.narrow(1, 0, first_length), 16);
    append_logits(*model_, sequences, ids, first_length, 3);
    const std::int64_t second_begin = first_length + 3;
    for (const std::int64_t second_length : {4, 190}) {
      const std::int64_t begin = second_length == 4 ? second_begin : second_begin + 4;
      const at::Tensor hidden = sequences.prefill(ids.narrow(1, begin, second_length), 16);
      const std::int64_t end = begin + second_length;
      ASSERT_LT(largest_difference(model_->logits(hidden), expected.narrow(1, end - 1, 1)), tolerance)
          << first_length << " then " << second_length;
    }
    for (std::int64_t i = second_begin + 194; i < second_begin + 203; ++i) {
      ASSERT_LT(largest_difference(append_logits(*model_, sequences, ids, i, 1), expected.narrow(1, i, 1)), tolerance)
          << "token " << i << ", " << first_length;
    }
  }
}

TEST_P(SessionTest, MemoryGrowsByChunksAndWindowsDoNot) {
  std::vector<std::int64_t> window_bytes;
  std::vector<std::int64_t> memory_bytes;
  for (const std::int64_t length : {400, 800, 1600}) {
    SequenceBatch sequences(*model_, 1);
    sequences.prefill(random_ids(model_->config(), 1, length, 9), 64);
    window_bytes.push_back(sequences[0].window_bytes());
    memory_bytes.push_back(sequences[0].memory_bytes());
  }
  EXPECT_EQ(window_bytes[0], window_bytes[1]);
  EXPECT_EQ(window_bytes[1], window_bytes[2]);
  // Keys and values of S tokens (fewer when they are compressed) and a landmark a chunk, 4 bytes each; with landmark
  // attention in every layer.
  const ModelConfig& config = model_->config();
  std::int64_t chunk_bytes = 0;
  if (config.kind == "drt") chunk_bytes = 4 * (2 * config.chunk_size + 1) * config.hidden_size;
  if (config.kind == "drt" && config.own<DrtConfig>().term_scores) chunk_bytes += 4 * fed_terms;
  if (config.kind == "compressed-memory") chunk_bytes = 4 * (2 * config.chunk_vectors() + 1) * config.hidden_size;
  if (config.kind == "rpt") {
    const DrtConfig& own = config.own<DrtConfig>();
    const std::int64_t found_by = own.retriever == "encoder" ? config.hidden_size : own.retriever_size;
    chunk_bytes = 4 * (2 * config.chunk_size * config.hidden_size + found_by);
  }
  if (config.kind == "landmark") {
    chunk_bytes = 4 * (2 * config.chunk_size + 1) * config.num_layers * config.num_kv_heads * config.head_dim();
  }
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(memory_bytes[i], (400LL << i) / config.chunk_size * chunk_bytes);
  }
}

INSTANTIATE_TEST_SUITE_P(SmallModels, SessionTest, ::testing::ValuesIn(small_model_cases()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace lookback
