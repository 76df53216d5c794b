#include "kernels/cpu/chunk_attention_backward.h"
#include "kernels/cpu/chunk_attention_decode.h"
#include "kernels/cpu/chunk_attention_forward.h"
#include "kernels/cpu/cross_entropy.h"
#include "kernels/cpu/joint_chunk_attention.h"
#include "kernels/cpu/kernel_table.h"
#include "kernels/cpu/landmark_attention_backward.h"
#include "kernels/cpu/landmark_attention_forward.h"
#include "kernels/cpu/landmark_compression.h"
#include "kernels/cpu/landmark_scores.h"
#include "kernels/cpu/nearest_attention.h"
#include "kernels/cpu/rms_norm.h"
#include "kernels/cpu/rotary.h"
#include "kernels/cpu/silu_and_mul.h"
#include "kernels/cpu/sliding_window_backward.h"
#include "kernels/cpu/sliding_window_forward.h"

namespace lookback::simd {
namespace {

struct Avx512 {
  static constexpr int width = 16;
  static constexpr int vectors = 4;
};

}  // namespace

const KernelTable avx512_kernels = {
    .chunk_attention_forward = chunk_attention_forward<Avx512>,
    .chunk_attention_decode = chunk_attention_decode<Avx512>,
    .chunk_attention_sum_partials = sum_partials<Avx512>,
    .chunk_attention_backward_heads = chunk_attention_backward_heads<Avx512>,
    .chunk_attention_backward_queries = chunk_attention_backward_queries<Avx512>,
    .chunk_attention_backward_chunks = chunk_attention_backward_chunks<Avx512>,
    .joint_chunk_attention_forward = joint_chunk_attention_forward<Avx512>,
    .joint_chunk_attention_backward_heads = joint_chunk_attention_backward_heads<Avx512>,
    .joint_chunk_attention_backward_queries = joint_chunk_attention_backward_queries<Avx512>,
    .joint_chunk_attention_backward_chunks = joint_chunk_attention_backward_chunks<Avx512>,
    .sliding_window_forward = sliding_window_forward<Avx512>,
    .sliding_window_backward_heads = sliding_window_backward_heads<Avx512>,
    .sliding_window_backward_queries = sliding_window_backward_queries<Avx512>,
    .sliding_window_backward_keys = sliding_window_backward_keys<Avx512>,
    .landmark_attention_forward = landmark_attention_forward<Avx512>,
    .landmark_attention_backward_heads = landmark_attention_backward_heads<Avx512>,
    .landmark_attention_backward_queries = landmark_attention_backward_queries<Avx512>,
    .landmark_attention_backward_keys = landmark_attention_backward_keys<Avx512>,
    .nearest_attention_forward = nearest_attention_forward<Avx512>,
    .nearest_attention_backward = nearest_attention_backward<Avx512>,
    .rms_norm_forward = rms_norm_forward<Avx512>,
    .rms_norm_backward = rms_norm_backward<Avx512>,
    .silu_and_mul_forward = silu_and_mul_forward<Avx512>,
    .silu_and_mul_backward = silu_and_mul_backward<Avx512>,
    .rotary_rows = rotary_rows<Avx512>,
    .cross_entropy_rows = cross_entropy_rows<Avx512>,
    .compress_landmarks = compress_landmarks<Avx512>,
    .landmark_scores = landmark_scores<Avx512>,
};

}  // namespace lookback::simd
