#include "models/block_recurrent.h"

#include <algorithm>
#include <cmath>

#include "models/config_checks.h"
#include "models/kind.h"
#include "models/packed_rows.h"
#include "models/window_layer.h"
#include "ops/head_groups.h"
#include "ops/parallel.h"
#include "ops/sliding_window_attention.h"

namespace lookback {
namespace {

std::int64_t state_size(const ModelConfig& config) { return config.own<BlockRecurrentConfig>().state_size; }

// query [N, T, H, D], key and value [N, J, Hkv, D]: each query attends to all keys, [N, T, H, D].
at::Tensor attend_to_all(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value) {
  const double scale = 1 / std::sqrt(static_cast<double>(query.size(3)));
  const at::Tensor rows = group_heads((query * scale).unsqueeze(1), key.size(2)).squeeze(1);  // [N, Hkv, R * T, D]
  const at::Tensor weights = at::softmax(at::matmul(rows, key.permute({0, 2, 3, 1})), -1);
  return ungroup_heads(at::matmul(weights, value.transpose(1, 2)).unsqueeze(1), query.size(2)).squeeze(1);
}

// The window's keys and values, and c after the last whole block.
class RecurrentState : public LayerState {
 public:
  RecurrentState(const ModelConfig& config, const at::TensorOptions& options) : config_(config) {
    vectors = at::zeros({state_size(config), config.hidden_size}, options);
  }

  std::unique_ptr<LayerState> copy() const override {
    auto copy = std::make_unique<RecurrentState>(config_, vectors.options());
    copy->cache = cache.copy();
    copy->rotated_keys = rotated_keys.copy();
    copy->vectors = vectors;  // is replaced, never written to
    return copy;
  }
  std::int64_t window_bytes() const override {
    return cache.bytes() + rotated_keys.bytes() + static_cast<std::int64_t>(vectors.nbytes());
  }
  void save(NamedTensors& state, const std::string& name) const override {
    save_window(state, name, cache, config_.window_size);
    rotated_keys.save(state, name, config_.window_size);
    state.emplace_back(name + ".vectors", vectors);
  }
  void restore(StateReader& reader, const std::string& name, std::int64_t) override {
    cache = reader.take_window(name, config_.window_size, config_.num_kv_heads, config_.head_dim());
    rotated_keys.restore(reader, name, cache.kept(config_.window_size).key, config_);
    vectors = reader.take(name + ".vectors", {state_size(config_), config_.hidden_size});
  }

  WindowCache cache;         // keys without positions: states read them, too
  RotatedKeys rotated_keys;  // of the same positions, with rotary ones
  at::Tensor vectors;        // [S, d]

 private:
  const ModelConfig& config_;
};

struct Recurrence {
  RmsNorm norm;             // of the states
  at::Tensor ids;           // [S, d]
  at::Tensor token_q_proj;  // of tokens that look at states
  at::Tensor token_o_proj;  // [d, d], as all that follow but for keys and values [Hkv * D, d]
  at::Tensor state_k_proj, state_v_proj;
  at::Tensor state_q_proj, state_o_proj;  // of states that look at states
  at::Tensor block_q_proj, block_o_proj;  // and at tokens
  at::Tensor z_bias, gate_bias;           // b_z, b_g [d]
};

Recurrence make_recurrence(ParameterSet& parameters, const std::string& prefix, const ModelConfig& config) {
  const std::int64_t d = config.hidden_size;
  const std::int64_t key_value = config.num_kv_heads * config.head_dim();
  const auto linear = [&](const char* name, std::int64_t out) {
    return make_linear(parameters, prefix + name + ".weight", out, d, config.initializer_range);
  };
  const auto zeros = [&](const char* name) {
    return parameters.add(prefix + name, {d}, {Initializer::Kind::normal, 0});
  };
  Recurrence recurrence;
  recurrence.norm = make_rms_norm(parameters, prefix + "norm.weight", d, config.rms_norm_eps);
  recurrence.ids = parameters.add(prefix + "ids", {state_size(config), d},
                                  {Initializer::Kind::normal, config.embedding_initializer_range});
  recurrence.token_q_proj = linear("token_q_proj", d);
  recurrence.token_o_proj = linear("token_o_proj", d);
  recurrence.state_k_proj = linear("state_k_proj", key_value);
  recurrence.state_v_proj = linear("state_v_proj", key_value);
  recurrence.state_q_proj = linear("state_q_proj", d);
  recurrence.state_o_proj = linear("state_o_proj", d);
  recurrence.block_q_proj = linear("block_q_proj", d);
  recurrence.block_o_proj = linear("block_o_proj", d);
  recurrence.z_bias = zeros("z_bias");
  recurrence.gate_bias = zeros("gate_bias");
  return recurrence;
}

class RecurrentLayer : public StackLayer {
 public:
  RecurrentLayer(LlamaLayer layer, Recurrence recurrence, const ModelConfig& config)
      : layer_(std::move(layer)), recurrence_(std::move(recurrence)), config_(config) {}

  at::Tensor forward(const at::Tensor& x, const AttentionWindow& window, bool) const override {
    const AttentionHeads heads = attention_heads(layer_, x);
    const AttentionHeads seen = rotated(heads, window);
    const at::Tensor local = sliding_window_attention(seen.query, seen.key, seen.value, window.size, window.bias);
    const at::Tensor query = state_queries(x);
    at::Tensor vectors = at::zeros({x.size(0), state_size(config_), config_.hidden_size}, x.options());
    std::vector<at::Tensor> mixed;
    const std::int64_t length = x.size(1);
    for (std::int64_t begin = 0; begin < length; begin += config_.window_size) {
      const std::int64_t count = std::min(config_.window_size, length - begin);
      const auto block = [&](const at::Tensor& rows) { return rows.narrow(1, begin, count); };
      const States states = states_of(vectors);
      mixed.push_back(attend_to_all(block(query), states.key, states.value));
      // A last block has nobody to read what comes of it.
      if (begin + count < length) vectors = next_vectors(states, block(heads.key), block(heads.value));
    }
    return finish(x, local, at::cat(mixed, 1));
  }

  at::Tensor step(const at::Tensor& x, const AttentionWindow& window,
                  const std::vector<StepRows>& sequences) const override {
    const AttentionHeads heads = attention_heads(layer_, x);
    const AttentionHeads seen = rotated(heads, window);
    const at::Tensor query = state_queries(x);
    std::vector<at::Tensor> local(sequences.size());
    std::vector<at::Tensor> mixed(sequences.size());
    for_each_in_parallel(sequences.size(), [&](std::size_t i) {
      const StepRows& one = sequences[i];
      const auto rows = [&one](const at::Tensor& all) { return all.narrow(0, one.first_row, one.num_rows); };
      auto& state = static_cast<RecurrentState&>(*one.state);
      const WindowCache::View kept = state.cache.append(rows(heads.key), rows(heads.value), window.size);
      const at::Tensor key = kept.key.unsqueeze(0);
      const at::Tensor value = kept.value.unsqueeze(0);
      const at::Tensor window_key =
          window.rotation ? state.rotated_keys.append(rows(seen.key), window.size).unsqueeze(0) : key;
      local[i] = sliding_window_attention(rows(seen.query).unsqueeze(0), window_key, value, window.size, window.bias)
                     .squeeze(0);
      mixed[i] = read_and_carry(rows(query).unsqueeze(0), key, value, one.first_position, state);
    });
    return finish(x, join_rows(local), join_rows(mixed));
  }

  std::unique_ptr<LayerState> new_state(const at::TensorOptions& options) const override {
    return std::make_unique<RecurrentState>(config_, options);
  }
  std::optional<std::int64_t> reach() const override { return std::nullopt; }

 private:
  // What c is seen as: [N, S, ...].
  struct States {
    at::Tensor vectors;     // c
    at::Tensor seen;        // s
    at::Tensor key, value;  // [N, S, Hkv, D]
  };
  at::Tensor by_head(const at::Tensor& rows, std::int64_t num_heads) const {
    return rows.unflatten(-1, {num_heads, config_.head_dim()});
  }
  States states_of(const at::Tensor& vectors) const {
    const at::Tensor seen = rms_norm(recurrence_.norm, vectors) + recurrence_.ids.to(vectors.scalar_type());
    return {vectors, seen, by_head(project(seen, recurrence_.state_k_proj), config_.num_kv_heads),
            by_head(project(seen, recurrence_.state_v_proj), config_.num_kv_heads)};
  }
  at::Tensor state_queries(const at::Tensor& x) const {
    return by_head(project(rms_norm(layer_.input_layernorm, x), recurrence_.token_q_proj), config_.num_heads);
  }

  // c after a block whose keys and values are key, value [N, W, Hkv, D].
  at::Tensor next_vectors(const States& states, const at::Tensor& key, const at::Tensor& value) const {
    const auto read = [&](const at::Tensor& q_proj, const at::Tensor& o_proj, const at::Tensor& keys,
                          const at::Tensor& values) {
      const at::Tensor query = by_head(project(states.seen, q_proj), config_.num_heads);
      return project(attend_to_all(query, keys, values).flatten(-2), o_proj);
    };
    const at::ScalarType type = states.vectors.scalar_type();
    const at::Tensor z = read(recurrence_.state_q_proj, recurrence_.state_o_proj, states.key, states.value) +
                         read(recurrence_.block_q_proj, recurrence_.block_o_proj, key, value) +
                         recurrence_.z_bias.to(type);
    const at::Tensor gate = (recurrence_.gate_bias + 1).sigmoid().to(type);
    return gate * states.vectors + (1 - gate) * z;
  }

  // What new positions read of the states [T, H, D], query [1, T, H, D]; the state is carried over the ends of blocks
  // among them. key, value [1, M + T, Hkv, D]: M positions before.
  at::Tensor read_and_carry(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                            std::int64_t first_position, RecurrentState& state) const {
    const std::int64_t block_size = config_.window_size;
    const std::int64_t end = first_position + query.size(1);
    const std::int64_t first_kept = end - key.size(1);
    std::vector<at::Tensor> mixed;
    for (std::int64_t begin = first_position; begin < end;) {
      const std::int64_t block_end = (begin / block_size + 1) * block_size;
      const std::int64_t count = std::min(end, block_end) - begin;
      const States states = states_of(state.vectors.unsqueeze(0));
      mixed.push_back(
          attend_to_all(query.narrow(1, begin - first_position, count), states.key, states.value).squeeze(0));
      begin += count;
      if (begin < block_end) break;
      // All of the block is there: the window is as long.
      const auto block = [&](const at::Tensor& rows) {
        return rows.narrow(1, block_end - block_size - first_kept, block_size);
      };
      state.vectors = next_vectors(states, block(key), block(value)).squeeze(0);
    }
    return join_rows(mixed);
  }

  at::Tensor finish(const at::Tensor& x, const at::Tensor& local, const at::Tensor& mixed) const {
    const at::Tensor attended = add_attention(layer_, x, local) + project(mixed.flatten(-2), recurrence_.token_o_proj);
    return mlp_block(layer_, attended, attended);
  }

  LlamaLayer layer_;
  Recurrence recurrence_;
  const ModelConfig& config_;
};

StackLayers make_block_recurrent_layers(ParameterSet& parameters, const ModelConfig& config) {
  const std::int64_t memory_layer = config.own<BlockRecurrentConfig>().memory_layer;
  return make_layers_around_memory(parameters, config, memory_layer, [&](LlamaLayer layer) {
    Recurrence recurrence = make_recurrence(parameters, layer_prefix(memory_layer) + "recurrence.", config);
    return std::make_unique<RecurrentLayer>(std::move(layer), std::move(recurrence), config);
  });
}

ConfigKeys block_recurrent_keys(ModelConfig& config) {
  auto& own = config.own<BlockRecurrentConfig>();
  return with(stack_keys(config), {{"memory_layer", &own.memory_layer}, {"state_size", &own.state_size}});
}

void check_block_recurrent(const ModelConfig& config, const std::string& source) {
  check_stack(config, source);
  check_memory_layer(config.own<BlockRecurrentConfig>().memory_layer, config, source);
  check_positive(config.window_size, "slide_window (the length of a block)", source);
  check_positive(state_size(config), "state_size", source);
}

double block_recurrent_parameters(const ModelConfig& config) {
  const auto d = static_cast<double>(config.hidden_size);
  const double matrices = 6 * d * d + 2 * d * key_value_size(config);
  const double norm_biases_and_ids = (3 + static_cast<double>(state_size(config))) * d;
  return stack_parameters(config) + matrices + norm_biases_and_ids;
}

double block_recurrent_flops(const ModelConfig& config, std::int64_t length) {
  const auto d = static_cast<double>(config.hidden_size);
  const auto window = static_cast<double>(config.window_size);
  const auto states = static_cast<double>(state_size(config));
  const auto tokens = static_cast<double>(length);
  const double carried = std::ceil(tokens / window) - 1;
  const double keys_and_values = (carried + 1) * states * 4 * d * key_value_size(config);
  // Tokens: query, output, all states. States: two queries and outputs, all states and a block of tokens.
  return stack_flops(config, length) + tokens * (4 * d * d + 4 * d * states) + keys_and_values +
         carried * states * (8 * d * d + 4 * d * (states + window));
}

std::int64_t block_recurrent_window_elements(const ModelConfig& config) {
  return stack_window_elements(config) + shared_key_elements(config) + state_size(config) * config.hidden_size;
}

}  // namespace

constinit const Kind block_recurrent_kind{.name = "block-recurrent",
                                          .make = make_stack<make_block_recurrent_layers>,
                                          .keys = block_recurrent_keys,
                                          .check = check_block_recurrent,
                                          .cost = {.parameters = block_recurrent_parameters,
                                                   .flops = block_recurrent_flops,
                                                   .window_elements = block_recurrent_window_elements}};

}  // namespace lookback
