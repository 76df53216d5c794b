// A GPU's block of threads on the CPU, for testing the kernels of src/kernels/cuda without a card: the threads are
// fibers that change over where the real ones would wait for each other. Stricter than hardware: shared memory begins
// as NaN, so does what a copy will overwrite until the copy is waited for; copies that are misaligned
// or go where another is under way, and threads that miss a barrier, are errors.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <stdexcept>
#include <vector>

#include "kernels/cuda/tile.h"
#include "kernels/half_numbers.h"

namespace lookback {

class EmulatedBlock;

// One thread, as the kernels see it (what each function does is said at CudaLane).
class EmulatedLane {
 public:
  EmulatedLane(EmulatedBlock* block, int thread) : block_(block), thread_(thread) {}

  int thread() const { return thread_; }
  int warp() const { return thread_ / 32; }
  int in_warp() const { return thread_ % 32; }
  void sync() const;

  float infinity() const { return INFINITY; }
  float larger(float a, float b) const { return std::fmax(a, b); }
  float exp2(float x) const { return std::exp2(x); }
  float log2(float x) const { return std::log2(x); }
  float shuffle_xor(float value, int mask) const;

  void require(bool holds, const char* message) const {
    if (!holds) throw std::logic_error(message);
  }

  template <class Half>
  float to_float(std::uint16_t bits) const {
    return HalfNumbers<Half>::to_float(bits);
  }

  template <class Half>
  std::uint32_t pack(float low, float high) const {
    return HalfNumbers<Half>::bits(low) | static_cast<std::uint32_t>(HalfNumbers<Half>::bits(high)) << 16;
  }

  void store_pair(std::uint16_t* place, std::uint32_t pair) const;
  void load_16_bytes(std::uint32_t (&pairs)[4], const std::uint16_t* place) const;
  void store_16_bytes(std::uint16_t* place, const std::uint32_t (&pairs)[4]) const;
  void copy_16_bytes(std::uint16_t* shared, const std::uint16_t* global, bool is_there) const;
  void commit_copies() const;
  template <int Pending>
  void wait_for_copies() const {
    finish_copies(Pending);
  }

  void load_matrices(std::uint32_t (&part)[4], const std::uint16_t* row) const { load(part, row, false); }
  void load_matrices_transposed(std::uint32_t (&part)[4], const std::uint16_t* row) const { load(part, row, true); }

  template <class Half>
  void multiply_add(float (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1) const {
    multiply(c, a, b0, b1, HalfNumbers<Half>::to_float);
  }

 private:
  void finish_copies(std::size_t pending) const;
  void load(std::uint32_t (&part)[4], const std::uint16_t* row, bool transposed) const;
  void multiply(float (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1,
                float (*to_float)(std::uint16_t)) const;

  EmulatedBlock* block_;
  int thread_;
};

// In which order threads get their turns: what a missing barrier leaves open differs between the two.
enum class TurnOrder { ascending, descending };

// Runs kernel(lane, shared) in a block of block_threads threads with shared_bytes of shared memory. Throws
// std::logic_error where a kernel breaks a rule.
void run_emulated_block(int shared_bytes, TurnOrder order,
                        const std::function<void(EmulatedLane lane, std::uint16_t* shared)>& kernel);

}  // namespace lookback
