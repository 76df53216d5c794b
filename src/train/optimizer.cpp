#include "train/optimizer.h"

#include <ATen/core/grad_mode.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <optional>

#include "core/error.h"

namespace lookback {

AdamW::AdamW(ParameterSet& parameters, const TrainConfig& config) : config_(config) {
  for (const auto& [name, parameter] : parameters.named()) {
    const at::Tensor zeros = at::zeros_like(parameter.detach());
    slots_.push_back({name, parameter, zeros, zeros.clone(), at::zeros({}, zeros.options()),
                      config.decay_all_parameters || parameter.dim() >= 2});
  }
}

void AdamW::step(double learning_rate, const at::Tensor& skip) {
  std::vector<Slot*> decaying;
  std::vector<Slot*> others;
  for (Slot& slot : slots_) {
    if (slot.parameter.grad().defined()) (slot.decays ? decaying : others).push_back(&slot);
  }
  update(decaying, learning_rate, config_.weight_decay, skip);
  update(others, learning_rate, 0, skip);
}

void AdamW::update(const std::vector<Slot*>& slots, double learning_rate, double weight_decay,
                   const at::Tensor& skip) const {
  if (slots.empty()) return;
  const at::NoGradGuard no_gradients;
  std::vector<at::Tensor> parameters, gradients, exp_avgs, exp_avg_sqs, steps;
  for (const Slot* slot : slots) {
    parameters.push_back(slot->parameter);
    gradients.push_back(slot->parameter.grad());
    exp_avgs.push_back(slot->exp_avg);
    exp_avg_sqs.push_back(slot->exp_avg_sq);
    steps.push_back(slot->step);
  }
  // The fused kernel reads the count of the step under way.
  if (skip.defined()) {
    at::_foreach_add_(steps, 1 - skip);
  } else {
    at::_foreach_add_(steps, 1);
  }
  at::_fused_adamw_(parameters, gradients, exp_avgs, exp_avg_sqs, {}, steps, learning_rate, config_.beta1,
                    config_.beta2, weight_decay, config_.eps, /*amsgrad=*/false, /*maximize=*/false,
                    /*grad_scale=*/{}, /*found_inf=*/skip.defined() ? std::optional(skip) : std::nullopt);
}

NamedTensors AdamW::state() const {
  NamedTensors tensors;
  for (const Slot& slot : slots_) {
    tensors.emplace_back("exp_avg." + slot.name, slot.exp_avg);
    tensors.emplace_back("exp_avg_sq." + slot.name, slot.exp_avg_sq);
    tensors.emplace_back("step." + slot.name, slot.step);
  }
  return tensors;
}

void AdamW::restore(const NamedTensors& state, const std::string& source) {
  const at::NoGradGuard no_gradients;
  const auto copy = [&](const std::string& name, const at::Tensor& target) {
    const auto found =
        std::find_if(state.begin(), state.end(), [&name](const auto& entry) { return entry.first == name; });
    if (found == state.end()) fail("{}: {} is missing", source, name);
    require(found->second.sizes() == target.sizes(), "{}: {}: expected [{}], found [{}]", source, name,
            fmt::join(target.sizes(), ", "), fmt::join(found->second.sizes(), ", "));
    target.copy_(found->second);
  };
  for (const Slot& slot : slots_) {
    copy("exp_avg." + slot.name, slot.exp_avg);
    copy("exp_avg_sq." + slot.name, slot.exp_avg_sq);
    copy("step." + slot.name, slot.step);
  }
}

}  // namespace lookback
