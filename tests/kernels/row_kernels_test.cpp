// RMSNorm, silu(gate) * up and cross-entropy of rows, at every SIMD level, against their formulas in float64.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "kernels/cross_entropy.h"
#include "kernels/cross_entropy_twin.h"
#include "kernels/landmark_compression.h"
#include "kernels/landmark_scores.h"
#include "kernels/normal_numbers.h"
#include "kernels/rms_norm.h"
#include "kernels/silu_and_mul.h"
#include "kernels/sums.h"

namespace lookback {
namespace {

std::vector<float> normal_floats(std::int64_t count, std::uint64_t seed, float deviation = 1) {
  std::mt19937_64 random(seed);
  return normal_numbers(random, count, deviation);
}

class RowKernels : public testing::TestWithParam<SimdLevel> {};

INSTANTIATE_TEST_SUITE_P(Levels, RowKernels, testing::ValuesIn(supported_simd_levels()),
                         [](const auto& info) { return simd_level_name(info.param); });

void expect_rms_norm(SimdLevel level, std::int64_t rows, std::int64_t size) {
  SCOPED_TRACE(size_text("rows", rows) + size_text("size", size));
  constexpr float eps = 1e-3F;
  const std::vector<float> x = normal_floats(rows * size, 1);
  const std::vector<float> weight = normal_floats(size, 2);
  const std::vector<float> grad_output = normal_floats(rows * size, 3);
  const std::int64_t blocks = (rows + rms_norm_block_rows - 1) / rms_norm_block_rows;
  std::vector<float> output(rows * size, NAN), rstd(rows, NAN), grad_x(rows * size, NAN);
  std::vector<float> grad_weight(blocks * size, NAN);
  const RmsNormParams params{.num_rows = rows,
                             .size = size,
                             .eps = eps,
                             .x = x.data(),
                             .weight = weight.data(),
                             .output = output.data(),
                             .rstd = rstd.data()};
  const RmsNormGradients gradients{grad_output.data(), grad_x.data(), grad_weight.data()};
  // In two parts, as threads do it.
  rms_norm_forward(params, 0, rows / 3, level);
  rms_norm_forward(params, rows / 3, rows, level);
  rms_norm_backward(params, gradients, 0, blocks / 2, level);
  rms_norm_backward(params, gradients, blocks / 2, blocks, level);

  Sums expected(rows * size), expected_grad(rows * size), expected_weight(blocks * size);
  for (std::int64_t r = 0; r < rows; ++r) {
    double squares = 0, along = 0, along_magnitude = 0;
    for (std::int64_t i = 0; i < size; ++i) squares += std::pow(static_cast<double>(x[r * size + i]), 2);
    const double factor = 1 / std::sqrt(squares / static_cast<double>(size) + eps);
    for (std::int64_t i = 0; i < size; ++i) {
      const double term = static_cast<double>(grad_output[r * size + i]) * weight[i] * x[r * size + i];
      along += term;
      along_magnitude += std::abs(term);
    }
    for (std::int64_t i = 0; i < size; ++i) {
      const std::int64_t at = r * size + i;
      const double value = x[at] * factor * weight[i];
      expected.add(at, value, std::abs(value));
      const double first = static_cast<double>(grad_output[at]) * weight[i] * factor;
      const double second = x[at] * std::pow(factor, 3) / static_cast<double>(size);
      expected_grad.add(at, first - second * along, std::abs(first) + std::abs(second) * along_magnitude);
      const double share = grad_output[at] * x[at] * factor;
      expected_weight.add(r / rms_norm_block_rows * size + i, share, std::abs(share));
    }
  }
  const double sum_roundoff = unit_roundoff * static_cast<double>(size + 16);
  expect_within(output, expected, sum_roundoff, "output");
  expect_within(grad_x, expected_grad, 2 * sum_roundoff, "grad_x");
  expect_within(grad_weight, expected_weight, unit_roundoff * (rms_norm_block_rows + 16) + sum_roundoff, "grad_weight");
}

TEST_P(RowKernels, RmsNorm) {
  for (const std::int64_t size : {1, 7, 8, 32, 100, 256}) {
    for (const std::int64_t rows : {1, 64, 65, 200}) expect_rms_norm(GetParam(), rows, size);
  }
}

void expect_silu_and_mul(SimdLevel level, std::int64_t count, float deviation) {
  SCOPED_TRACE(size_text("count", count) + "deviation " + std::to_string(deviation));
  const std::vector<float> gate = normal_floats(count, 1, deviation);
  const std::vector<float> up = normal_floats(count, 2);
  const std::vector<float> grad_output = normal_floats(count, 3);
  std::vector<float> output(count, NAN), grad_gate(count, NAN), grad_up(count, NAN);
  const SiluAndMulParams params{gate.data(), up.data()};
  const SiluAndMulGradients gradients{grad_output.data(), grad_gate.data(), grad_up.data()};
  silu_and_mul_forward(params, output.data(), 0, count / 3, level);
  silu_and_mul_forward(params, output.data(), count / 3, count, level);
  silu_and_mul_backward(params, gradients, 0, count / 3, level);
  silu_and_mul_backward(params, gradients, count / 3, count, level);
  Sums expected(count), expected_gate(count), expected_up(count);
  for (std::int64_t i = 0; i < count; ++i) {
    const double x = gate[i];
    const double sigmoid = 1 / (1 + std::exp(-x));
    const double silu = x * sigmoid;
    expected.add(i, silu * up[i], std::abs(silu * up[i]));
    const double factor = static_cast<double>(grad_output[i]) * up[i] * sigmoid;
    expected_gate.add(i, factor * (1 + x * (1 - sigmoid)), std::abs(factor) * (1 + std::abs(x) * (1 - sigmoid)));
    expected_up.add(i, grad_output[i] * silu, std::abs(grad_output[i] * silu));
  }
  // exp's error of 4 and a handful of roundings; 1 - sigmoid, where sigmoid is near 1, is exact only to unit_roundoff.
  expect_within(output, expected, 12 * unit_roundoff, "output");
  expect_within(grad_up, expected_up, 12 * unit_roundoff, "grad_up");
  for (std::int64_t i = 0; i < count; ++i) expected_gate.magnitudes[i] *= 1 + std::abs(gate[i]);
  expect_within(grad_gate, expected_gate, 24 * unit_roundoff, "grad_gate");
}

TEST_P(RowKernels, SiluAndMul) {
  for (const std::int64_t count : {1, 7, 8, 16, 1000, 1003}) {
    expect_silu_and_mul(GetParam(), count, 1);
    expect_silu_and_mul(GetParam(), count, 60);  // beyond where exp vanishes
  }
}

void expect_cross_entropy(SimdLevel level, std::int64_t rows, std::int64_t classes, float deviation) {
  SCOPED_TRACE(size_text("rows", rows) + size_text("classes", classes) + "deviation " + std::to_string(deviation));
  const std::vector<float> logits = normal_floats(rows * classes, 1, deviation);
  const std::vector<float> factors = normal_floats(rows, 2);
  std::vector<std::int64_t> labels(rows);
  for (std::int64_t r = 0; r < rows; ++r) labels[r] = r % 5 == 3 ? -100 : r * 7919 % classes;
  std::vector<float> found = logits, used_up = logits;
  std::vector<float> losses(rows, NAN), losses_alone(rows, NAN);
  CrossEntropyParams params{.num_classes = classes,
                            .logits = found.data(),
                            .labels = labels.data(),
                            .losses = losses.data(),
                            .factors = factors.data()};
  cross_entropy_rows(params, 0, rows / 3, level);
  cross_entropy_rows(params, rows / 3, rows, level);
  params.logits = used_up.data();
  params.losses = losses_alone.data();
  params.factors = nullptr;
  cross_entropy_rows(params, 0, rows, level);
  EXPECT_EQ(losses, losses_alone);

  const CrossEntropyTwin twin = cross_entropy_twin(logits, labels, factors);
  const double sum_roundoff = unit_roundoff * static_cast<double>(classes + 16);
  expect_within(losses, twin.losses, sum_roundoff, "losses");
  expect_within(found, twin.gradients, sum_roundoff, "gradients");
}

TEST_P(RowKernels, CrossEntropy) {
  for (const std::int64_t classes : {1, 5, 8, 100, 513}) {
    for (const float deviation : {1.0F, 50.0F}) expect_cross_entropy(GetParam(), 11, classes, deviation);
  }
}

TEST_P(RowKernels, CrossEntropyOfNaNIsNaN) {
  for (std::int64_t place = 0; place < 40; ++place) {
    std::vector<float> logits(40, 1);
    logits[place] = NAN;
    const std::int64_t label = 3;
    float loss = 0;
    cross_entropy_rows({.num_classes = 40, .logits = logits.data(), .labels = &label, .losses = &loss}, 0, 1,
                       GetParam());
    EXPECT_TRUE(std::isnan(loss)) << place;
  }
}

// Elements and scales against the definition in float64; slack against the remainders of what was written.
TEST_P(RowKernels, LandmarkCompression) {
  constexpr std::int64_t num_landmarks = 23;
  for (const std::int64_t size : {1, 7, 16, 31, 64, 100, 256}) {
    SCOPED_TRACE(size_text("size", size));
    std::vector<float> landmarks = normal_floats(num_landmarks * size, 1, 40);
    std::fill_n(landmarks.begin() + 4 * size, size, 0.0F);
    landmarks[5 * size + size / 2] = -3e4F;
    std::vector<std::int8_t> elements(num_landmarks * size, 99);
    std::vector<float> scales(num_landmarks, NAN);
    std::vector<float> slack(num_landmarks, NAN);
    const LandmarkCompressionParams params{size, landmarks.data(), elements.data(), scales.data(), slack.data(), 3,
                                           0.5};
    compress_landmarks(params, 0, 10, GetParam());
    compress_landmarks(params, 10, num_landmarks, GetParam());
    for (std::int64_t e = 0; e < num_landmarks; ++e) {
      double largest = 0;
      double remainders = 0;
      double rounded = 0;
      for (std::int64_t i = e * size; i < (e + 1) * size; ++i) {
        const double stand_in = static_cast<double>(elements[i]) * scales[e];
        largest = std::max(largest, std::abs(static_cast<double>(landmarks[i])));
        remainders += (landmarks[i] - stand_in) * (landmarks[i] - stand_in);
        rounded += stand_in * stand_in;
        EXPECT_LE(std::abs(landmarks[i] - stand_in), 0.50001 * scales[e]) << e;
      }
      EXPECT_NEAR(scales[e], largest / 127, unit_roundoff * largest) << e;
      const double expected = 3 * std::sqrt(remainders) + 0.5 * std::sqrt(rounded);
      EXPECT_NEAR(slack[e], expected, unit_roundoff * static_cast<double>(size + 16) * expected) << e;
    }
  }
}

TEST_P(RowKernels, LandmarkScores) {
  for (const std::int64_t size : {1, 7, 16, 31, 64, 100, 256}) {
    for (const std::int64_t num_queries : {1, 3, 6}) {
      constexpr std::int64_t num_landmarks = 37;
      SCOPED_TRACE(size_text("size", size) + size_text("queries", num_queries));
      const std::vector<float> query = normal_floats(num_queries * size, 1);
      const std::vector<float> scales = normal_floats(num_landmarks, 2);
      std::vector<std::int8_t> elements;
      for (const float number : normal_floats(num_landmarks * size, 3, 60)) {
        elements.push_back(static_cast<std::int8_t>(std::clamp(std::round(number), -127.0F, 127.0F)));
      }
      std::vector<float> scores(num_queries * num_landmarks, NAN);
      const LandmarkScoresParams params{num_queries,     num_landmarks, size,         query.data(),
                                        elements.data(), scales.data(), scores.data()};
      std::vector<float> scratch(landmark_scores_scratch(params), NAN);
      landmark_scores(params, 0, 10, scratch.data(), GetParam());
      landmark_scores(params, 10, num_landmarks, scratch.data(), GetParam());
      Sums expected(num_queries * num_landmarks);
      for (std::int64_t c = 0; c < num_queries; ++c) {
        for (std::int64_t e = 0; e < num_landmarks; ++e) {
          for (std::int64_t i = 0; i < size; ++i) {
            const double term = static_cast<double>(scales[e]) * query[c * size + i] * elements[e * size + i];
            expected.add(c * num_landmarks + e, term, std::abs(term));
          }
        }
      }
      expect_within(scores, expected, unit_roundoff * static_cast<double>(size + 16), "scores");
    }
  }
}

}  // namespace
}  // namespace lookback
