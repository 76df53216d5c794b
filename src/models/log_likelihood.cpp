#include "models/log_likelihood.h"

#include <algorithm>
#include <vector>

#include "core/error.h"
#include "models/device.h"

namespace lookback {
namespace {

constexpr std::int64_t max_block_bytes = std::int64_t{64} << 20U;

}  // namespace

at::Tensor log_likelihood(const Model& model, const at::Tensor& hidden, const at::Tensor& next_ids) {
  const std::int64_t row_bytes = model.config().vocab_size * static_cast<std::int64_t>(sizeof(float));
  const std::int64_t block_rows = std::max<std::int64_t>(1, max_block_bytes / row_bytes);
  std::vector<at::Tensor> blocks;
  for (std::int64_t first = 0; first < hidden.size(0); first += block_rows) {
    const std::int64_t count = std::min(block_rows, hidden.size(0) - first);
    const at::Tensor logits = model.logits(hidden.narrow(0, first, count));
    const at::Tensor ids = copy_to_device(next_ids.narrow(0, first, count), logits.device());
    const at::Tensor chosen = logits.gather(1, ids.unsqueeze(1)).squeeze(1);
    blocks.push_back((chosen - logits.logsumexp(1)).to(at::kCPU));
  }
  const at::Tensor result = at::cat(blocks);
  require(result.isfinite().all().item<bool>(), "the model's logits hold NaN or infinity: its weights are broken");
  return result;
}

}  // namespace lookback
