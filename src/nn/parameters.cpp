#include "nn/parameters.h"

#include <ATen/CPUGeneratorImpl.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "core/error.h"

namespace lookback {

ParameterSet::ParameterSet(at::Device device, std::uint64_t seed)
    : device_(device), generator_(at::detail::createCPUGenerator(seed)) {}

at::Tensor ParameterSet::add(const std::string& name, at::IntArrayRef shape, Initializer initializer) {
  require(!contains(name), "parameter {} is registered twice", name);
  at::Tensor tensor;
  try {
    tensor = at::empty(shape, at::kFloat);
  } catch (const c10::Error&) {
    fail("parameter {} [{}]: there is no memory for a model of this size", name, fmt::join(shape, ", "));
  }
  if (initializer.kind == Initializer::Kind::ones) {
    tensor.fill_(1);
  } else {
    tensor.normal_(0, initializer.standard_deviation, generator_);
  }
  tensor = tensor.to(device_);
  tensor.set_requires_grad(true);
  named_.emplace_back(name, tensor);
  return tensor;
}

const at::Tensor& ParameterSet::get(const std::string& name) const {
  const auto found =
      std::find_if(named_.begin(), named_.end(), [&name](const auto& entry) { return entry.first == name; });
  if (found == named_.end()) fail("there is no parameter named {}", name);
  return found->second;
}

bool ParameterSet::contains(const std::string& name) const {
  return std::any_of(named_.begin(), named_.end(), [&name](const auto& entry) { return entry.first == name; });
}

std::int64_t ParameterSet::num_elements() const {
  std::int64_t count = 0;
  for (const auto& [name, tensor] : named_) count += tensor.numel();
  return count;
}

void ParameterSet::zero_gradients() {
  for (auto& [name, tensor] : named_) tensor.mutable_grad() = at::Tensor();
}

void ParameterSet::freeze(at::ScalarType dtype) {
  for (auto& [name, tensor] : named_) {
    tensor.set_requires_grad(false);
    tensor.mutable_grad() = at::Tensor();
    tensor.set_data(tensor.to(dtype));
  }
}

}  // namespace lookback
