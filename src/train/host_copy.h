// Numbers on their way from a device to the host. That nothing in a step waits is counted on the CPU
// (tests/train/host_waits_test.cpp); it has not run on a GPU yet.
#pragma once

#include <ATen/ATen.h>
#include <c10/core/Event.h>

#include <optional>
#include <vector>

namespace lookback {

// A copy that is queued behind the device's work and waited for only when it is read.
class HostCopy {
 public:
  // values [n] float64, on any device.
  explicit HostCopy(const at::Tensor& values);

  // Waits until the device has come to the copy.
  std::vector<double> read() const;

 private:
  at::Tensor values_;                 // on the host
  std::optional<c10::Event> copied_;  // none: they were on the host before
};

}  // namespace lookback
