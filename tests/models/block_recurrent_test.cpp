// The layer against the formulas of block_recurrent.h in float64, one position, head and state at a time.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "models/small_models.h"

namespace lookback {
namespace {

constexpr const char* layer_name = "model.layers.0.";

class BlockRecurrentTwin {
 public:
  explicit BlockRecurrentTwin(Model& model) : model_(model), config_(model.config()) {}

  // ids [L] -> hidden states [L, d].
  at::Tensor hidden_states(const at::Tensor& ids) const {
    const at::Tensor x = parameter("model.embed_tokens.weight").index_select(0, ids);
    const at::Tensor normed = norm(x, "input_layernorm.weight");
    const at::Tensor key = heads(at::matmul(normed, weight("self_attn.k_proj")), config_.num_kv_heads);
    const at::Tensor value = heads(at::matmul(normed, weight("self_attn.v_proj")), config_.num_kv_heads);
    const at::Tensor query = heads(at::matmul(normed, weight("self_attn.q_proj")), config_.num_heads);
    const at::Tensor state_query = heads(at::matmul(normed, weight("recurrence.token_q_proj")), config_.num_heads);
    at::Tensor state = at::zeros({state_size_, config_.hidden_size}, at::kDouble);
    std::vector<at::Tensor> rows;
    for (std::int64_t i = 0; i < ids.size(0); ++i) {
      const std::int64_t first = std::max<std::int64_t>(0, i - config_.window_size);
      std::vector<double> distances;
      for (std::int64_t j = first; j <= i; ++j) distances.push_back(static_cast<double>(i - j));
      const at::Tensor local = attend(query[i], key.narrow(0, first, i + 1 - first),
                                      value.narrow(0, first, i + 1 - first), at::tensor(distances, at::kDouble));
      const at::Tensor seen = norm(state, "recurrence.norm.weight") + parameter(name("recurrence.ids"));
      const at::Tensor state_key = heads(at::matmul(seen, weight("recurrence.state_k_proj")), config_.num_kv_heads);
      const at::Tensor state_value = heads(at::matmul(seen, weight("recurrence.state_v_proj")), config_.num_kv_heads);
      const at::Tensor remembered = attend(state_query[i], state_key, state_value, {});
      const at::Tensor attended = x[i] + at::matmul(local.flatten(), weight("self_attn.o_proj")) +
                                  at::matmul(remembered.flatten(), weight("recurrence.token_o_proj"));
      rows.push_back(attended + mlp(norm(attended, "post_attention_layernorm.weight")));
      if ((i + 1) % config_.window_size != 0) continue;
      const std::int64_t begin = i + 1 - config_.window_size;
      std::vector<at::Tensor> next;
      for (std::int64_t s = 0; s < state_size_; ++s) {
        const auto read = [&](const char* q_proj, const char* o_proj, const at::Tensor& keys,
                              const at::Tensor& values) {
          const at::Tensor own = heads(at::matmul(seen[s], weight(q_proj)).unsqueeze(0), config_.num_heads)[0];
          return at::matmul(attend(own, keys, values, {}).flatten(), weight(o_proj));
        };
        const at::Tensor z =
            read("recurrence.state_q_proj", "recurrence.state_o_proj", state_key, state_value) +
            read("recurrence.block_q_proj", "recurrence.block_o_proj", key.narrow(0, begin, config_.window_size),
                 value.narrow(0, begin, config_.window_size)) +
            parameter(name("recurrence.z_bias"));
        const at::Tensor gate = 1 / (1 + (-parameter(name("recurrence.gate_bias")) - 1).exp());
        next.push_back(gate * state[s] + (1 - gate) * z);
      }
      state = at::stack(next);
    }
    const at::Tensor h = at::stack(rows);
    return h / (h.square().mean(-1, true) + config_.rms_norm_eps).sqrt() * parameter("model.norm.weight");
  }

 private:
  static std::string name(const std::string& rest) { return layer_name + rest; }
  at::Tensor parameter(const std::string& full) const { return model_.parameters().get(full).detach().to(at::kDouble); }
  // [in, out].
  at::Tensor weight(const std::string& rest) const { return parameter(name(rest + ".weight")).t(); }
  at::Tensor norm(const at::Tensor& x, const std::string& rest) const {
    return x / (x.square().mean(-1, true) + config_.rms_norm_eps).sqrt() * parameter(name(rest));
  }
  at::Tensor heads(const at::Tensor& rows, std::int64_t count) const {
    return rows.unflatten(-1, {count, config_.head_dim()});
  }
  at::Tensor mlp(const at::Tensor& x) const {
    const at::Tensor gate = at::matmul(x, weight("mlp.gate_proj"));
    return at::matmul(gate * at::sigmoid(gate) * at::matmul(x, weight("mlp.up_proj")), weight("mlp.down_proj"));
  }
  // query [H, D], key and value [J, Hkv, D]; distances [J] or none: no position bias.
  at::Tensor attend(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                    const at::Tensor& distances) const {
    std::vector<at::Tensor> mixed;
    for (std::int64_t h = 0; h < config_.num_heads; ++h) {
      const std::int64_t kv = h / (config_.num_heads / config_.num_kv_heads);
      at::Tensor scores = at::matmul(key.select(1, kv), query[h]) / std::sqrt(static_cast<double>(config_.head_dim()));
      const double slope = std::exp2(-8.0 * static_cast<double>(h + 1) / static_cast<double>(config_.num_heads));
      if (distances.defined()) scores = scores - slope * distances;
      mixed.push_back(at::matmul(at::softmax(scores, 0), value.select(1, kv)));
    }
    return at::stack(mixed);
  }

  Model& model_;
  const ModelConfig& config_;
  const std::int64_t state_size_ = config_.own<BlockRecurrentConfig>().state_size;
};

TEST(BlockRecurrent, EqualsTheFormulas) {
  ModelConfig config = small_config("block-recurrent");
  config.num_layers = 1;
  config.own<BlockRecurrentConfig>().memory_layer = 0;
  const auto model = make_model(config, at::kCPU, 3);
  // Biases that are 0 at first would hide where they stand.
  for (const char* bias : {"recurrence.z_bias", "recurrence.gate_bias"}) {
    model->parameters()
        .get(std::string(layer_name) + bias)
        .detach()
        .normal_(0, 1, at::detail::createCPUGenerator(bias[11]));
  }
  // Four blocks of 7 and a part of one.
  const at::Tensor ids = random_ids(1, 31, 39, 1);
  const at::Tensor expected = BlockRecurrentTwin(*model).hidden_states(ids[0]);
  const at::Tensor found = model->hidden_states(ids, {}).detach()[0].to(at::kDouble);
  EXPECT_LT((found - expected).abs().max().item<double>(), 2e-5);
}

}  // namespace
}  // namespace lookback
