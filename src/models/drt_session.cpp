#include "models/drt_session.h"

#include <ATen/core/grad_mode.h>

#include <algorithm>

#include "core/error.h"
#include "retrieval/causal_top_k.h"

namespace lookback {

DrtSession::DrtSession(const Drt& model, std::int64_t batch_size, at::ScalarType dtype)
    : model_(model),
      batch_size_(batch_size),
      dtype_(dtype),
      lower_caches_(model.lower_layers_.size()),
      groups_(model.upper_groups_.size()) {
  require(batch_size >= 1, "batch_size: expected at least 1, found {}", batch_size);
  unfinished_ = at::empty({batch_size, 0, model.config_.hidden_size}, model.embedding_.options().dtype(dtype));
  forget_upper_layers();
}

void DrtSession::attach_memory(const std::shared_ptr<const ChunkArchive>& archive) {
  require(num_tokens_ == 0, "a stored memory is attached before the text begins");
  memory_.attach(archive);
}

void DrtSession::forget_upper_layers() {
  for (std::size_t g = 0; g < groups_.size(); ++g) {
    groups_[g] = GroupState{std::vector<WindowCache>(model_.upper_groups_[g].layers.size()), {}, {}};
  }
}

std::int64_t DrtSession::window_bytes() const {
  std::int64_t sum = static_cast<std::int64_t>(unfinished_.nbytes());
  for (const WindowCache& cache : lower_caches_) sum += cache.bytes();
  for (const GroupState& group : groups_) {
    for (const WindowCache& cache : group.caches) sum += cache.bytes();
  }
  return sum;
}

std::vector<Retrieval> DrtSession::current_retrievals() const {
  std::vector<Retrieval> retrievals;
  for (const GroupState& group : groups_) {
    if (group.retrieval.indices.defined()) retrievals.push_back(group.retrieval);
  }
  return retrievals;
}

DrtSession::Span DrtSession::span_of(std::int64_t num_new_tokens) const {
  const std::int64_t chunk_size = model_.config_.chunk_size;
  const std::int64_t first_slot = num_tokens_ % chunk_size;
  const std::int64_t end_token = first_slot + num_new_tokens;
  const std::int64_t num_full_chunks = end_token / chunk_size;
  return {first_slot, num_new_tokens + num_full_chunks, (end_token + chunk_size - 1) / chunk_size, num_full_chunks};
}

at::Tensor DrtSession::run_lower_layers(const at::Tensor& input_ids, const Span& span) {
  const std::int64_t slots = span.num_chunks * model_.config_.chunk_size;
  const at::Tensor on_grid =
      at::constant_pad_nd(input_ids, {span.first_slot, slots - span.first_slot - input_ids.size(1)}, 0);
  const at::Tensor ids = model_.insert_landmarks(on_grid).narrow(1, span.first_slot, span.num_positions);
  at::Tensor x = at::embedding(model_.embedding_, ids).to(dtype_);
  for (std::size_t i = 0; i < lower_caches_.size(); ++i) {
    const LlamaLayer& layer = model_.lower_layers_[i];
    const at::Tensor attended = windowed_attention_block(layer, x, model_.config_.window_size, &lower_caches_[i]);
    x = mlp_block(layer, attended, attended);
  }
  return x;
}

void DrtSession::remember_full_chunks(const at::Tensor& lower_hidden, const Span& span) {
  const at::Tensor rows = at::cat({unfinished_, lower_hidden}, 1);
  const std::int64_t full_positions = span.num_full_chunks * model_.positions_per_chunk();
  if (span.num_full_chunks > 0) {
    const EncodedChunks encoded = model_.encode_chunks(
        rows.narrow(1, 0, full_positions).unflatten(1, {span.num_full_chunks, model_.positions_per_chunk()}), false);
    memory_.append(encoded.key, encoded.value, encoded.landmarks);
  }
  unfinished_ = rows.narrow(1, full_positions, rows.size(1) - full_positions).clone();
}

RetrievedChunks DrtSession::retrieve(const Drt::UpperGroup& group, GroupState& state, const at::Tensor& x,
                                     const Span& span) {
  if (span.num_full_chunks == 0) return state.chunks;
  const std::int64_t positions = model_.positions_per_chunk();
  const at::TensorOptions index_options = x.options().dtype(at::kLong);
  const at::Tensor landmark_rows =
      at::arange(span.num_full_chunks, index_options) * positions + (model_.config_.chunk_size - span.first_slot);
  const at::Tensor query = model_.retrieval_query(group, x.index_select(1, landmark_rows));
  // Chunks are scored part by part, since landmarks of a large memory are not copied together.
  std::int64_t first_chunk = memory_.num_chunks() - span.num_full_chunks;
  std::vector<at::Tensor> parts;
  for (const at::Tensor& landmarks : memory_.landmarks()) {
    parts.push_back(causal_chunk_scores(query, landmarks, first_chunk));
    first_chunk -= landmarks.size(1);
  }
  const at::Tensor scores = at::cat(parts, 2);
  const TopK best = causal_top_k(scores, model_.config_.top_k);

  // Row j of `indices` serves the span's chunk j; row num_full_chunks is left for what follows.
  at::Tensor before_indices = state.retrieval.indices;
  at::Tensor before_weights = state.retrieval.weights;
  if (!before_indices.defined()) {
    before_indices = at::full({batch_size_, 1, model_.config_.top_k}, -1, index_options);
    before_weights = at::zeros({batch_size_, 1, model_.config_.top_k}, best.weights.options());
  }
  const at::Tensor indices = at::cat({before_indices, best.indices}, 1);
  const at::Tensor weights = at::cat({before_weights, best.weights}, 1);
  const FetchedChunks fetched = memory_.fetch(indices);
  const std::int64_t last = span.num_full_chunks;
  state.retrieval = {scores.narrow(1, last - 1, 1).clone(), best.indices.narrow(1, last - 1, 1).clone(),
                     best.weights.narrow(1, last - 1, 1).clone()};
  const FetchedChunks next = memory_.fetch(state.retrieval.indices);
  state.chunks = {next.key, next.value, next.indices, state.retrieval.weights};
  return {fetched.key, fetched.value, fetched.indices.narrow(1, 0, span.num_chunks),
          weights.narrow(1, 0, span.num_chunks)};
}

at::Tensor DrtSession::chunk_attention_rows(const Drt::UpperLayer& layer, const at::Tensor& x,
                                            const RetrievedChunks& chunks, const Span& span) const {
  // Within one chunk the new positions are the queries; decoding would otherwise compute P of them for one token.
  if (span.num_chunks == 1) return model_.grouped_cross_attention(layer, x.unsqueeze(1), chunks).flatten(1, 2);
  const std::int64_t slots = span.num_chunks * model_.positions_per_chunk();
  const at::Tensor on_grid = at::constant_pad_nd(x, {0, 0, span.first_slot, slots - span.first_slot - x.size(1)})
                                 .unflatten(1, {span.num_chunks, model_.positions_per_chunk()});
  return model_.grouped_cross_attention(layer, on_grid, chunks)
      .flatten(1, 2)
      .narrow(1, span.first_slot, span.num_positions);
}

at::Tensor DrtSession::run_group(std::size_t group_index, at::Tensor x, const Span& span) {
  const Drt::UpperGroup& group = model_.upper_groups_[group_index];
  GroupState& state = groups_[group_index];
  const RetrievedChunks chunks = retrieve(group, state, x, span);
  for (std::size_t j = 0; j < group.layers.size(); ++j) {
    const Drt::UpperLayer& layer = group.layers[j];
    const at::Tensor attended = windowed_attention_block(layer.llama, x, model_.config_.window_size, &state.caches[j]);
    const at::Tensor y =
        chunks.key.defined() ? attended + chunk_attention_rows(layer, attended, chunks, span) : attended;
    x = mlp_block(layer.llama, attended, y);
  }
  return x;
}

at::Tensor DrtSession::advance(const at::Tensor& input_ids, bool with_upper_layers) {
  const Span span = span_of(input_ids.size(1));
  at::Tensor x = run_lower_layers(input_ids, span);
  remember_full_chunks(x, span);
  num_tokens_ += input_ids.size(1);
  if (!with_upper_layers) return {};
  for (std::size_t g = 0; g < groups_.size(); ++g) x = run_group(g, x, span);
  if (span.num_full_chunks > 0) {
    const at::Tensor slot =
        at::arange(span.first_slot, span.first_slot + span.num_positions) % model_.positions_per_chunk();
    const at::Tensor text_rows = slot.ne(model_.config_.chunk_size).nonzero().squeeze(1).to(x.device());
    x = x.index_select(1, text_rows);
  }
  return rms_norm(model_.norm_, x);
}

at::Tensor DrtSession::append(const at::Tensor& input_ids) {
  const at::NoGradGuard no_gradients;
  model_.check_input_ids(input_ids);
  require(input_ids.size(0) == batch_size_, "input_ids: expected {} sequences, found {}", batch_size_,
          input_ids.size(0));
  return advance(input_ids, true);
}

std::int64_t DrtSession::upper_reach_tokens() const {
  std::int64_t num_layers = 0;
  for (const Drt::UpperGroup& group : model_.upper_groups_)
    num_layers += static_cast<std::int64_t>(group.layers.size());
  // Each layer reaches a window further back, each group to the landmark of the chunk before.
  const std::int64_t positions = num_layers * model_.config_.window_size +
                                 static_cast<std::int64_t>(groups_.size()) * 2 * model_.positions_per_chunk();
  const std::int64_t chunks = (positions + model_.positions_per_chunk() - 1) / model_.positions_per_chunk() + 1;
  return chunks * model_.config_.chunk_size;
}

at::Tensor DrtSession::prefill(const at::Tensor& input_ids, const PrefillOptions& options) {
  const at::NoGradGuard no_gradients;
  model_.check_input_ids(input_ids);
  require(input_ids.size(0) == batch_size_, "input_ids: expected {} sequences, found {}", batch_size_,
          input_ids.size(0));
  const std::int64_t chunk_size = model_.config_.chunk_size;
  const std::int64_t segment =
      std::max<std::int64_t>(1, (options.segment_tokens + chunk_size - 1) / chunk_size) * chunk_size;
  const std::int64_t length = input_ids.size(1);
  // Whole segments of which no upper hidden state will ever be seen are read for the memory only.
  const std::int64_t lower_only = std::max<std::int64_t>(0, length - upper_reach_tokens()) / segment * segment;
  if (lower_only > 0) forget_upper_layers();
  at::Tensor hidden;
  for (std::int64_t first = 0; first < length; first += segment) {
    const std::int64_t count = std::min(segment, length - first);
    hidden = advance(input_ids.narrow(1, first, count), first >= lower_only);
    if (options.on_progress && !options.on_progress(first + count)) fail("interrupted");
  }
  return hidden.narrow(1, hidden.size(1) - 1, 1);
}

}  // namespace lookback
