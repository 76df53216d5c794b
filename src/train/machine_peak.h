// What this machine can do at most: the yardstick of throughput.
#pragma once

#include <ATen/ATen.h>

namespace lookback {

// Floating-point operations a second of a large square matrix product on `device` with the threads that are set, the
// best of about a second of trials.
double measure_machine_peak(at::Device device, at::ScalarType dtype);

}  // namespace lookback
