#include "models/drt/drt.h"

#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "models/attention_window.h"
#include "models/drt/drt_step.h"
#include "models/landmarks.h"
#include "models/layer_sizes.h"
#include "nn/recompute.h"
#include "ops/chunk_attention.h"
#include "ops/joint_chunk_attention.h"
#include "retrieval/causal_top_k.h"

namespace lookback {
namespace {

// The encoder's own, whatever config.json says of the others (docs/model.md, 4).
constexpr double encoder_rms_norm_eps = 1e-6;

at::Tensor apply_maybe_recomputed(bool recompute, const TensorFunction& function,
                                  const std::vector<at::Tensor>& inputs) {
  return recompute ? recompute_in_backward(function, inputs) : function(inputs);
}

}  // namespace

Drt::Drt(const ModelConfig& config, at::Device device, std::uint64_t seed)
    : Model(config, device, seed), own_(config_.own<DrtConfig>()) {
  const std::int64_t d = config.hidden_size;
  const LayerSizes sizes = decoder_layer_sizes(config);
  const auto linear = [&](const std::string& name) {
    return make_linear(parameters_, name, d, d, config.initializer_range);
  };
  for (std::int64_t i = 0; i < own_.decoder_layers[0]; ++i) {
    lower_layers_.push_back(make_llama_layer(parameters_, "model.lower_layers." + std::to_string(i) + ".", sizes));
  }
  encoder_prenorm_ = make_rms_norm(parameters_, "model.enc_prenorm.weight", d, config.rms_norm_eps);
  LayerSizes encoder_sizes = sizes;
  encoder_sizes.num_kv_heads = sizes.num_heads;
  encoder_sizes.rms_norm_eps = encoder_rms_norm_eps;
  for (std::int64_t i = 0; i < own_.num_encoder_layers; ++i) {
    encoder_layers_.push_back(
        make_llama_layer(parameters_, "model.encoder.layers." + std::to_string(i) + ".", encoder_sizes));
  }
  encoder_norm_ = make_rms_norm(parameters_, "model.encoder.norm.weight", d, encoder_rms_norm_eps);
  chunk_k_proj_ = linear("model.chunk_k_proj.weight");
  chunk_v_proj_ = linear("model.chunk_v_proj.weight");
  chunk_form_ = make_chunk_form(parameters_, config_);
  std::unique_ptr<ChunkRetriever> retriever = make_chunk_retriever(parameters_, config_);
  for (std::int64_t g = 0; g < own_.num_upper_groups(); ++g) {
    retriever->add_group(parameters_);
    std::vector<UpperLayer>& group = upper_groups_.emplace_back();
    for (std::int64_t j = 0; j < own_.decoder_layers[static_cast<std::size_t>(g) + 1]; ++j) {
      const std::string prefix = "model.upper_layers." + std::to_string(g) + "." + std::to_string(j) + ".";
      group.push_back({make_llama_layer(parameters_, prefix, sizes),
                       make_rms_norm(parameters_, prefix + "gca.pre_norm.weight", d, config.rms_norm_eps),
                       linear(prefix + "gca.q_proj.weight"), linear(prefix + "gca.o_proj.weight")});
    }
  }
  retriever_ = std::move(retriever);
  norm_ = make_rms_norm(parameters_, "model.norm.weight", d, config.rms_norm_eps);
  for (std::int64_t i = 0; i < config.num_convolutions(own_.decoder_layers[0]); ++i) {
    lower_convolutions_.push_back(make_short_convolution(
        parameters_, "model.lower_layers." + std::to_string(i) + ".conv.weight", config.conv_kernel, d, 0.5));
  }
  if (own_.encoder_conv_kernel > 0) {
    encoder_convolution_ =
        make_short_convolution(parameters_, "model.encoder.conv.weight", own_.encoder_conv_kernel, d, 0.5);
  }
  if (own_.key_conv_kernel > 0) {
    // At first a key is the position before its value: what was read is found by what came before it.
    key_convolution_ = make_short_convolution(parameters_, "model.key_conv.weight", own_.key_conv_kernel, d, 1);
    key_own_weight_ = parameters_.add("model.key_conv.own_weight", {d}, {Initializer::Kind::normal, 0.1});
  }
  if (own_.landmark_from == "vector") {
    encoder_landmark_ = parameters_.add("model.encoder.landmark", {d}, {Initializer::Kind::normal, 1});
  }
  if (own_.aligned_init) {
    const at::NoGradGuard no_gradients;
    // Of a size at which what is alike stands out, whatever the other matrices begin with.
    const double scale =
        config.initializer_range > 0 ? 1 / (std::sqrt(static_cast<double>(d)) * config.initializer_range) : 1;
    chunk_k_proj_.mul_(scale);
    chunk_v_proj_.mul_(scale);
    for (const std::vector<UpperLayer>& group : upper_groups_) {
      for (const UpperLayer& layer : group) {
        at::Tensor(layer.gca_q_proj).copy_(chunk_k_proj_);
        at::Tensor(layer.gca_o_proj).copy_(chunk_v_proj_.t());
      }
    }
  }
}

EncodedChunks Drt::encode_chunks(const at::Tensor& hidden, const at::Tensor& ids, bool gradient_checkpointing) const {
  const std::int64_t num_chunks = hidden.size(1);
  at::Tensor x = rms_norm(encoder_prenorm_, hidden).flatten(0, 1);  // [N * C, P, d]
  if (encoder_landmark_.defined()) {
    const at::Tensor landmark = encoder_landmark_.to(x.scalar_type()).expand({x.size(0), 1, -1});
    x = at::cat({x.narrow(1, 0, config_.chunk_size), landmark}, 1);
  }
  const RotaryTable table =
      make_rotary_table(positions_per_chunk(), config_.head_dim(), config_.rope_theta, x.options());
  for (const LlamaLayer& layer : encoder_layers_) {
    const TensorFunction apply = [&layer, table](const std::vector<at::Tensor>& inputs) {
      return bidirectional_layer(layer, inputs[0], table);
    };
    const bool is_convolved = encoder_convolution_.has_value() && &layer == encoder_layers_.data();
    x = apply_convolved(
        x, is_convolved ? short_convolution(*encoder_convolution_, x) : at::Tensor(),
        [&](const at::Tensor& seen) { return apply_maybe_recomputed(gradient_checkpointing, apply, {seen}); });
  }
  x = rms_norm(encoder_norm_, x).unflatten(0, {-1, num_chunks});
  // The landmark position is no key.
  const at::Tensor text = chunk_form_->vectors(x.narrow(2, 0, config_.chunk_size));
  const auto heads = [&](const at::Tensor& vectors, const at::Tensor& weight) {
    return project(vectors, weight).unflatten(-1, {config_.num_heads, config_.head_dim()});
  };
  const at::Tensor landmark =
      own_.landmark_from == "mean" ? x.narrow(2, 0, config_.chunk_size).mean(2) : x.select(2, config_.chunk_size);
  const at::Tensor keyed =
      key_convolution_ ? text * key_own_weight_.to(text.scalar_type()) + short_convolution(*key_convolution_, text)
                       : text;
  return {heads(keyed, chunk_k_proj_), heads(text, chunk_v_proj_), retriever_->landmarks(landmark, ids)};
}

at::Tensor Drt::visible_scores(const at::Tensor& query, const at::Tensor& landmarks, std::int64_t first_chunk) const {
  const std::int64_t masked = num_masked_chunks(config_);
  if (masked == 0 || first_chunk == 0) return causal_chunk_scores(query, landmarks, first_chunk - masked);
  // What was read before the text lies in no window.
  const at::Tensor own = landmarks.narrow(1, first_chunk, landmarks.size(1) - first_chunk);
  return at::cat({chunk_scores(query, landmarks.narrow(1, 0, first_chunk)), causal_chunk_scores(query, own, -masked)},
                 2);
}

TopK Drt::with_what_follows(const TopK& chosen, std::int64_t first_chunk, const std::vector<std::int64_t>& ends) const {
  return own_.retrieve_successors ? with_successors(chosen, first_chunk, ends) : chosen;
}

at::Tensor Drt::lower_convolution(std::size_t i, const at::Tensor& x) const {
  return i < lower_convolutions_.size() ? short_convolution(lower_convolutions_[i], x) : at::Tensor();
}

at::Tensor Drt::chunk_queries(const UpperLayer& layer, const at::Tensor& x) const {
  return project(rms_norm(layer.gca_pre_norm, x), layer.gca_q_proj)
      .unflatten(-1, {config_.num_heads, config_.head_dim()});
}

double Drt::softmax_scale() const { return 1 / std::sqrt(static_cast<double>(config_.head_dim())); }

at::Tensor Drt::attend_to_chunks(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                                 const at::Tensor& indices, const at::Tensor& weights) const {
  if (!retriever_->weighs_chunks()) return joint_chunk_attention(query, key, value, indices);
  return chunk_attention(query, key, value, indices, weights, softmax_scale(), own_.softmax_plus_one);
}

at::Tensor Drt::attend_to_chunks(const at::Tensor& query, const FetchedChunks& chunks,
                                 const at::Tensor& weights) const {
  const at::Tensor key = chunks.key.unsqueeze(0);
  const at::Tensor value = chunks.value.unsqueeze(0);
  if (!chunks.key_scales.defined()) return attend_to_chunks(query, key, value, chunks.indices, weights);
  return chunk_attention(query, {key, chunks.key_scales.unsqueeze(0)}, {value, chunks.value_scales.unsqueeze(0)},
                         chunks.indices, weights, softmax_scale(), own_.softmax_plus_one);
}

at::Tensor Drt::hidden_states(const at::Tensor& input_ids, const ForwardOptions& options) const {
  check_input_ids(input_ids);
  const bool noisy = options.training && retriever_->draws_noise();
  require(!noisy || options.generator.has_value(), "training with Gumbel noise needs a random generator");
  if (options.retrievals != nullptr) options.retrievals->clear();
  const std::int64_t length = input_ids.size(1);
  const std::int64_t positions = positions_per_chunk();
  const std::int64_t num_chunks = (length + config_.chunk_size - 1) / config_.chunk_size;
  const at::Tensor padded = at::constant_pad_nd(input_ids, {0, num_chunks * config_.chunk_size - length}, 0);
  at::Tensor x = embed(insert_landmarks(padded, config_)).to(options.dtype);  // [N, C * P, d]

  const AttentionWindow window = attention_window(config_, {{0, x.size(1)}}, x.options());
  for (std::size_t i = 0; i < lower_layers_.size(); ++i) {
    const LlamaLayer& layer = lower_layers_[i];
    const TensorFunction apply = [&layer, window](const std::vector<at::Tensor>& inputs) {
      const at::Tensor attended = windowed_attention_block(layer, inputs[0], window);
      return mlp_block(layer, attended, attended);
    };
    x = apply_convolved(x, lower_convolution(i, x), [&](const at::Tensor& seen) {
      return apply_maybe_recomputed(options.gradient_checkpointing, apply, {seen});
    });
  }

  const auto by_chunk = [num_chunks](const at::Tensor& rows) { return rows.unflatten(1, {num_chunks, -1}); };
  EncodedChunks encoded = encode_chunks(by_chunk(x), by_chunk(padded), options.gradient_checkpointing);
  std::int64_t first_chunk = 0;
  if (options.memory != nullptr) {
    retriever_->check_stores_memories();
    first_chunk = options.memory->landmarks.size(1);
    encoded = {at::cat({options.memory->key, encoded.key}, 1), at::cat({options.memory->value, encoded.value}, 1),
               at::cat({options.memory->landmarks, encoded.landmarks}, 1)};
  }

  for (std::size_t g = 0; g < upper_groups_.size(); ++g) {
    const AskingChunks asking{by_chunk(x).select(2, config_.chunk_size), {encoded.landmarks}};
    const at::Tensor query = retriever_->queries(g, asking);
    const at::Tensor scores =
        retriever_->adjusted(visible_scores(query, encoded.landmarks, first_chunk), first_chunk, g);
    const TopK retrieved =
        with_what_follows(retriever_->choose(scores, asking, first_chunk, g, noisy ? options.generator : std::nullopt),
                          first_chunk, {first_chunk});
    if (options.retrievals != nullptr) options.retrievals->push_back({scores, retrieved.indices, retrieved.weights});
    // What chunk c retrieves serves chunk c + 1; chunk 0 has nothing and gets 0.
    const std::int64_t served = num_chunks - 1;
    const at::Tensor indices = retrieved.indices.narrow(1, 0, served);
    const at::Tensor weights = retrieved.weights.narrow(1, 0, served);
    for (const UpperLayer& layer : upper_groups_[g]) {
      const TensorFunction apply = [this, &layer, window, indices, served](const std::vector<at::Tensor>& inputs) {
        const at::Tensor attended = windowed_attention_block(layer.llama, inputs[0], window);
        if (served == 0) return mlp_block(layer.llama, attended, attended);
        const at::Tensor query = chunk_queries(layer, attended.unflatten(1, {served + 1, -1}).narrow(1, 1, served));
        const at::Tensor mixed = attend_to_chunks(query, inputs[1], inputs[2], indices, inputs[3]);
        const at::Tensor gca = project(mixed.flatten(-2), layer.gca_o_proj);
        const at::Tensor y = attended + at::constant_pad_nd(gca, {0, 0, 0, 0, 1, 0}).flatten(1, 2);
        return finish_upper_layer(layer, attended, y);
      };
      x = apply_maybe_recomputed(options.gradient_checkpointing, apply, {x, encoded.key, encoded.value, weights});
    }
  }
  const at::Tensor text = by_chunk(rms_norm(norm_, x)).narrow(2, 0, positions - 1).flatten(1, 2);
  return text.narrow(1, 0, length);
}

std::int64_t Drt::reach_of_lower_layers(std::size_t first) const {
  std::int64_t positions = static_cast<std::int64_t>(lower_layers_.size() - first) * config_.window_size;
  for (std::size_t i = first; i < lower_convolutions_.size(); ++i) positions += lower_convolutions_[i].reach();
  return positions;
}

std::int64_t Drt::reading_halo_chunks() const {
  retriever_->check_stores_memories();
  return (reach_of_lower_layers(0) + positions_per_chunk() - 1) / positions_per_chunk();
}

EncodedChunks Drt::read_chunks(const at::Tensor& input_ids, std::int64_t halo_chunks, at::ScalarType dtype) const {
  const at::NoGradGuard no_gradients;
  check_input_ids(input_ids);
  const std::int64_t num_chunks = input_ids.size(1) / config_.chunk_size - halo_chunks;
  require(input_ids.size(1) % config_.chunk_size == 0 && halo_chunks >= 0 && num_chunks >= 1,
          "input_ids: expected whole chunks of {} tokens, more than the {} before, found {} tokens", config_.chunk_size,
          halo_chunks, input_ids.size(1));
  at::Tensor x = embed(insert_landmarks(input_ids, config_)).to(dtype);
  const std::int64_t positions = num_chunks * positions_per_chunk();
  for (std::size_t i = 0; i < lower_layers_.size(); ++i) {
    const at::Tensor convolved = lower_convolution(i, x);
    if (convolved.defined()) x = x + convolved;
    const AttentionWindow window = attention_window(config_, {{0, x.size(1)}}, x.options());
    const at::Tensor attended = windowed_attention_block(lower_layers_[i], x, window);
    const std::int64_t kept = std::min(attended.size(1), positions + reach_of_lower_layers(i + 1));
    const at::Tensor seen = attended.narrow(1, attended.size(1) - kept, kept);
    x = mlp_block(lower_layers_[i], seen, seen);
    if (convolved.defined()) x = x - convolved.narrow(1, convolved.size(1) - kept, kept);
  }
  return encode_chunks(x.unflatten(1, {num_chunks, -1}), {}, false);
}

std::unique_ptr<Sequence> Drt::new_sequence(at::ScalarType dtype) const {
  return std::make_unique<DrtSequence>(*this, embedding_.options().dtype(dtype));
}

at::Tensor Drt::advance(std::span<const Piece> pieces) const { return DrtStep(*this, pieces).run(); }

}  // namespace lookback
