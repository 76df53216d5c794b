#include "golden/golden.h"

#include <ATen/core/grad_mode.h>
#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "core/json.h"
#include "models/model_folder.h"
#include "nn/safetensors.h"
#include "ops/landmark_attention.h"
#include "ops/linear_cross_entropy.h"

namespace lookback {
namespace {

constexpr double logit_limit = 2e-4;
constexpr double loss_limit = 1e-5;
constexpr double gradient_limit = 2e-4;  // relative to the gradient's largest entry
constexpr double weight_limit = 1e-5;
constexpr double training_loss_limit = 1e-4;

// `name` is what the golden file calls it.
double largest_difference(const std::string& name, const at::Tensor& found, const at::Tensor& expected) {
  require(expected.defined(), "golden: the file has no {}", name);
  require(found.sizes() == expected.sizes(), "golden: {}: the model gives [{}], the file has [{}]", name,
          fmt::join(found.sizes(), ", "), fmt::join(expected.sizes(), ", "));
  return (found.to(at::kDouble) - expected.to(at::kDouble)).abs().max().item<double>();
}

at::Tensor find(const NamedTensors& tensors, const std::string& name) {
  for (const auto& [found, tensor] : tensors) {
    if (found == name) return tensor;
  }
  return {};
}

// labels [N, L], position i predicts label i + 1 -> [N * L] shifted to the predicting position.
at::Tensor shifted_labels(const at::Tensor& labels) {
  constexpr std::int64_t ignored = -100;
  return at::constant_pad_nd(labels.narrow(1, 1, labels.size(1) - 1), {0, 1}, ignored).flatten();
}

void compare_retrievals(const NamedTensors& expected, const std::vector<Retrieval>& retrievals,
                        std::vector<Deviation>& deviations) {
  for (std::size_t g = 0; g < retrievals.size(); ++g) {
    const std::string prefix = "retrieval." + std::to_string(g) + ".";
    const at::Tensor indices = find(expected, prefix + "indices");
    if (!indices.defined()) continue;
    const at::Tensor weights = find(expected, prefix + "weights");
    require(indices.dim() == 3 && indices.sizes() == weights.sizes() && indices.size(2) >= 1,
            "golden: {}indices and {}weights: expected two of one shape [sequences, chunks, retrieved]", prefix,
            prefix);
    // A reference retrieves no more than there are chunks: its columns may be fewer than K.
    const std::int64_t num_common = std::min(indices.size(2), retrievals[g].indices.size(2));
    const auto common = [num_common](const at::Tensor& tensor) { return tensor.narrow(2, 0, num_common); };
    const at::Tensor found = common(retrievals[g].indices);
    require(found.sizes() == common(indices).sizes(), "golden: {}indices: the model gives [{}], the file has [{}]",
            prefix, fmt::join(retrievals[g].indices.sizes(), ", "), fmt::join(indices.sizes(), ", "));
    const double different = common(indices).ne(found).sum().item<double>();
    deviations.push_back({prefix + "indices (differing)", different, 0});
    deviations.push_back({prefix + "weights",
                          largest_difference(prefix + "weights", common(retrievals[g].weights), common(weights)),
                          weight_limit});
  }
}

std::vector<Deviation> compare_pass(Model& model, const NamedTensors& expected) {
  std::vector<Deviation> deviations;
  const at::Tensor input_ids = find(expected, "input_ids");
  require(input_ids.defined() && input_ids.dim() == 2 && input_ids.scalar_type() == at::kLong,
          "golden: input_ids: expected int64 [sequences, length]");
  const at::Tensor given_labels = find(expected, "labels");
  std::vector<Retrieval> retrievals;
  ForwardOptions options;
  options.retrievals = &retrievals;
  const at::Tensor hidden = model.hidden_states(input_ids, options);
  const at::Tensor labels = shifted_labels(given_labels.defined() ? given_labels : input_ids);
  const LinearCrossEntropy loss = linear_cross_entropy(hidden.flatten(0, 1), model.embedding(), labels);
  loss.loss.backward();
  deviations.push_back(
      {"logits", largest_difference("logits", model.logits(hidden), find(expected, "logits")), logit_limit});
  deviations.push_back({"loss", largest_difference("loss", loss.loss.view({1}), find(expected, "loss")), loss_limit});
  compare_retrievals(expected, retrievals, deviations);
  for (const auto& [name, tensor] : expected) {
    if (!name.starts_with("grad.")) continue;
    const at::Tensor gradient = model.parameters().get(name.substr(5)).grad();
    require(gradient.defined(), "golden: {} got no gradient", name.substr(5));
    deviations.push_back(
        {name, largest_difference(name, gradient, tensor) / tensor.abs().max().item<double>(), gradient_limit});
  }
  return deviations;
}

// Plain AdamW (arXiv 1711.05101), independent of the training loop's.
class PlainAdamW {
 public:
  PlainAdamW(ParameterSet& parameters, const Json& settings)
      : parameters_(parameters), settings_(settings), moments_(parameters.named().size()) {}

  double clip_and_step() {
    const at::NoGradGuard no_gradients;
    double squares = 0;
    for (const auto& [name, parameter] : parameters_.named()) {
      squares += parameter.grad().to(at::kDouble).square().sum().item<double>();
    }
    const double norm = std::sqrt(squares);
    const double scale = std::min(1.0, settings_.at("clip_grad_norm").get<double>() / (norm + 1e-6));
    const double lr = settings_.at("lr").get<double>();
    const double decay = settings_.at("weight_decay").get<double>();
    const double beta1 = settings_.at("betas")[0].get<double>();
    const double beta2 = settings_.at("betas")[1].get<double>();
    ++step_;
    for (std::size_t i = 0; i < moments_.size(); ++i) {
      at::Tensor parameter = parameters_.named()[i].second;
      const at::Tensor gradient = parameter.grad() * scale;
      Moments& moments = moments_[i];
      if (!moments.first.defined()) moments = {at::zeros_like(parameter), at::zeros_like(parameter)};
      moments.first.mul_(beta1).add_(gradient, 1 - beta1);
      moments.second.mul_(beta2).addcmul_(gradient, gradient, 1 - beta2);
      const at::Tensor denominator =
          (moments.second / (1 - std::pow(beta2, step_))).sqrt_().add_(settings_.at("eps").get<double>());
      parameter.mul_(1 - lr * decay);
      parameter.addcdiv_(moments.first / (1 - std::pow(beta1, step_)), denominator, -lr);
    }
    parameters_.zero_gradients();
    return norm;
  }

 private:
  struct Moments {
    at::Tensor first, second;
  };
  ParameterSet& parameters_;
  const Json& settings_;
  std::vector<Moments> moments_;
  double step_ = 0;
};

std::vector<Deviation> compare_training(Model& model, const at::Tensor& batches, const Json& expected) {
  std::vector<Deviation> deviations;
  PlainAdamW optimizer(model.parameters(), expected);
  for (std::int64_t step = 0; step < batches.size(0); ++step) {
    const at::Tensor input_ids = batches[step];
    const at::Tensor hidden = model.hidden_states(input_ids, {});
    const at::Tensor loss =
        linear_cross_entropy(hidden.flatten(0, 1), model.embedding(), shifted_labels(input_ids)).loss;
    loss.backward();
    const double norm = optimizer.clip_and_step();
    const auto index = static_cast<std::size_t>(step);
    deviations.push_back({fmt::format("step {} loss", step),
                          std::abs(loss.item<double>() - expected.at("loss")[index].get<double>()),
                          training_loss_limit});
    deviations.push_back({fmt::format("step {} gradient norm", step),
                          std::abs(norm - expected.at("grad_norm")[index].get<double>()), training_loss_limit});
  }
  return deviations;
}

// All of the file's tensors are [N, H, T, D].
std::vector<Deviation> compare_landmark_attention(const NamedTensors& expected) {
  constexpr double attention_limit = 1e-5;
  const auto positions_first = [&](const char* name) { return find(expected, name).transpose(1, 2).contiguous(); };
  const LandmarkAttentionSizes sizes{find(expected, "block_size").item<std::int64_t>(), 0, 0};
  const at::Tensor query = positions_first("query").requires_grad_();
  const at::Tensor key = positions_first("key").requires_grad_();
  const at::Tensor value = positions_first("value").requires_grad_();
  const at::Tensor output = landmark_attention(query, key, value, sizes);
  output.backward(positions_first("grad_output"));
  std::vector<Deviation> deviations;
  const auto add = [&](const char* name, const at::Tensor& found) {
    deviations.push_back({name, largest_difference(name, found, positions_first(name)), attention_limit});
  };
  add("output", output);
  add("grad_query", query.grad());
  add("grad_key", key.grad());
  add("grad_value", value.grad());

  // Rows of the identity as values show the probabilities, as many at a time as a value has elements.
  const std::int64_t length = value.size(1);
  const std::int64_t head_dim = value.size(3);
  std::vector<at::Tensor> columns;
  for (std::int64_t first = 0; first < length; first += head_dim) {
    const at::Tensor identity = at::eye(length, value.options()).narrow(1, first, head_dim);
    const at::Tensor rows = identity.view({1, length, 1, head_dim}).expand(value.sizes());
    columns.push_back(landmark_attention(query, key, rows, sizes));
  }
  add("probabilities", at::cat(columns, 3));
  return deviations;
}

}  // namespace

std::vector<Deviation> compare_with_golden(const std::filesystem::path& folder) {
  if (!std::filesystem::exists(folder / "config.json") && std::filesystem::exists(folder / "expected.safetensors")) {
    return compare_landmark_attention(read_safetensors(folder / "expected.safetensors"));
  }
  const std::unique_ptr<Model> model = load_model(folder, at::kCPU);
  if (std::filesystem::exists(folder / "expected.safetensors")) {
    return compare_pass(*model, read_safetensors(folder / "expected.safetensors"));
  }
  if (std::filesystem::exists(folder / "batches.safetensors")) {
    return compare_training(*model, find(read_safetensors(folder / "batches.safetensors"), "input_ids"),
                            read_json_file(folder / "expected.json"));
  }
  fail("{}: holds neither expected.safetensors nor batches.safetensors", folder.string());
}

}  // namespace lookback
