// A session's state as named tensors, and back.
#include <utility>

#include "core/error.h"
#include "models/drt_session.h"

namespace lookback {

NamedTensors DrtSession::state() const {
  NamedTensors state{{"archives", at::tensor(archived_.sizes(), at::kLong)},
                     {"num_sequences", at::scalar_tensor(num_sequences(), at::kLong)}};
  for (std::size_t n = 0; n < sequences_.size(); ++n) {
    save_sequence(state, "sequence." + std::to_string(n), sequences_[n]);
  }
  return state;
}

void DrtSession::save_sequence(NamedTensors& state, const std::string& name, const Sequence& sequence) const {
  const std::int64_t window = model_.config_.window_size;
  state.emplace_back(name + ".num_tokens", at::scalar_tensor(sequence.num_tokens, at::kLong));
  state.emplace_back(name + ".unfinished", sequence.unfinished);
  if (model_.retriever_) state.emplace_back(name + ".unfinished_ids", sequence.unfinished_ids);
  for (std::size_t i = 0; i < sequence.lower_caches.size(); ++i) {
    save_window(state, name + ".lower." + std::to_string(i), sequence.lower_caches[i], window);
  }
  save_chunks(state, name + ".memory", sequence.memory);
  for (std::size_t g = 0; g < sequence.groups.size(); ++g) {
    const GroupState& group = sequence.groups[g];
    const std::string prefix = name + ".group." + std::to_string(g);
    for (std::size_t j = 0; j < group.caches.size(); ++j) {
      save_window(state, prefix + ".layer." + std::to_string(j), group.caches[j], window);
    }
    if (!group.retrieval.indices.defined()) continue;
    state.emplace_back(prefix + ".indices", group.retrieval.indices);
    state.emplace_back(prefix + ".weights", group.retrieval.weights);
  }
}

void DrtSession::restore(const NamedTensors& state) {
  StateReader reader(state, model_.embedding_.options().dtype(dtype_));
  const std::vector<std::int64_t>& now = archived_.sizes();
  const at::Tensor sizes = reader.take_integers("archives", {-1}).cpu();
  require(sizes.size(0) == std::ssize(now), "the session retrieves from {} stored memories, attached are {}",
          sizes.size(0), now.size());
  for (std::size_t i = 0; i < now.size(); ++i) {
    const auto size = sizes[static_cast<std::int64_t>(i)].item<std::int64_t>();
    require(size >= 0 && size <= now[i],
            "the session's stored memory {} had {} chunks, it has {} now: chunks were removed", i, size, now[i]);
  }
  const std::int64_t count = reader.take_count("num_sequences");
  require(count >= 1, "the session holds no sequence: it is damaged");
  std::vector<Sequence> sequences;
  for (std::int64_t n = 0; n < count; ++n) {
    sequences.push_back(restore_sequence(reader, "sequence." + std::to_string(n), sizes));
  }
  reader.finish();
  sequences_ = std::move(sequences);
}

DrtSession::Sequence DrtSession::restore_sequence(StateReader& reader, const std::string& name,
                                                  const at::Tensor& archive_sizes) const {
  const ModelConfig& config = model_.config_;
  const std::int64_t chunk_size = config.chunk_size;
  Sequence sequence = new_sequence();
  sequence.num_tokens = reader.take_count(name + ".num_tokens");
  sequence.unfinished = reader.take(name + ".unfinished", {sequence.num_tokens % chunk_size, config.hidden_size});
  if (model_.retriever_) {
    sequence.unfinished_ids = reader.take_integers(name + ".unfinished_ids", {sequence.num_tokens % chunk_size});
  }
  for (std::size_t i = 0; i < sequence.lower_caches.size(); ++i) {
    sequence.lower_caches[i] = reader.take_window(name + ".lower." + std::to_string(i), config.window_size,
                                                  config.num_kv_heads, config.head_dim());
  }
  const std::int64_t num_chunks = sequence.num_tokens / chunk_size;
  sequence.memory =
      reader.take_chunks(name + ".memory", num_chunks, {config.chunk_vectors(), config.num_heads, config.head_dim()},
                         config.landmark_size());

  for (std::size_t g = 0; g < sequence.groups.size(); ++g) {
    GroupState& group = sequence.groups[g];
    const std::string prefix = name + ".group." + std::to_string(g);
    for (std::size_t j = 0; j < group.caches.size(); ++j) {
      group.caches[j] = reader.take_window(prefix + ".layer." + std::to_string(j), config.window_size,
                                           config.num_kv_heads, config.head_dim());
    }
    if (!reader.has(prefix + ".indices")) continue;
    const at::Tensor indices = reader.take_integers(prefix + ".indices", {1, 1, config.top_k});
    // Whoever retrieves has finished a chunk.
    require(num_chunks > 0, "the session's {}.indices name chunks before its first chunk ended: it is damaged", prefix);
    const auto before = archive_sizes.sum().item<std::int64_t>();
    require(indices.lt(before + num_chunks).all().item<bool>() && indices.ge(-1).all().item<bool>(),
            "the session's {}.indices name chunks that there are not: it is damaged", prefix);
    // Memories may have grown since, and their chunks have other numbers then.
    at::Tensor moved = indices.clone();
    std::int64_t begin = 0;
    std::int64_t added = 0;
    for (std::int64_t i = 0; i < archive_sizes.size(0); ++i) {
      begin += archive_sizes[i].item<std::int64_t>();
      added += archived_.sizes()[static_cast<std::size_t>(i)] - archive_sizes[i].item<std::int64_t>();
      moved = at::where(indices.ge(begin), indices + added, moved);
    }
    const at::ScalarType weights_type = dtype_ == at::kDouble ? at::kDouble : at::kFloat;
    group.retrieval = {{}, moved, reader.take(prefix + ".weights", {1, 1, config.top_k}, weights_type)};
  }
  return sequence;
}

}  // namespace lookback
