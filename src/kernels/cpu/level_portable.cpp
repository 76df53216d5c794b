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

struct Portable {
  static constexpr int width = 4;
  static constexpr int vectors = 2;
};

}  // namespace

const KernelTable portable_kernels = {
    .chunk_attention_forward = chunk_attention_forward<Portable>,
    .chunk_attention_decode = chunk_attention_decode<Portable>,
    .chunk_attention_sum_partials = sum_partials<Portable>,
    .chunk_attention_backward_heads = chunk_attention_backward_heads<Portable>,
    .chunk_attention_backward_queries = chunk_attention_backward_queries<Portable>,
    .chunk_attention_backward_chunks = chunk_attention_backward_chunks<Portable>,
    .joint_chunk_attention_forward = joint_chunk_attention_forward<Portable>,
    .joint_chunk_attention_backward_heads = joint_chunk_attention_backward_heads<Portable>,
    .joint_chunk_attention_backward_queries = joint_chunk_attention_backward_queries<Portable>,
    .joint_chunk_attention_backward_chunks = joint_chunk_attention_backward_chunks<Portable>,
    .sliding_window_forward = sliding_window_forward<Portable>,
    .sliding_window_backward_heads = sliding_window_backward_heads<Portable>,
    .sliding_window_backward_queries = sliding_window_backward_queries<Portable>,
    .sliding_window_backward_keys = sliding_window_backward_keys<Portable>,
    .landmark_attention_forward = landmark_attention_forward<Portable>,
    .landmark_attention_backward_heads = landmark_attention_backward_heads<Portable>,
    .landmark_attention_backward_queries = landmark_attention_backward_queries<Portable>,
    .landmark_attention_backward_keys = landmark_attention_backward_keys<Portable>,
    .nearest_attention_forward = nearest_attention_forward<Portable>,
    .nearest_attention_backward = nearest_attention_backward<Portable>,
    .rms_norm_forward = rms_norm_forward<Portable>,
    .rms_norm_backward = rms_norm_backward<Portable>,
    .silu_and_mul_forward = silu_and_mul_forward<Portable>,
    .silu_and_mul_backward = silu_and_mul_backward<Portable>,
    .rotary_rows = rotary_rows<Portable>,
    .cross_entropy_rows = cross_entropy_rows<Portable>,
    .compress_landmarks = compress_landmarks<Portable>,
    .landmark_scores = landmark_scores<Portable>,
};

}  // namespace lookback::simd
