#include "models/memorizing.h"

#include <algorithm>

#include "models/config_checks.h"
#include "models/kind.h"
#include "models/packed_rows.h"
#include "models/window_layer.h"
#include "nn/nearest_attention.h"
#include "ops/parallel.h"
#include "ops/sliding_window_attention.h"

namespace lookback {
namespace {

std::int64_t remembered_positions(const ModelConfig& config) {
  return config.window_size + config.own<MemorizingConfig>().memory_size;
}

NearestAttentionSizes nearest_sizes(const ModelConfig& config) {
  const auto& own = config.own<MemorizingConfig>();
  return {config.window_size, own.memory_size, own.memory_top_k};
}

// Keys and values of the window's and the memory's positions.
class MemorizingState : public LayerState {
 public:
  explicit MemorizingState(const ModelConfig& config) : config_(config) {}

  std::unique_ptr<LayerState> copy() const override {
    auto copy = std::make_unique<MemorizingState>(config_);
    copy->cache = cache.copy();
    copy->rotated_keys = rotated_keys.copy();
    return copy;
  }
  std::int64_t window_bytes() const override { return cache.bytes() + rotated_keys.bytes(); }
  void save(NamedTensors& state, const std::string& name) const override {
    save_window(state, name, cache, remembered_positions(config_));
    rotated_keys.save(state, name, config_.window_size);
  }
  void restore(StateReader& reader, const std::string& name, std::int64_t) override {
    cache = reader.take_window(name, remembered_positions(config_), config_.num_kv_heads, config_.head_dim());
    rotated_keys.restore(reader, name, cache.kept(config_.window_size).key, config_);
  }

  WindowCache cache;         // keys without positions, as the memory's are
  RotatedKeys rotated_keys;  // the window's, with rotary positions

 private:
  const ModelConfig& config_;
};

// The layer's own keys and values are remembered.
class MemorizingLayer : public StackLayer {
 public:
  // gate: b [H].
  MemorizingLayer(LlamaLayer layer, at::Tensor gate, const ModelConfig& config)
      : layer_(std::move(layer)), gate_(std::move(gate)), config_(config) {}

  at::Tensor forward(const at::Tensor& x, const AttentionWindow& window, bool) const override {
    const AttentionHeads heads = attention_heads(layer_, x);
    return finish(x, mix(rotated(heads, window), window, heads));
  }

  at::Tensor step(const at::Tensor& x, const AttentionWindow& window,
                  const std::vector<StepRows>& sequences) const override {
    const AttentionHeads heads = attention_heads(layer_, x);
    const AttentionHeads turned = rotated(heads, window);
    std::vector<at::Tensor> mixed(sequences.size());
    for_each_in_parallel(sequences.size(), [&](std::size_t i) {
      const StepRows& one = sequences[i];
      const auto rows = [&one](const at::Tensor& all) { return all.narrow(0, one.first_row, one.num_rows); };
      auto& state = static_cast<MemorizingState&>(*one.state);
      const WindowCache::View all =
          state.cache.append(rows(heads.key), rows(heads.value), remembered_positions(config_));
      WindowCache::View seen = all;
      if (window.rotation) {
        seen.key = state.rotated_keys.append(rows(turned.key), window.size);
        seen.value = all.value.narrow(0, all.value.size(0) - seen.key.size(0), seen.key.size(0));
      }
      const auto of_one = [&](const at::Tensor& query, const WindowCache::View& view) {
        return AttentionHeads{rows(query).unsqueeze(0), view.key.unsqueeze(0), view.value.unsqueeze(0)};
      };
      mixed[i] = mix(of_one(turned.query, seen), window, of_one(heads.query, all)).squeeze(0);
    });
    return finish(x, join_rows(mixed));
  }

  std::unique_ptr<LayerState> new_state(const at::TensorOptions&) const override {
    return std::make_unique<MemorizingState>(config_);
  }
  std::optional<std::int64_t> reach() const override { return remembered_positions(config_); }

 private:
  // Queries [N, L, H, D]; keys, values [N, B + L, Hkv, D], B positions before: those that the window sees, and all that
  // are remembered.
  at::Tensor mix(const AttentionHeads& seen, const AttentionWindow& window, const AttentionHeads& all) const {
    const at::Tensor local = sliding_window_attention(seen.query, seen.key, seen.value, window.size, window.bias);
    const at::Tensor remembered = nearest_attention(all.query, all.key, all.value, nearest_sizes(config_));
    const at::Tensor gate = gate_.sigmoid().to(local.scalar_type()).unsqueeze(1);  // [H, 1]
    return gate * remembered + (1 - gate) * local;
  }
  at::Tensor finish(const at::Tensor& x, const at::Tensor& mixed) const {
    const at::Tensor attended = add_attention(layer_, x, mixed);
    return mlp_block(layer_, attended, attended);
  }

  LlamaLayer layer_;
  at::Tensor gate_;
  const ModelConfig& config_;
};

// The window's keys and values, and narrow states of the window's and the memory's positions.
class CompressedCacheState : public LayerState {
 public:
  explicit CompressedCacheState(const ModelConfig& config) : config_(config) {}

  std::unique_ptr<LayerState> copy() const override {
    auto copy = std::make_unique<CompressedCacheState>(config_);
    copy->window = window.copy();
    copy->states = states.copy();
    return copy;
  }
  std::int64_t window_bytes() const override { return window.bytes() + states.bytes(); }
  void save(NamedTensors& state, const std::string& name) const override {
    save_window(state, name + ".window", window, config_.window_size);
    save_window(state, name + ".states", states, remembered_positions(config_));
  }
  void restore(StateReader& reader, const std::string& name, std::int64_t) override {
    window = reader.take_window(name + ".window", config_.window_size, config_.num_kv_heads, config_.head_dim());
    if (!reader.has(name + ".states.key")) return;
    const at::Tensor kept = reader.take(name + ".states.key", {-1, 1, config_.own<MemorizingConfig>().memory_width});
    append(kept.squeeze(1));
    reader.take(name + ".states.value", {kept.size(0), 1, 0});
  }

  // New states [T, r] -> all that are remembered [B + T, r].
  at::Tensor append(const at::Tensor& added) {
    const at::Tensor rows = added.unsqueeze(1);
    return states.append(rows, rows.narrow(2, 0, 0), remembered_positions(config_)).key.squeeze(1);
  }

  WindowCache window;
  WindowCache states;  // keys [., 1, r], values of no width

 private:
  const ModelConfig& config_;
};

struct CompressedCache {
  at::Tensor state_proj;      // W_s [r, d]
  at::Tensor k_proj, v_proj;  // [Hkv * D, r]
  at::Tensor q_proj, o_proj;  // [d, d]
};

CompressedCache make_compressed_cache(ParameterSet& parameters, const std::string& prefix, const ModelConfig& config) {
  const auto& own = config.own<MemorizingConfig>();
  const std::int64_t d = config.hidden_size;
  const std::int64_t width = own.memory_width;
  const auto linear = [&](const char* name, std::int64_t out, std::int64_t in) {
    return make_linear(parameters, prefix + name + ".weight", out, in, config.initializer_range);
  };
  const std::int64_t key_value = config.num_kv_heads * config.head_dim();
  return {linear("state_proj", width, d), linear("k_proj", key_value, width), linear("v_proj", key_value, width),
          linear("q_proj", d, d), linear("o_proj", d, d)};
}

class CompressedCacheLayer : public StackLayer {
 public:
  CompressedCacheLayer(LlamaLayer layer, CompressedCache cache, const ModelConfig& config)
      : layer_(std::move(layer)), cache_(std::move(cache)), config_(config) {}

  at::Tensor forward(const at::Tensor& x, const AttentionWindow& window, bool) const override {
    const Rows rows = rows_of(x, window);
    const at::Tensor local =
        sliding_window_attention(rows.heads.query, rows.heads.key, rows.heads.value, window.size, window.bias);
    return finish(x, local, remember(rows.query, rows.states));
  }

  at::Tensor step(const at::Tensor& x, const AttentionWindow& window,
                  const std::vector<StepRows>& sequences) const override {
    const Rows all = rows_of(x, window);
    std::vector<at::Tensor> local(sequences.size());
    std::vector<at::Tensor> remembered(sequences.size());
    for_each_in_parallel(sequences.size(), [&](std::size_t i) {
      const StepRows& one = sequences[i];
      const auto rows = [&one](const at::Tensor& all) { return all.narrow(0, one.first_row, one.num_rows); };
      auto& state = static_cast<CompressedCacheState&>(*one.state);
      const WindowCache::View seen = state.window.append(rows(all.heads.key), rows(all.heads.value), window.size);
      local[i] = sliding_window_attention(rows(all.heads.query).unsqueeze(0), seen.key.unsqueeze(0),
                                          seen.value.unsqueeze(0), window.size, window.bias)
                     .squeeze(0);
      const at::Tensor states = state.append(rows(all.states));
      remembered[i] = remember(rows(all.query).unsqueeze(0), states.unsqueeze(0)).squeeze(0);
    });
    return finish(x, join_rows(local), join_rows(remembered));
  }

  std::unique_ptr<LayerState> new_state(const at::TensorOptions&) const override {
    return std::make_unique<CompressedCacheState>(config_);
  }
  std::optional<std::int64_t> reach() const override { return remembered_positions(config_); }

 private:
  struct Rows {
    AttentionHeads heads;  // of self-attention, as the window takes them
    at::Tensor query;      // of the memory [..., H, D]
    at::Tensor states;     // [..., r]
  };
  Rows rows_of(const at::Tensor& x, const AttentionWindow& window) const {
    const at::Tensor normed = rms_norm(layer_.input_layernorm, x);
    return {rotated(attention_heads(layer_, x), window),
            project(normed, cache_.q_proj).unflatten(-1, {config_.num_heads, config_.head_dim()}),
            project(normed, cache_.state_proj)};
  }
  at::Tensor remember(const at::Tensor& query, const at::Tensor& states) const {
    return nearest_state_attention(query, states, cache_.k_proj, cache_.v_proj, nearest_sizes(config_));
  }
  at::Tensor finish(const at::Tensor& x, const at::Tensor& local, const at::Tensor& remembered) const {
    const at::Tensor attended = add_attention(layer_, x, local) + project(remembered.flatten(-2), cache_.o_proj);
    return mlp_block(layer_, attended, attended);
  }

  LlamaLayer layer_;
  CompressedCache cache_;
  const ModelConfig& config_;
};

StackLayers make_memorizing_layers(ParameterSet& parameters, const ModelConfig& config) {
  const auto& own = config.own<MemorizingConfig>();
  return make_layers_around_memory(
      parameters, config, own.memory_layer, [&](LlamaLayer layer) -> std::unique_ptr<StackLayer> {
        const std::string prefix = layer_prefix(own.memory_layer) + "memory.";
        if (own.memory_width > 0) {
          return std::make_unique<CompressedCacheLayer>(std::move(layer),
                                                        make_compressed_cache(parameters, prefix, config), config);
        }
        at::Tensor gate = parameters.add(prefix + "gate", {config.num_heads}, {Initializer::Kind::normal, 0});
        return std::make_unique<MemorizingLayer>(std::move(layer), std::move(gate), config);
      });
}

ConfigKeys memorizing_keys(ModelConfig& config) {
  auto& own = config.own<MemorizingConfig>();
  return with(stack_keys(config), {{"memory_layer", &own.memory_layer},
                                   {"memory_size", &own.memory_size},
                                   {"memory_topk", &own.memory_top_k},
                                   {"memory_width", &own.memory_width, ConfigKey::Need::optional}});
}

void check_memorizing(const ModelConfig& config, const std::string& source) {
  const auto& own = config.own<MemorizingConfig>();
  check_stack(config, source);
  check_memory_layer(own.memory_layer, config, source);
  check_positive(own.memory_size, "memory_size", source);
  check_range(own.memory_top_k, 1, most_retrieved, "memory_topk", source);
  check_range(own.memory_width, 0, largest_size, "memory_width", source);
}

double memorizing_parameters(const ModelConfig& config) {
  const auto& own = config.own<MemorizingConfig>();
  if (own.memory_width == 0) return stack_parameters(config) + static_cast<double>(config.num_heads);
  const auto d = static_cast<double>(config.hidden_size);
  const auto width = static_cast<double>(own.memory_width);
  return stack_parameters(config) + 2 * d * d + d * width + 2 * key_value_size(config) * width;
}

double memorizing_flops(const ModelConfig& config, std::int64_t length) {
  const auto& own = config.own<MemorizingConfig>();
  const auto d = static_cast<double>(config.hidden_size);
  const auto tokens = static_cast<double>(length);
  const auto window = static_cast<double>(config.window_size);
  const auto memory = static_cast<double>(own.memory_size);
  const double candidates = window_pairs(tokens, window + memory) - window_pairs(tokens, window);
  double read = 0;  // positions that all queries read together
  for (std::int64_t before = 1; before <= length - config.window_size - 1; ++before) {
    read += static_cast<double>(std::min({before, own.memory_size, own.memory_top_k}));
  }
  if (own.memory_width == 0) return stack_flops(config, length) + 2 * d * candidates + 2 * d * read;
  const auto width = static_cast<double>(own.memory_width);
  const auto heads = static_cast<double>(config.num_heads);
  return stack_flops(config, length) + tokens * (4 * d * d + 2 * d * width) + 2 * width * candidates +
         tokens * 4 * d * width + 4 * heads * width * read;
}

std::int64_t memorizing_window_elements(const ModelConfig& config) {
  const auto& own = config.own<MemorizingConfig>();
  if (own.memory_width > 0) {
    return stack_window_elements(config) + (config.window_size + own.memory_size) * own.memory_width;
  }
  return stack_window_elements(config) + shared_key_elements(config) +
         key_value_elements(config, /*num_layers=*/1, own.memory_size);
}

}  // namespace

constinit const Kind memorizing_kind{
    .name = "memorizing",
    .make = make_stack<make_memorizing_layers>,
    .keys = memorizing_keys,
    .check = check_memorizing,
    .cost = {
        .parameters = memorizing_parameters, .flops = memorizing_flops, .window_elements = memorizing_window_elements}};

}  // namespace lookback
