// Bytes of tensors, counted at the allocator: what a piece of work really holds, on any device.
#pragma once

#include <cstdint>
#include <functional>

namespace lookback {

// Runs `work` and returns the most bytes that tensors made inside it held at one time, beyond those that were there.
// Counts this thread's allocations, and those of backward passes that it starts.
std::int64_t peak_tensor_bytes(const std::function<void()>& work);

}  // namespace lookback
