// What a window of self-attention keeps of one sequence between steps.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>

namespace lookback {

// Keys and values of the positions that the next one still sees; keys as attention takes them, rotated if it rotates
// them. Not thread-safe.
class WindowCache {
 public:
  struct View {
    at::Tensor key, value;  // [M + T, Hkv, D]; valid until the next append
  };
  // Puts the keys and values [T, Hkv, D] of new positions behind those of the last M <= window_size, returns all of
  // them, and forgets what only these new positions could see. All appends agree in all but T.
  View append(const at::Tensor& key, const at::Tensor& value, std::int64_t window_size);

  // The positions kept, M of them; undefined tensors when there are none.
  View kept(std::int64_t window_size) const;

  // One that goes on from here, and shares nothing.
  WindowCache copy() const;

  std::int64_t bytes() const { return key_.defined() ? static_cast<std::int64_t>(key_.nbytes() + value_.nbytes()) : 0; }

 private:
  at::Tensor key_, value_;  // [capacity, Hkv, D]: rows are added in place, and moved once a window
  std::int64_t end_ = 0;    // rows in use
};

}  // namespace lookback
