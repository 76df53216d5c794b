// The layers that all models are made of (docs/model.md, 3 and 4): plain structs of parameter handles and free
// functions over them. Activations may be bfloat16: weights are converted where they meet them, norms compute in
// float32.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "kernels/position_bias.h"
#include "nn/parameters.h"
#include "nn/window_cache.h"
#include "ops/rotary.h"

namespace lookback {

// Sizes that a Llama layer needs.
struct LayerSizes {
  std::int64_t hidden_size = 0;        // d
  std::int64_t intermediate_size = 0;  // of the MLP
  std::int64_t num_heads = 0;          // H
  std::int64_t num_kv_heads = 0;       // Hkv
  double rms_norm_eps = 1e-5;
  double initializer_range = 0.02;  // 0: 1 / sqrt(fan_in)
};

// x [..., in] weight^T -> [..., out]; weight [out, in].
at::Tensor project(const at::Tensor& x, const at::Tensor& weight);

// A parameter `name` [out, in] filled as `initializer_range` says.
at::Tensor make_linear(ParameterSet& parameters, const std::string& name, std::int64_t out, std::int64_t in,
                       double initializer_range);

struct RmsNorm {
  at::Tensor weight;  // [d]
  double eps = 1e-5;
};
RmsNorm make_rms_norm(ParameterSet& parameters, const std::string& name, std::int64_t size, double eps);
// x / sqrt(mean(x^2) + eps) * weight over the last dimension.
at::Tensor rms_norm(const RmsNorm& norm, const at::Tensor& x);

struct SelfAttention {
  at::Tensor q_proj, k_proj, v_proj, o_proj;
  std::int64_t num_heads = 0;
  std::int64_t num_kv_heads = 0;
};

struct SwiGlu {
  at::Tensor gate_proj, up_proj, down_proj;
};
// down(silu(gate(x)) * up(x)).
at::Tensor swiglu(const SwiGlu& mlp, const at::Tensor& x);

// A pre-norm Llama layer: h += o(attention(norm(h))), h += swiglu(norm(h)).
struct LlamaLayer {
  RmsNorm input_layernorm;
  SelfAttention self_attn;
  RmsNorm post_attention_layernorm;
  SwiGlu mlp;
};
LlamaLayer make_llama_layer(ParameterSet& parameters, const std::string& prefix, const LayerSizes& sizes);

// What a layer's self-attention works on: of norm(x), x [..., d].
struct AttentionHeads {
  at::Tensor query;       // [..., H, D]
  at::Tensor key, value;  // [..., Hkv, D]
};
AttentionHeads attention_heads(const LlamaLayer& layer, const at::Tensor& x);

// How self-attention sees the rows of one pass (docs/model.md, 3).
struct AttentionWindow {
  std::int64_t size = 0;  // W: a position sees itself and W before it
  PositionBias bias = PositionBias::alibi;
  std::optional<RotaryTable> rotation;  // at the rows' positions [T, D], where positions are rotary
};
// The heads [N, T, ...] or [T, ...] as attention within the window takes them: queries and keys are rotated if it says
// so.
AttentionHeads rotated(AttentionHeads heads, const AttentionWindow& window);

// x + o(mixed), mixed [..., H, D].
at::Tensor add_attention(const LlamaLayer& layer, const at::Tensor& x, const at::Tensor& mixed);

// x + o(sliding-window attention of norm(x)), x [N, L, d].
at::Tensor windowed_attention_block(const LlamaLayer& layer, const at::Tensor& x, const AttentionWindow& window);

// Some positions of one sequence, rows of a matrix that holds those of several, and what its window keeps.
struct WindowedRows {
  std::int64_t first_row = 0, num_rows = 0;
  WindowCache* cache = nullptr;
};
// The same where x [R, d] holds the next positions of several sequences one after another; their caches move on. The
// result of a sequence does not depend on the others.
at::Tensor windowed_attention_block(const LlamaLayer& layer, const at::Tensor& x, const AttentionWindow& window,
                                    const std::vector<WindowedRows>& sequences);

// x + swiglu(norm(y)): with y = x a Llama layer's second half; DRT's upper layers give y = x + GCA(x).
at::Tensor mlp_block(const LlamaLayer& layer, const at::Tensor& x, const at::Tensor& y);

// A whole bidirectional Llama layer with rotary positions over x [M, P, d]: each of the M rows attends to itself.
at::Tensor bidirectional_layer(const LlamaLayer& layer, const at::Tensor& x, const RotaryTable& table);

}  // namespace lookback
