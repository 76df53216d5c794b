#include "train/host_copy.h"

#include <c10/core/impl/VirtualGuardImpl.h>

namespace lookback {

HostCopy::HostCopy(const at::Tensor& values) : values_(values) {
  if (values.is_cpu()) return;
  // Into other memory than a pinned one, the copy would be waited for.
  values_ = at::empty(values.sizes(), at::TensorOptions(values.scalar_type()).pinned_memory(true));
  values_.copy_(values, /*non_blocking=*/true);
  const c10::impl::VirtualGuardImpl device(values.device().type());
  copied_.emplace(values.device().type());
  copied_->record(device.getStream(values.device()));
}

std::vector<double> HostCopy::read() const {
  if (copied_) copied_->synchronize();
  const double* const data = values_.const_data_ptr<double>();
  return {data, data + values_.numel()};
}

}  // namespace lookback
