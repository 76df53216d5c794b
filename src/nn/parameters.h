// The named tensors of a model, in the order in which they were made.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace lookback {

// How a new parameter is filled.
struct Initializer {
  enum class Kind { normal, ones };
  Kind kind = Kind::normal;
  double standard_deviation = 0.02;
};

class ParameterSet {
 public:
  // All parameters are float32 leaves that require gradients, made on `device` from the CPU generator
  // seeded with `seed` (so that a model is the same on every device).
  ParameterSet(at::Device device, std::uint64_t seed);

  // Makes, fills and registers a parameter; returns a handle on the same storage.
  at::Tensor add(const std::string& name, at::IntArrayRef shape, Initializer initializer);

  const std::vector<std::pair<std::string, at::Tensor>>& named() const { return named_; }
  // Throws Error naming the parameter when there is none of that name.
  const at::Tensor& get(const std::string& name) const;
  bool contains(const std::string& name) const;
  std::int64_t num_elements() const;
  at::Device device() const { return device_; }

  void zero_gradients();
  // Inference: no gradients from here on, elements converted to `dtype` in place (handles stay valid).
  void freeze(at::ScalarType dtype);

 private:
  at::Device device_;
  at::Generator generator_;
  std::vector<std::pair<std::string, at::Tensor>> named_;
};

}  // namespace lookback
