#include "train/validation.h"

#include <gmock/gmock.h>

#include <numeric>

#include "models/drt/drt_config.h"
#include "ops/landmark_attention.h"
#include "train/batch_loss.h"
#include "train/memory_meter.h"
#include "train/train_helpers.h"

namespace lookback {
namespace {

// Token i of the text is i.
TokenStream counting_text(std::int64_t num_tokens) {
  return {num_tokens, [num_tokens](std::int64_t begin, std::span<std::int64_t> out) {
            ASSERT_LE(begin + static_cast<std::int64_t>(out.size()), num_tokens);
            std::iota(out.begin(), out.end(), begin);
          }};
}

TEST(ValidationBatches, SpreadEvenlyFromTheBeginningToTheEnd) {
  const auto batches = validation_batches(counting_text(101), 10, 4, 3);
  ASSERT_EQ(batches.size(), 2U);
  EXPECT_EQ(batches[0].num_sequences, 3);
  EXPECT_EQ(batches[1].num_sequences, 1);
  EXPECT_EQ(batches[0].input_ids[0], 0);
  EXPECT_EQ(batches[0].input_ids[10], 30);
  EXPECT_EQ(batches[0].labels[10], 31);
  EXPECT_EQ(batches[1].input_ids[0], 90);
  EXPECT_EQ(batches[1].labels[9], 100);
}

TEST(ValidationBatches, ShortTexts) {
  const auto batches = validation_batches(counting_text(5), 10, 4, 3);
  ASSERT_EQ(batches.size(), 1U);
  EXPECT_THAT(batches[0].input_ids, testing::ElementsAre(0, 1, 2, 3));
  EXPECT_THAT(batches[0].labels, testing::ElementsAre(1, 2, 3, 4));
  EXPECT_EQ(validation_batches(counting_text(35), 10, 8, 8)[0].num_sequences, 3) << "windows do not overlap";
  EXPECT_THAT(error_of([] { validation_batches(counting_text(1), 10, 4, 3); }), testing::HasSubstr("has 1 token;"));
}

TEST(Validate, IsTheMeanOverAllLabelsWhateverTheBatches) {
  const auto model = make_model(tiny_drt(), at::kCPU, 1);
  const TokenStream text{100, [](std::int64_t begin, std::span<std::int64_t> out) {
                           for (std::size_t i = 0; i < out.size(); ++i)
                             out[i] = (begin + static_cast<std::int64_t>(i)) * 7 % 31;
                         }};
  const ValidationResult one = validate(*model, validation_batches(text, 20, 4, 1), at::kFloat);
  const ValidationResult many = validate(*model, validation_batches(text, 20, 4, 4), at::kFloat);
  EXPECT_EQ(one.num_tokens, 80);
  EXPECT_NEAR(one.loss, many.loss, 1e-6);
  ModelConfig silent = tiny_drt();
  EXPECT_NEAR(one.loss, std::log(silent.vocab_size), 0.1);
}

TEST(MemoryMeter, CountsThePeakNotTheSum) {
  const auto make = [](std::int64_t count) { return at::empty({count}, at::kFloat); };
  const std::int64_t peak = peak_tensor_bytes([&] {
    {
      const at::Tensor first = make(1000);
    }
    const at::Tensor second = make(500);
    const at::Tensor third = make(700);
  });
  EXPECT_EQ(peak, 1200 * 4);
}

// All scores of 4096 positions and two heads are 128 MiB; a group of blocks may have 32, in a few tensors at a time.
TEST(MemoryMeter, LandmarkAttentionHoldsTheScoresOfAFewBlocks) {
  const at::Tensor rows = at::ones({1, 4096, 2, 4});
  const std::int64_t peak = peak_tensor_bytes([&] { landmark_attention(rows, rows, rows, {64, 0, 0}); });
  EXPECT_LT(peak, std::int64_t{8} * 32 << 20);
}

TEST(MemoryMeter, SeesThatGradientCheckpointingHoldsLess) {
  ModelConfig config = tiny_drt();
  config.own<DrtConfig>().decoder_layers = {4, 4};
  const auto model = make_model(config, at::kCPU, 1);
  const std::vector<TokenBatch> batches = {RandomBatches(1, 400, 32, 1).next()};
  const auto peak = [&](bool checkpointing) {
    ForwardOptions options;
    options.gradient_checkpointing = checkpointing;
    model->parameters().zero_gradients();
    return peak_tensor_bytes([&] { accumulate_gradients(*model, batches, options); });
  };
  EXPECT_LT(peak(true), peak(false) / 2);
}

}  // namespace
}  // namespace lookback
