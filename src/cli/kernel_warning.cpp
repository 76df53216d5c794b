#include "cli/kernel_warning.h"

#include <string>

#include "core/standard_streams.h"
#include "ops/missing_kernels.h"

namespace lookback {

void print_warning(const std::string& what) { print_message("warning: {}\n", what); }

void warn_of_missing_kernels(at::Device device, at::ScalarType dtype, const ModelConfig& config) {
  const std::string what = missing_kernels(device, dtype, config.head_dim());
  if (!what.empty()) print_warning(what);
}

}  // namespace lookback
