#include "models/model_folder.h"

#include <ATen/core/grad_mode.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "core/error.h"
#include "core/json.h"
#include "models/cost.h"
#include "models/kind.h"
#include "models/torch_checkpoint.h"
#include "models/weight_parts.h"
#include "nn/safetensors.h"

namespace lookback {
namespace {

constexpr const char* config_name = "config.json";
constexpr const char* weights_name = "model.safetensors";
constexpr const char* published_weights_name = "model.bin";
constexpr const char* weights_index_name = "model.safetensors.index.json";
constexpr const char* pickled_index_name = "pytorch_model.bin.index.json";
constexpr const char* embedding_name = "model.embed_tokens.weight";
constexpr const char* output_layer_name = "lm_head.weight";

// ALiBi slopes, which the published checkpoints keep as buffers and we compute.
bool is_slope_buffer(const std::string& name) { return name.ends_with(".self_attn.m"); }

NamedTensors read_weights(const std::filesystem::path& folder, std::string& source) {
  const auto is_there = [&](const char* name) {
    source = (folder / name).string();
    return std::filesystem::exists(folder / name);
  };
  if (is_there(weights_name)) return read_safetensors(source);
  if (is_there(weights_index_name)) return read_weight_parts(source, read_safetensors);
  if (is_there(published_weights_name)) return read_torch_checkpoint(source);
  if (is_there(pickled_index_name)) return read_weight_parts(source, read_torch_checkpoint);
  fail("{}: holds neither {} nor {}, nor parts ({}, {})", folder.string(), weights_name, published_weights_name,
       weights_index_name, pickled_index_name);
}

// Everything that is wrong at once, so that one look tells how the two differ.
class Complaints {
 public:
  void add(const std::string& text) {
    constexpr std::size_t most_shown = 12;
    if (texts_.size() < most_shown) texts_.push_back(text);
    ++count_;
  }
  void throw_if_any(const std::string& source) const {
    if (count_ == 0) return;
    const std::size_t hidden = count_ - texts_.size();
    fail("{}: its tensors do not fit its config.json:\n  {}{}", source, fmt::join(texts_, "\n  "),
         hidden > 0 ? fmt::format("\n  and {} more", hidden) : "");
  }

 private:
  std::vector<std::string> texts_;
  std::size_t count_ = 0;
};

void check_tied(const at::Tensor& output_layer, const at::Tensor& embedding, Complaints& complaints) {
  if (output_layer.sizes() != embedding.sizes() || !at::equal(output_layer.to(at::kFloat), embedding.to(at::kFloat))) {
    complaints.add(fmt::format("{}: differs from {}, to which it must be tied", output_layer_name, embedding_name));
  }
}

void copy_weights(const NamedTensors& stored, const std::string& source, Model& model) {
  const at::NoGradGuard no_gradients;
  const auto find = [&stored](const std::string& name) {
    return std::find_if(stored.begin(), stored.end(), [&](const auto& entry) { return entry.first == name; });
  };
  Complaints complaints;
  for (const auto& [name, tensor] : stored) {
    if (name == output_layer_name) {
      const auto embedding = find(embedding_name);
      if (embedding != stored.end()) check_tied(tensor, embedding->second, complaints);
    } else if (!is_slope_buffer(name) && !model.parameters().contains(name)) {
      complaints.add(fmt::format("{}: unknown to this model", name));
    }
  }
  for (const auto& [name, parameter] : model.parameters().named()) {
    const auto found = find(name);
    if (found == stored.end()) {
      complaints.add(fmt::format("{}: missing", name));
    } else if (found->second.sizes() != parameter.sizes()) {
      complaints.add(fmt::format("{}: expected [{}], found [{}]", name, fmt::join(parameter.sizes(), ", "),
                                 fmt::join(found->second.sizes(), ", ")));
    } else if (!found->second.is_floating_point()) {
      complaints.add(fmt::format("{}: expected floating-point elements, found {}", name,
                                 c10::toString(found->second.scalar_type())));
    }
  }
  complaints.throw_if_any(source);
  for (const auto& [name, parameter] : model.parameters().named()) at::Tensor(parameter).copy_(find(name)->second);
}

// A configuration may describe any number of parameters, whatever its folder holds: what the model takes is weighed
// against the weights before it is made. One that is only somewhat larger is made, so that all that is missing can be
// named.
void check_weights_suffice(const ModelConfig& config, const NamedTensors& stored, const std::string& config_source,
                           const std::string& weights_source) {
  constexpr double always_made = 16'000'000;
  double num_stored = 0;
  for (const auto& [name, tensor] : stored) num_stored += static_cast<double>(tensor.numel());
  const auto num_needed = static_cast<double>(count_parameters(config)) + count_given_parameters(config);
  require(num_needed <= std::max(always_made, 2 * num_stored),
          "{}: describes a model of {:.3g} parameters, {} holds {:.3g}: one of the two is of another model",
          config_source, num_needed, weights_source, num_stored);
}

}  // namespace

void load_weights(const std::filesystem::path& folder, Model& model) {
  std::string source;
  const NamedTensors stored = read_weights(folder, source);
  copy_weights(stored, source, model);
}

std::unique_ptr<Model> load_model(const std::filesystem::path& folder, at::Device device,
                                  const std::string& retrieval) {
  const std::filesystem::path resolved = resolve_model_folder(folder);
  const std::filesystem::path config_path = resolved / config_name;
  ModelConfig config = parse_model_config(read_json_file(config_path), config_path.string());
  if (retrieval != "trained") {
    const auto feed = kind_named(config.kind).feed;
    require(feed != nullptr, "{}: a {} model retrieves no chunks: it cannot be fed others (retrieval \"{}\")",
            config_path.string(), config.kind, retrieval);
    feed(config, retrieval);
  }
  constexpr std::uint64_t any_seed = 0;  // every parameter is overwritten
  std::string weights_source;
  const NamedTensors stored = read_weights(resolved, weights_source);
  check_weights_suffice(config, stored, config_path.string(), weights_source);
  std::unique_ptr<Model> model = make_model(config, device, any_seed);
  copy_weights(stored, weights_source, *model);
  return model;
}

void save_model(const Model& model, const std::filesystem::path& folder) {
  write_json_file(folder / config_name, to_json(model.config()));
  NamedTensors tensors;
  for (const auto& [name, tensor] : model.parameters().named()) tensors.emplace_back(name, tensor.to(at::kFloat));
  write_safetensors(folder / weights_name, tensors);
}

std::filesystem::path resolve_model_folder(const std::filesystem::path& path) {
  require(std::filesystem::exists(path), "{}: there is no such folder", path.string());
  for (const char* inside : {".", "best", "last"}) {
    if (std::filesystem::exists(path / inside / config_name)) return inside[0] == '.' ? path : path / inside;
  }
  fail("{}: not a model: it holds no config.json, nor a training run's best or last checkpoint", path.string());
}

}  // namespace lookback
