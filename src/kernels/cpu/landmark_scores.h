// Scores of landmarks in 8 bits. Bytes become floats four to a 32-bit lane, by shifts, which takes fewer instructions
// than spreading them in their order; queries are put into that order instead, once.
#pragma once

#include "kernels/cpu/vectors.h"
#include "kernels/landmark_scores_params.h"

namespace lookback::simd {

// Element 4 l + k of each 4 Width goes to place k Width + l; the rest behind the last 4 Width stays.
template <int Width>
[[gnu::always_inline]] inline void order_by_byte(const float* query, std::int64_t size, float* ordered) {
  std::int64_t i = 0;
  for (; i + std::int64_t{4} * Width <= size; i += std::int64_t{4} * Width) {
    for (int k = 0; k < 4; ++k) {
      for (int l = 0; l < Width; ++l) ordered[i + first_lane<Width>(k) + l] = query[i + std::int64_t{4} * l + k];
    }
  }
  for (; i < size; ++i) ordered[i] = query[i];
}

// Byte k of each lane.
template <int Width>
[[gnu::always_inline]] inline Float<Width> bytes_of_lanes(Int<Width> lanes, int k) {
  return __builtin_convertvector((lanes << (24 - 8 * k)) >> 24, Float<Width>);
}

// Of NumQueries queries from first_query on, ordered by byte [C, d], and one landmark.
template <int Width, int NumQueries>
[[gnu::always_inline]] inline void score_landmark(const LandmarkScoresParams& params, const float* ordered,
                                                  std::int64_t first_query, std::int64_t landmark) {
  const std::int8_t* const elements = params.elements + landmark * params.size;
  const float* const queries = ordered + first_query * params.size;
  Float<Width> sums[NumQueries][2] = {};
  std::int64_t i = 0;
  for (; i + std::int64_t{4} * Width <= params.size; i += std::int64_t{4} * Width) {
    Int<Width> lanes;
    __builtin_memcpy(&lanes, elements + i, sizeof(lanes));
    for (int k = 0; k < 4; ++k) {
      const Float<Width> floats = bytes_of_lanes<Width>(lanes, k);
      for (int c = 0; c < NumQueries; ++c) {
        sums[c][k % 2] += load<Width>(queries + c * params.size + i + first_lane<Width>(k)) * floats;
      }
    }
  }
  for (int c = 0; c < NumQueries; ++c) {
    float sum = sum_lanes<Width>(sums[c][0] + sums[c][1]);
    for (std::int64_t j = i; j < params.size; ++j) {
      sum += queries[c * params.size + j] * static_cast<float>(elements[j]);
    }
    params.scores[(first_query + c) * params.num_landmarks + landmark] = params.scales[landmark] * sum;
  }
}

// scratch: as landmark_scores_scratch says.
template <class Level>
void landmark_scores(const LandmarkScoresParams& params, std::int64_t first, std::int64_t last, float* scratch) {
  constexpr int width = Level::width;
  for (std::int64_t c = 0; c < params.num_queries; ++c) {
    order_by_byte<width>(params.query + c * params.size, params.size, scratch + c * params.size);
  }
  for (std::int64_t e = first; e < last; ++e) {
    std::int64_t c = 0;
    for (; c + 4 <= params.num_queries; c += 4) score_landmark<width, 4>(params, scratch, c, e);
    for (; c < params.num_queries; ++c) score_landmark<width, 1>(params, scratch, c, e);
  }
}

}  // namespace lookback::simd
