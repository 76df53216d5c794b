// What the tests of the GPU kernels share.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "kernels/emulated_block.h"
#include "kernels/half_numbers.h"

namespace lookback {

// 16-bit numbers whose first is aligned to 16 bytes, as tensors on a GPU are.
class HalfArray {
 public:
  explicit HalfArray(std::size_t count) : storage_((count + 7) / 8), size_(count) {}
  std::uint16_t* data() { return storage_.data()->numbers; }
  const std::uint16_t* data() const { return storage_.data()->numbers; }
  std::size_t size() const { return size_; }

 private:
  struct alignas(16) Unit {
    std::uint16_t numbers[8];
  };
  std::vector<Unit> storage_;
  std::size_t size_;
};

// Rounds the values themselves too, so that a reference sees what the kernel sees.
template <class Half>
HalfArray round_to_half(std::vector<float>& values) {
  HalfArray halves(values.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    halves.data()[i] = HalfNumbers<Half>::bits(values[i]);
    values[i] = HalfNumbers<Half>::to_float(halves.data()[i]);
  }
  return halves;
}

template <class Half>
std::vector<float> floats_of(const HalfArray& halves) {
  std::vector<float> values(halves.size());
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = HalfNumbers<Half>::to_float(halves.data()[i]);
  return values;
}

// To be overwritten: NaN.
inline HalfArray unwritten(std::size_t count) {
  HalfArray halves(count);
  std::fill_n(halves.data(), count, std::uint16_t{0x7fff});
  return halves;
}

// What a float16 or bfloat16 result may be off by at the least, from num_terms factors and itself below the smallest
// number: half of that each, times a value of at most 6, as normal numbers as many as here are.
template <class Half>
double smallest_error(double num_terms) {
  return 1e-30 + HalfNumbers<Half>::smallest / 2 * (1 + 6 * num_terms);
}

// All blocks of a kernel of src/kernels/cuda, one after another.
template <class Kernel, class... Arguments>
void run_emulated(std::int64_t num_items, TurnOrder order, const Arguments&... arguments) {
  for (std::int64_t block = 0; block < num_items * Kernel::slices; ++block) {
    run_emulated_block(Kernel::shared_bytes, order, [&](EmulatedLane lane, std::uint16_t* shared) {
      Kernel::run(arguments..., block, lane, shared);
    });
  }
}

}  // namespace lookback
