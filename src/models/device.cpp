#include "models/device.h"

#include <ATen/Context.h>

#include <cstdint>

#include "core/error.h"

namespace lookback {

at::Device parse_device(const std::string& text) {
  if (text == "cpu") return at::kCPU;
  const bool numbered = text.starts_with("cuda:") && text.size() > 5 && text.size() < 9 &&
                        text.find_first_not_of("0123456789", 5) == std::string::npos;
  if (text != "cuda" && !numbered) fail("device {}: expected cpu, cuda, or cuda:N", text);
  if (!at::hasCUDA()) {
#ifdef LOOKBACK_CUDA
    fail("device {}: no CUDA device was found on this machine (is the driver loaded?)", text);
#else
    fail("device {}: this is a CPU build and has no CUDA; build the `cuda` preset: ./dev build cuda", text);
#endif
  }
  const int index = numbered ? std::stoi(text.substr(5)) : 0;
  const int count = static_cast<std::uint8_t>(at::detail::getCUDAHooks().deviceCount());
  require(index < count, "device {}: this machine has {} CUDA device(s), numbered from 0", text, count);
  return {at::kCUDA, static_cast<c10::DeviceIndex>(index)};
}

at::ScalarType parse_dtype(const std::string& text, const std::string& what) {
  if (text == "float32") return at::kFloat;
  if (text == "bfloat16") return at::kBFloat16;
  fail("{} {}: expected float32 or bfloat16", what, text);
}

const char* dtype_name(at::ScalarType dtype) { return dtype == at::kBFloat16 ? "bfloat16" : "float32"; }

at::Tensor copy_to_device(const at::Tensor& on_host, at::Device device) {
  if (device.is_cpu()) return on_host;
  // Out of other memory than a pinned one, the copy would be waited for.
  return on_host.pin_memory().to(device, on_host.scalar_type(), /*non_blocking=*/true);
}

}  // namespace lookback
