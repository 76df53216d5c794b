#include "models/drt/fixed_retriever.h"

#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cctype>
#include <string>
#include <utility>

#include "core/error.h"
#include "models/device.h"
#include "models/layer_sizes.h"

namespace lookback {
namespace {

constexpr double bm25_saturation = 1.2;  // k1
constexpr std::uint64_t retriever_seed = 0x6c6f6f6b;
constexpr std::int64_t num_bytes = 256;
constexpr std::int64_t most_special_ids = 8;  // of a vocabulary of bytes

// FNV-1a.
constexpr std::uint64_t hash_begin = 0xcbf29ce484222325;
constexpr std::uint64_t hash_on(std::uint64_t hash, std::uint64_t value) { return (hash ^ value) * 0x100000001b3; }

// Calls visit(hash) for each term of a chunk's ids.
template <typename Visit>
void for_each_term(const std::int64_t* ids, std::int64_t count, bool ids_are_bytes, const Visit& visit) {
  if (!ids_are_bytes) {
    for (std::int64_t i = 0; i < count; ++i) visit(hash_on(hash_begin, static_cast<std::uint64_t>(ids[i])));
    return;
  }
  std::uint64_t hash = hash_begin;
  bool in_word = false;
  const auto end_word = [&] {
    if (in_word) visit(hash);
    hash = hash_begin;
    in_word = false;
  };
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t id = ids[i];
    // Bytes from 128 on are letters of other alphabets.
    const bool of_word = id < num_bytes && (id >= 128 || std::isalnum(static_cast<int>(id)) != 0);
    if (!of_word) {
      end_word();
      continue;
    }
    in_word = true;
    hash = hash_on(hash, static_cast<std::uint64_t>(id < 128 ? std::tolower(static_cast<int>(id)) : id));
  }
  end_word();
}

at::Tensor of_length_one(const at::Tensor& rows) { return rows / rows.norm(2, -1, true).clamp_min(1e-12); }

}  // namespace

FixedRetriever::FixedRetriever(const ModelConfig& config, at::Device device, at::Tensor embeddings)
    : config_(config), own_(config.own<DrtConfig>()), device_(device), embeddings_(std::move(embeddings)) {
  if (own_.retriever == "encoder") encoder_ = make_encoder(config, device);
}

FixedRetriever::Encoder FixedRetriever::make_encoder(const ModelConfig& config, at::Device device) {
  ParameterSet parameters(device, retriever_seed);
  Encoder encoder;
  encoder.embedding = parameters.add("embedding", {config.vocab_size, config.hidden_size},
                                     {Initializer::Kind::normal, config.embedding_initializer_range});
  LayerSizes sizes = decoder_layer_sizes(config);
  sizes.num_kv_heads = sizes.num_heads;
  for (std::int64_t i = 0; i < config.own<DrtConfig>().num_encoder_layers; ++i) {
    encoder.layers.push_back(make_llama_layer(parameters, std::to_string(i) + ".", sizes));
  }
  encoder.norm = make_rms_norm(parameters, "norm", config.hidden_size, config.rms_norm_eps);
  parameters.freeze(at::kFloat);
  return encoder;
}

at::Tensor FixedRetriever::landmarks(const at::Tensor& encoded, const at::Tensor& ids) const {
  return keys(ids).to(encoded.scalar_type());
}

at::Tensor FixedRetriever::queries(std::size_t /*group_index*/, const AskingChunks& asking) const {
  std::vector<at::Tensor> before;
  std::vector<at::Tensor> own;
  std::int64_t chunks_left = -asking.hidden.size(1);  // before those that ask
  for (const at::Tensor& some : asking.landmarks) chunks_left += some.size(1);
  for (const at::Tensor& some : asking.landmarks) {
    const std::int64_t count = some.size(1);
    const std::int64_t earlier = std::clamp<std::int64_t>(chunks_left, 0, count);
    if (earlier > 0) before.push_back(some.narrow(1, 0, earlier));
    if (earlier < count) own.push_back(some.narrow(1, earlier, count - earlier));
    chunks_left -= earlier;
  }
  return queries(before, own.size() == 1 ? own[0] : at::cat(own, 1));
}

// The same for all groups. What is read together has no weights; for those who look at them, they are alike.
TopK FixedRetriever::choose(const at::Tensor& scores, const AskingChunks& /*asking*/, std::int64_t /*first_chunk*/,
                            std::size_t /*group_index*/,
                            const std::optional<at::Generator>& /*noise_generator*/) const {
  TopK chosen = choose_top_k(scores, selection(scores), config_.top_k);
  chosen.weights = uniform_weights(chosen.indices);
  return chosen;
}

void FixedRetriever::check_stores_memories() const {
  fail("a model with a fixed retriever stores no memory: what it finds chunks by depends on the text");
}

void FixedRetriever::check_searches_memories() const { fail("a model with a fixed retriever reads no stored memory"); }

at::Tensor FixedRetriever::keys(const at::Tensor& ids) const {
  const at::NoGradGuard no_gradients;
  if (embeddings_.defined()) return embedding_keys(ids);
  return encoder_ ? encoder_keys(ids) : term_keys(ids);
}

at::Tensor FixedRetriever::term_keys(const at::Tensor& ids) const {
  const at::Tensor text = ids.contiguous();
  const std::int64_t chunk_size = ids.size(2);
  const std::int64_t num_chunks = ids.size(0) * ids.size(1);
  const std::int64_t size = landmark_size(config_);
  at::Tensor counts = at::zeros({ids.size(0), ids.size(1), size});
  const auto* values = text.const_data_ptr<std::int64_t>();
  auto* found = counts.mutable_data_ptr<float>();
  const bool ids_are_bytes = config_.vocab_size >= num_bytes && config_.vocab_size <= num_bytes + most_special_ids;
  for (std::int64_t c = 0; c < num_chunks; ++c) {
    for_each_term(values + c * chunk_size, chunk_size, ids_are_bytes, [&](std::uint64_t hash) {
      found[c * size + static_cast<std::int64_t>(hash % static_cast<std::uint64_t>(size))] += 1;
    });
  }
  return copy_to_device(counts * (bm25_saturation + 1) / (counts + bm25_saturation), device_);
}

at::Tensor FixedRetriever::encoder_keys(const at::Tensor& ids) const {
  at::Tensor x = at::embedding(encoder_->embedding, copy_to_device(ids, device_)).flatten(0, 1);  // [N * C, S, d]
  const RotaryTable table = make_rotary_table(ids.size(2), config_.head_dim(), config_.rope_theta, x.options());
  for (const LlamaLayer& layer : encoder_->layers) x = bidirectional_layer(layer, x, table);
  return of_length_one(rms_norm(encoder_->norm, x).mean(1)).view({ids.size(0), ids.size(1), -1});
}

at::Tensor FixedRetriever::embedding_keys(const at::Tensor& ids) const {
  return of_length_one(at::embedding(embeddings_, copy_to_device(ids, device_)).to(at::kFloat).mean(2));
}

at::Tensor FixedRetriever::queries(const std::vector<at::Tensor>& before, const at::Tensor& keys) const {
  const at::NoGradGuard no_gradients;
  if (own_.retriever != "bm25") return keys;
  const at::Tensor present = keys.gt(0).to(at::kFloat);
  // Of each query: how many of the chunks before it have each term, and how many they are.
  at::Tensor document_count = present.cumsum(-2) - present;
  std::int64_t num_before = 0;
  for (const at::Tensor& some : before) {
    document_count = document_count + some.gt(0).sum(-2, true, at::kFloat);
    num_before += some.size(-2);
  }
  const at::Tensor count =
      at::arange(num_before, num_before + keys.size(-2), keys.options().dtype(at::kFloat)).unsqueeze(1);
  return present * at::log1p((count - document_count + 0.5) / (document_count + 0.5));
}

at::Tensor FixedRetriever::selection(const at::Tensor& scores) const {
  // Coarse enough that the order of summation, which differs between paths, makes no difference of equal scores; those
  // of cosines are smaller.
  const double steps = own_.retriever == "bm25" ? 4096 : 65536;
  constexpr double nearness = 1e-9;
  const at::Tensor chunk = at::arange(scores.size(2), scores.options().dtype(at::kDouble));
  return (scores.to(at::kDouble) * steps).round() / steps + chunk * nearness;
}

}  // namespace lookback
