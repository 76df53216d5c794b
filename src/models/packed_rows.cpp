#include "models/packed_rows.h"

namespace lookback {

at::Tensor ids_tensor(std::span<const std::int64_t> ids) {
  return at::from_blob(const_cast<std::int64_t*>(ids.data()), {std::ssize(ids)}, at::kLong);
}

at::Tensor join_rows(const std::vector<at::Tensor>& matrices) {
  return matrices.size() == 1 ? matrices.front() : at::cat(matrices);
}

}  // namespace lookback
