#include <algorithm>

#include "kernels/cuda/attention.h"
#include "kernels/cuda/sliding_window.h"

namespace lookback::cuda {
namespace {

// The passes over queries and over keys hold two tiles beside those that come and go; forward holds one.
template <int Dim>
constexpr int bytes_for =
    std::max({ChunkAttentionBackwardQueriesKernel<Bfloat16, Dim>::shared_bytes, backward_keys_shared_bytes<Dim>,
              SlidingWindowBackwardQueriesKernel<Bfloat16, Dim>::shared_bytes});

}  // namespace

int shared_bytes_needed(int head_dim) {
  if (head_dim <= 32) return bytes_for<32>;
  if (head_dim <= 64) return bytes_for<64>;
  if (head_dim <= 128) return bytes_for<128>;
  return bytes_for<256>;
}

}  // namespace lookback::cuda
