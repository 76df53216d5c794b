// What each SIMD level provides: cpu/level_<name>.cpp is compiled with that level's flags.
#pragma once

#include <cstdint>

#include "kernels/chunk_attention_params.h"
#include "kernels/chunk_readers.h"
#include "kernels/cross_entropy_params.h"
#include "kernels/joint_chunk_attention_params.h"
#include "kernels/landmark_attention_params.h"
#include "kernels/landmark_compression_params.h"
#include "kernels/landmark_scores_params.h"
#include "kernels/nearest_attention_params.h"
#include "kernels/rms_norm_params.h"
#include "kernels/rotary_params.h"
#include "kernels/silu_and_mul_params.h"
#include "kernels/simd_level.h"
#include "kernels/sliding_window_params.h"

namespace lookback::simd {

struct KernelTable {
  void (*chunk_attention_forward)(const ChunkAttentionParams&, std::int64_t first, std::int64_t last, float* scratch);
  void (*chunk_attention_decode)(const ChunkAttentionParams&, std::int64_t first, std::int64_t last, float* partials,
                                 float* scratch);
  void (*chunk_attention_sum_partials)(const ChunkAttentionParams&, std::int64_t first, std::int64_t last,
                                       const float* partials);
  void (*chunk_attention_backward_heads)(const ChunkAttentionParams&, const ChunkAttentionGradients&,
                                         std::int64_t first, std::int64_t last, float* scratch);
  void (*chunk_attention_backward_queries)(const ChunkAttentionParams&, const ChunkAttentionGradients&,
                                           std::int64_t first, std::int64_t last, float* scratch);
  void (*chunk_attention_backward_chunks)(const ChunkAttentionParams&, const ChunkAttentionGradients&,
                                          const ChunkReaders&, std::int64_t first, std::int64_t last, float* scratch);
  void (*joint_chunk_attention_forward)(const JointChunkAttentionParams&, std::int64_t first, std::int64_t last,
                                        float* scratch);
  void (*joint_chunk_attention_backward_heads)(const JointChunkAttentionParams&, const ChunkAttentionGradients&,
                                               std::int64_t first, std::int64_t last, float* scratch);
  void (*joint_chunk_attention_backward_queries)(const JointChunkAttentionParams&, const ChunkAttentionGradients&,
                                                 std::int64_t first, std::int64_t last, float* scratch);
  void (*joint_chunk_attention_backward_chunks)(const JointChunkAttentionParams&, const ChunkAttentionGradients&,
                                                const ChunkReaders&, std::int64_t first, std::int64_t last,
                                                float* scratch);
  void (*sliding_window_forward)(const SlidingWindowParams&, std::int64_t first, std::int64_t last, float* scratch);
  void (*sliding_window_backward_heads)(const SlidingWindowParams&, const SlidingWindowGradients&, std::int64_t first,
                                        std::int64_t last, float* scratch);
  void (*sliding_window_backward_queries)(const SlidingWindowParams&, const SlidingWindowGradients&, std::int64_t first,
                                          std::int64_t last, float* scratch);
  void (*sliding_window_backward_keys)(const SlidingWindowParams&, const SlidingWindowGradients&, std::int64_t first,
                                       std::int64_t last, float* scratch);
  void (*landmark_attention_forward)(const LandmarkAttentionParams&, std::int64_t first, std::int64_t last,
                                     float* scratch);
  void (*landmark_attention_backward_heads)(const LandmarkAttentionParams&, const LandmarkAttentionGradients&,
                                            std::int64_t first, std::int64_t last, float* scratch);
  void (*landmark_attention_backward_queries)(const LandmarkAttentionParams&, const LandmarkAttentionGradients&,
                                              std::int64_t first, std::int64_t last, float* scratch);
  void (*landmark_attention_backward_keys)(const LandmarkAttentionParams&, const LandmarkAttentionGradients&,
                                           std::int64_t first, std::int64_t last, float* scratch);
  void (*nearest_attention_forward)(const NearestAttentionParams&, std::int64_t first, std::int64_t last,
                                    float* scratch);
  void (*nearest_attention_backward)(const NearestAttentionParams&, const NearestAttentionGradients&,
                                     std::int64_t first, std::int64_t last, float* scratch);
  void (*rms_norm_forward)(const RmsNormParams&, std::int64_t first_row, std::int64_t last_row);
  void (*rms_norm_backward)(const RmsNormParams&, const RmsNormGradients&, std::int64_t first_block,
                            std::int64_t last_block);
  void (*silu_and_mul_forward)(const SiluAndMulParams&, float* output, std::int64_t first, std::int64_t last);
  void (*silu_and_mul_backward)(const SiluAndMulParams&, const SiluAndMulGradients&, std::int64_t first,
                                std::int64_t last);
  void (*rotary_rows)(const RotaryParams&, std::int64_t first, std::int64_t last);
  void (*cross_entropy_rows)(const CrossEntropyParams&, std::int64_t first, std::int64_t last);
  void (*compress_landmarks)(const LandmarkCompressionParams&, std::int64_t first, std::int64_t last);
  void (*landmark_scores)(const LandmarkScoresParams&, std::int64_t first, std::int64_t last, float* scratch);
};

extern const KernelTable portable_kernels;
extern const KernelTable avx2_kernels;  // these two on x86-64 only
extern const KernelTable avx512_kernels;

// The kernels of a level that this processor supports; cpu/x86/ or cpu/other/ has the list.
const KernelTable& kernels_of(SimdLevel level);

}  // namespace lookback::simd
