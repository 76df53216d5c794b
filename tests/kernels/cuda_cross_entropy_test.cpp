// The GPU kernel of cross-entropy in an emulated block of threads, against the float64 twin.
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <random>

#include "kernels/cross_entropy_twin.h"
#include "kernels/cuda/cross_entropy_rows.h"
#include "kernels/emulated_attention.h"
#include "kernels/normal_numbers.h"

namespace lookback {
namespace {

constexpr std::int64_t num_rows = 6;

// Logits whose rows end in what belongs to no class and is larger than all of them.
template <class Half>
struct Call {
  std::int64_t stride;
  std::vector<float> logits, factors;
  std::vector<std::int64_t> labels;
  HalfArray rows;
  std::vector<float> losses;
  cuda::CrossEntropyRows params;

  Call(std::int64_t classes, std::int64_t padding, float deviation, std::uint64_t seed)
      : stride((classes + 7) / 8 * 8 + padding), labels(num_rows), rows(num_rows * stride), losses(num_rows, NAN) {
    std::mt19937_64 random(seed);
    logits = normal_numbers(random, num_rows * classes, deviation);
    factors = normal_numbers(random, num_rows);
    for (std::int64_t r = 0; r < num_rows; ++r) labels[r] = r == 3 ? -100 : r * 7919 % classes;
    const HalfArray rounded = round_to_half<Half>(logits);
    std::fill_n(rows.data(), rows.size(), HalfNumbers<Half>::bits(1000));
    for (std::int64_t r = 0; r < num_rows; ++r) {
      std::copy_n(rounded.data() + r * classes, classes, rows.data() + r * stride);
    }
    params = {.num_rows = num_rows,
              .num_classes = classes,
              .row_stride = stride,
              .logits = rows.data(),
              .labels = labels.data(),
              .losses = losses.data(),
              .factors = factors.data()};
  }

  void run(TurnOrder order) { run_emulated<cuda::CrossEntropyKernel<Half>>(num_rows, order, params); }
};

template <class Half>
void compare(std::int64_t classes, std::int64_t padding, float deviation, TurnOrder order = TurnOrder::ascending) {
  SCOPED_TRACE(size_text("classes", classes) + size_text("padding", padding) + HalfNumbers<Half>::name);
  Call<Half> call(classes, padding, deviation, static_cast<std::uint64_t>(classes));
  const CrossEntropyTwin twin = cross_entropy_twin(call.logits, call.labels, call.factors);

  // Losses alone leave the logits as they are.
  const std::vector<float> before = floats_of<Half>(call.rows);
  call.params.factors = nullptr;
  call.run(order);
  EXPECT_EQ(floats_of<Half>(call.rows), before);
  const std::vector<float> losses_alone = call.losses;

  call.params.factors = call.factors.data();
  call.run(order);
  EXPECT_EQ(call.losses, losses_alone);
  const double sum_roundoff = unit_roundoff * static_cast<double>(classes + 16);
  expect_within(call.losses, twin.losses, sum_roundoff, "losses");
  const std::vector<float> found = floats_of<Half>(call.rows);
  std::vector<float> gradients;
  for (std::int64_t r = 0; r < num_rows; ++r) {
    const auto row = found.begin() + r * call.stride;
    gradients.insert(gradients.end(), row, row + classes);
    EXPECT_TRUE(std::all_of(row + classes, row + call.stride, [](float behind) { return behind == 0; })) << r;
  }
  expect_within(gradients, twin.gradients, HalfNumbers<Half>::unit_roundoff + sum_roundoff, "gradients",
                1e-30 + HalfNumbers<Half>::smallest);
}

// 1,024 classes: each of the 128 threads reads 8.
TEST(CudaCrossEntropy, AgreesWithTheFloat64Twin) {
  for (const std::int64_t classes : {1, 5, 8, 100, 1023, 1024, 1025, 3000}) {
    compare<cuda::Bfloat16>(classes, 0, 1);
    compare<cuda::Float16>(classes, 56, 50, TurnOrder::descending);
  }
}

TEST(CudaCrossEntropy, ImpossibleClassesHaveNoProbability) {
  Call<cuda::Bfloat16> call(40, 0, 1, 1);
  const std::uint16_t minus_infinity = HalfNumbers<cuda::Bfloat16>::bits(-std::numeric_limits<float>::infinity());
  // A thread's eight, and some of another's.
  std::fill_n(call.rows.data(), 10, minus_infinity);
  call.labels[0] = 20;
  call.run(TurnOrder::ascending);
  const std::vector<float> gradients = floats_of<cuda::Bfloat16>(call.rows);
  for (int i = 0; i < 10; ++i) EXPECT_EQ(gradients[i], 0) << i;
  EXPECT_TRUE(std::isfinite(call.losses[0]));
}

TEST(CudaCrossEntropy, NotANumberIsNotLost) {
  Call<cuda::Bfloat16> call(2000, 0, 1, 1);
  call.rows.data()[1234] = 0x7fff;
  call.run(TurnOrder::ascending);
  EXPECT_TRUE(std::isnan(call.losses[0]));
  EXPECT_FALSE(std::isnan(call.losses[1]));
}

TEST(CudaCrossEntropy, LabelsOutOfRangeEndIt) {
  for (const std::int64_t label : {-1, 40}) {
    Call<cuda::Float16> call(40, 8, 1, 1);
    call.labels[2] = label;
    EXPECT_THROW(call.run(TurnOrder::ascending), std::logic_error) << label;
  }
}

}  // namespace
}  // namespace lookback
