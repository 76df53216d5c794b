#include "nn/layers.h"

#include <cmath>
#include <utility>

#include "ops/matrix_product.h"
#include "ops/parallel.h"
#include "ops/rms_norm.h"
#include "ops/silu_and_mul.h"
#include "ops/sliding_window_attention.h"

namespace lookback {
namespace {

at::Tensor split_heads(const at::Tensor& x, std::int64_t num_heads) {
  return x.unflatten(-1, {num_heads, x.size(-1) / num_heads});
}

}  // namespace

at::Tensor project(const at::Tensor& x, const at::Tensor& weight) {
  return linear_projection(x, weight.to(x.scalar_type()));
}

at::Tensor make_linear(ParameterSet& parameters, const std::string& name, std::int64_t out, std::int64_t in,
                       double initializer_range) {
  const double deviation = initializer_range > 0 ? initializer_range : 1 / std::sqrt(static_cast<double>(in));
  return parameters.add(name, {out, in}, {Initializer::Kind::normal, deviation});
}

RmsNorm make_rms_norm(ParameterSet& parameters, const std::string& name, std::int64_t size, double eps) {
  return {parameters.add(name, {size}, {Initializer::Kind::ones, 0}), eps};
}

at::Tensor rms_norm(const RmsNorm& norm, const at::Tensor& x) { return rms_norm(x, norm.weight, norm.eps); }

at::Tensor swiglu(const SwiGlu& mlp, const at::Tensor& x) {
  return project(silu_and_mul(project(x, mlp.gate_proj), project(x, mlp.up_proj)), mlp.down_proj);
}

LlamaLayer make_llama_layer(ParameterSet& parameters, const std::string& prefix, const LayerSizes& sizes) {
  const std::int64_t d = sizes.hidden_size;
  const std::int64_t kv_size = d / sizes.num_heads * sizes.num_kv_heads;
  const auto make = [&](const std::string& name, std::int64_t out, std::int64_t in) {
    return make_linear(parameters, prefix + name, out, in, sizes.initializer_range);
  };
  LlamaLayer layer;
  layer.input_layernorm = make_rms_norm(parameters, prefix + "input_layernorm.weight", d, sizes.rms_norm_eps);
  layer.self_attn = {make("self_attn.q_proj.weight", d, d),
                     make("self_attn.k_proj.weight", kv_size, d),
                     make("self_attn.v_proj.weight", kv_size, d),
                     make("self_attn.o_proj.weight", d, d),
                     sizes.num_heads,
                     sizes.num_kv_heads};
  layer.post_attention_layernorm =
      make_rms_norm(parameters, prefix + "post_attention_layernorm.weight", d, sizes.rms_norm_eps);
  layer.mlp = {make("mlp.gate_proj.weight", sizes.intermediate_size, d),
               make("mlp.up_proj.weight", sizes.intermediate_size, d),
               make("mlp.down_proj.weight", d, sizes.intermediate_size)};
  return layer;
}

AttentionHeads attention_heads(const LlamaLayer& layer, const at::Tensor& x) {
  const SelfAttention& attention = layer.self_attn;
  const at::Tensor normed = rms_norm(layer.input_layernorm, x);
  return {split_heads(project(normed, attention.q_proj), attention.num_heads),
          split_heads(project(normed, attention.k_proj), attention.num_kv_heads),
          split_heads(project(normed, attention.v_proj), attention.num_kv_heads)};
}

AttentionHeads rotated(AttentionHeads heads, const AttentionWindow& window) {
  if (!window.rotation) return heads;
  const auto turn = [&](const at::Tensor& x) {
    return x.dim() == 4 ? rotary(x, *window.rotation) : rotary(x.unsqueeze(0), *window.rotation).squeeze(0);
  };
  return {turn(heads.query), turn(heads.key), std::move(heads.value)};
}

at::Tensor add_attention(const LlamaLayer& layer, const at::Tensor& x, const at::Tensor& mixed) {
  return x + project(mixed.flatten(-2), layer.self_attn.o_proj);
}

at::Tensor windowed_attention_block(const LlamaLayer& layer, const at::Tensor& x, const AttentionWindow& window) {
  const AttentionHeads heads = rotated(attention_heads(layer, x), window);
  return add_attention(layer, x,
                       sliding_window_attention(heads.query, heads.key, heads.value, window.size, window.bias));
}

at::Tensor windowed_attention_block(const LlamaLayer& layer, const at::Tensor& x, const AttentionWindow& window,
                                    const std::vector<WindowedRows>& sequences) {
  const AttentionHeads heads = rotated(attention_heads(layer, x), window);
  std::vector<at::Tensor> mixed(sequences.size());
  for_each_in_parallel(sequences.size(), [&](std::size_t i) {
    const WindowedRows& one = sequences[i];
    const auto rows = [&one](const at::Tensor& all) { return all.narrow(0, one.first_row, one.num_rows); };
    const WindowCache::View seen = one.cache->append(rows(heads.key), rows(heads.value), window.size);
    mixed[i] = sliding_window_attention(rows(heads.query).unsqueeze(0), seen.key.unsqueeze(0), seen.value.unsqueeze(0),
                                        window.size, window.bias)
                   .squeeze(0);
  });
  return add_attention(layer, x, mixed.size() == 1 ? mixed.front() : at::cat(mixed));
}

at::Tensor mlp_block(const LlamaLayer& layer, const at::Tensor& x, const at::Tensor& y) {
  return x + swiglu(layer.mlp, rms_norm(layer.post_attention_layernorm, y));
}

at::Tensor bidirectional_layer(const LlamaLayer& layer, const at::Tensor& x, const RotaryTable& table) {
  const SelfAttention& attention = layer.self_attn;
  const at::Tensor normed = rms_norm(layer.input_layernorm, x);
  const auto heads = [&](const at::Tensor& weight) {
    return split_heads(project(normed, weight), attention.num_heads);  // [M, P, H, D]
  };
  const at::Tensor mixed = at::scaled_dot_product_attention(rotary(heads(attention.q_proj), table).transpose(1, 2),
                                                            rotary(heads(attention.k_proj), table).transpose(1, 2),
                                                            heads(attention.v_proj).transpose(1, 2));
  const at::Tensor attended = x + project(mixed.transpose(1, 2).flatten(-2), attention.o_proj);
  return mlp_block(layer, attended, attended);
}

}  // namespace lookback
