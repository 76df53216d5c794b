#include "models/drt/drt_sequence.h"

#include <utility>

#include "core/error.h"
#include "models/session_state.h"

namespace lookback {
namespace {

std::vector<WindowCache> copies(const std::vector<WindowCache>& caches) {
  std::vector<WindowCache> result;
  for (const WindowCache& cache : caches) result.push_back(cache.copy());
  return result;
}

std::int64_t bytes_of(const std::vector<WindowCache>& caches) {
  std::int64_t sum = 0;
  for (const WindowCache& cache : caches) sum += cache.bytes();
  return sum;
}

std::string name_of_convolution(std::size_t layer) { return "lower." + std::to_string(layer) + ".conv"; }

std::string name_of_group(std::size_t group_index) { return "group." + std::to_string(group_index); }

}  // namespace

DrtSequence::DrtSequence(const Drt& model, const at::TensorOptions& options)
    : Sequence(model, options),
      lower_caches(model.lower_layers_.size()),
      convolved(model.lower_convolutions_.size(), at::empty({0, model.config_.hidden_size}, options)),
      unfinished(at::empty({0, model.config_.hidden_size}, options)),
      model_(model) {
  if (model.retriever_->finds_by_tokens()) unfinished_ids = at::empty({0}, at::kLong);
  for (std::size_t g = 0; g < model.upper_groups_.size(); ++g) groups.push_back(new_group(g));
}

// Tensors that are replaced, never written to, are shared.
DrtSequence::DrtSequence(const DrtSequence& other)
    : Sequence(other),
      lower_caches(copies(other.lower_caches)),
      convolved(other.convolved),
      unfinished(other.unfinished),
      unfinished_ids(other.unfinished_ids),
      memory(other.memory.fork()),
      model_(other.model_) {
  for (const Group& group : other.groups) groups.push_back({copies(group.caches), group.retrieval, group.chunks});
}

std::unique_ptr<Sequence> DrtSequence::fork() const { return std::unique_ptr<Sequence>(new DrtSequence(*this)); }

DrtSequence::Group DrtSequence::new_group(std::size_t group_index) const {
  Group group;
  group.caches.resize(model_.upper_groups_[group_index].size());
  return group;
}

const ArchiveSet& DrtSequence::archives() const {
  static const ArchiveSet none;
  return memories() ? memories()->archives() : none;
}

void DrtSequence::check_takes_memories() const { model_.retriever_->check_searches_memories(); }

std::int64_t DrtSequence::window_bytes() const {
  auto sum = static_cast<std::int64_t>(unfinished.nbytes()) + bytes_of(lower_caches);
  if (unfinished_ids.defined()) sum += static_cast<std::int64_t>(unfinished_ids.nbytes());
  for (const at::Tensor& rows : convolved) sum += static_cast<std::int64_t>(rows.nbytes());
  for (const Group& group : groups) sum += bytes_of(group.caches);
  return sum;
}

std::vector<Retrieval> DrtSequence::current_retrievals() const {
  std::vector<Retrieval> retrievals;
  for (const Group& group : groups) {
    if (!group.retrieval.indices.defined()) return {};
    retrievals.push_back(group.retrieval);
  }
  return retrievals;
}

void DrtSequence::save_state(NamedTensors& state) const {
  const std::int64_t window = model_.config_.window_size;
  state.emplace_back("archives", at::tensor(archives().sizes(), at::kLong));
  state.emplace_back("unfinished", unfinished);
  if (unfinished_ids.defined()) state.emplace_back("unfinished_ids", unfinished_ids);
  for (std::size_t i = 0; i < lower_caches.size(); ++i) {
    save_window(state, "lower." + std::to_string(i), lower_caches[i], window);
  }
  for (std::size_t i = 0; i < convolved.size(); ++i) state.emplace_back(name_of_convolution(i), convolved[i]);
  save_chunks(state, "memory", memory);
  for (std::size_t g = 0; g < groups.size(); ++g) {
    const Group& group = groups[g];
    const std::string prefix = name_of_group(g);
    for (std::size_t j = 0; j < group.caches.size(); ++j) {
      save_window(state, prefix + ".layer." + std::to_string(j), group.caches[j], window);
    }
    if (!group.retrieval.indices.defined()) continue;
    state.emplace_back(prefix + ".indices", group.retrieval.indices);
    state.emplace_back(prefix + ".weights", group.retrieval.weights);
  }
}

// Of each attached memory: how many chunks it had when the state was made.
at::Tensor DrtSequence::take_archive_sizes(StateReader& reader) const {
  const std::vector<std::int64_t>& now = archives().sizes();
  const at::Tensor sizes = reader.take_integers("archives", {-1}).cpu();
  require(sizes.size(0) == std::ssize(now), "the session retrieves from {} stored memories, attached are {}",
          sizes.size(0), now.size());
  for (std::size_t i = 0; i < now.size(); ++i) {
    const auto size = sizes[static_cast<std::int64_t>(i)].item<std::int64_t>();
    require(size >= 0 && size <= now[i],
            "the session's stored memory {} had {} chunks, it has {} now: chunks were removed", i, size, now[i]);
  }
  return sizes;
}

void DrtSequence::restore_state(StateReader& reader) {
  const ModelConfig& config = model_.config_;
  const at::Tensor archive_sizes = take_archive_sizes(reader);
  const std::int64_t num_unfinished = num_tokens() % config.chunk_size;
  unfinished = reader.take("unfinished", {num_unfinished, config.hidden_size});
  if (unfinished_ids.defined()) unfinished_ids = reader.take_integers("unfinished_ids", {num_unfinished}).cpu();
  for (std::size_t i = 0; i < lower_caches.size(); ++i) {
    lower_caches[i] =
        reader.take_window("lower." + std::to_string(i), config.window_size, config.num_kv_heads, config.head_dim());
  }
  for (std::size_t i = 0; i < convolved.size(); ++i) {
    convolved[i] = take_convolved(reader, name_of_convolution(i), config);
  }
  memory = reader.take_chunks("memory", num_tokens() / config.chunk_size,
                              {config.chunk_vectors(), config.num_heads, config.head_dim()}, landmark_size(config));
  for (std::size_t g = 0; g < groups.size(); ++g) restore_group(reader, g, archive_sizes);
}

void DrtSequence::restore_group(StateReader& reader, std::size_t group_index, const at::Tensor& archive_sizes) {
  const ModelConfig& config = model_.config_;
  Group& group = groups[group_index];
  const std::string prefix = name_of_group(group_index);
  for (std::size_t j = 0; j < group.caches.size(); ++j) {
    group.caches[j] = reader.take_window(prefix + ".layer." + std::to_string(j), config.window_size,
                                         config.num_kv_heads, config.head_dim());
  }
  if (!reader.has(prefix + ".indices")) return;
  const at::Tensor indices = reader.take_integers(prefix + ".indices", {1, 1, most_retrieved_chunks(config)});
  // Whoever retrieves has finished a chunk.
  require(memory.num_chunks() > 0, "the session's {}.indices name chunks before its first chunk ended: it is damaged",
          prefix);
  const auto before = archive_sizes.sum().item<std::int64_t>();
  require(indices.lt(before + memory.num_chunks()).all().item<bool>() && indices.ge(-1).all().item<bool>(),
          "the session's {}.indices name chunks that there are not: it is damaged", prefix);
  // Memories may have grown since, and their chunks have other numbers then.
  at::Tensor moved = indices.clone();
  std::int64_t begin = 0;
  std::int64_t added = 0;
  for (std::int64_t i = 0; i < archive_sizes.size(0); ++i) {
    begin += archive_sizes[i].item<std::int64_t>();
    added += archives().sizes()[static_cast<std::size_t>(i)] - archive_sizes[i].item<std::int64_t>();
    moved = at::where(indices.ge(begin), indices + added, moved);
  }
  const at::ScalarType dtype = c10::typeMetaToScalarType(options().dtype());
  const at::ScalarType weights_type = dtype == at::kDouble ? at::kDouble : at::kFloat;
  group.retrieval = {{}, moved, reader.take(prefix + ".weights", {1, 1, most_retrieved_chunks(config)}, weights_type)};
}

}  // namespace lookback
