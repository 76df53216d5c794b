// What the chunks of a session retrieve: from its own memory and from those attached.
#include <algorithm>
#include <utility>

#include "models/drt_session.h"
#include "models/packed_rows.h"
#include "retrieval/causal_top_k.h"

namespace lookback {

std::vector<Retrieval> DrtSession::current_retrievals() const {
  std::vector<Retrieval> retrievals;
  const at::TensorOptions options(model_.embedding_.device());
  for (std::size_t g = 0; g < model_.upper_groups_.size(); ++g) {
    Retrieval all{{},
                  at::full({num_sequences(), 1, model_.config_.top_k}, -1, options.dtype(at::kLong)),
                  at::zeros({num_sequences(), 1, model_.config_.top_k}, options.dtype(at::kFloat))};
    std::vector<at::Tensor> scores;
    std::int64_t most_scores = 0;
    bool any = false;
    for (std::int64_t n = 0; n < num_sequences(); ++n) {
      const Retrieval& own = sequences_[static_cast<std::size_t>(n)].groups[g].retrieval;
      scores.push_back(own.scores.defined() ? own.scores : at::empty({1, 1, 0}, options.dtype(at::kFloat)));
      most_scores = std::max(most_scores, scores.back().size(2));
      if (!own.indices.defined()) continue;
      any = true;
      all.indices[n].copy_(own.indices[0]);
      all.weights[n].copy_(own.weights[0]);
    }
    if (!any) return {};
    if (archived_.num_chunks() == 0) {
      for (at::Tensor& one : scores) one = at::constant_pad_nd(one, {0, most_scores - one.size(2)}, -INFINITY);
      all.scores = at::cat(scores);
    }
    retrievals.push_back(std::move(all));
  }
  return retrievals;
}

at::Tensor DrtSession::fixed_keys(const at::Tensor& ids, const Span& span) const {
  const std::int64_t chunk_size = model_.config_.chunk_size;
  const at::Tensor tokens = at::cat({span.sequence->unfinished_ids, ids});
  const std::int64_t num_full = span.num_full_chunks * chunk_size;
  span.sequence->unfinished_ids = tokens.narrow(0, num_full, tokens.size(0) - num_full).clone();
  if (num_full == 0) return {};
  return model_.retriever_->keys(tokens.narrow(0, 0, num_full).view({1, -1, chunk_size}))[0].to(dtype_);
}

DrtSession::SpanRetrieval DrtSession::retrieval_in_effect(const Sequence& sequence, GroupState& state) const {
  if (!state.retrieval.indices.defined()) return {};
  if (!state.chunks.indices.defined()) state.chunks = sequence.memory.fetch(state.retrieval.indices, archived_);
  return {state.chunks, state.retrieval.weights};
}

DrtSession::SpanRetrieval DrtSession::retrieve_in_span(std::size_t group_index, const at::Tensor& query,
                                                       const BestChunks& archived, const Span& span) const {
  GroupState& state = span.sequence->groups[group_index];
  const ChunkMemory& memory = span.sequence->memory;
  std::vector<at::Tensor> parts;
  const std::int64_t first_query = memory.num_chunks() - span.num_full_chunks;
  std::int64_t first_chunk = first_query;
  for (const ChunkMemory::Block& block : memory.blocks()) {
    const std::int64_t count = block.landmarks.size(0);
    parts.push_back(count <= first_chunk
                        ? chunk_scores(query, block.landmarks).unsqueeze(0)
                        : causal_chunk_scores(query.unsqueeze(0), block.landmarks.unsqueeze(0), first_chunk));
    first_chunk -= count;
  }
  at::Tensor scores = at::cat(parts, 2);
  TopK best;
  if (archived.scores.defined()) {
    best = model_.choose_chunks(at::cat({archived.scores.unsqueeze(0), scores}, 2), first_query, group_index, {});
    // Numbers in that list become numbers of chunks.
    const std::int64_t num_archived = archived.scores.size(1);
    const at::Tensor of_archived = archived.indices.unsqueeze(0).gather(2, best.indices.clamp(0, num_archived - 1));
    const at::Tensor own = best.indices + (archived_.num_chunks() - num_archived);
    best.indices = at::where(best.indices.lt(num_archived), of_archived, own).masked_fill(best.indices.lt(0), -1);
    scores = at::Tensor();
  } else {
    best = model_.choose_chunks(scores, first_query, group_index, {});
  }
  const std::int64_t last = span.num_full_chunks - 1;
  const auto of_last = [last](const at::Tensor& rows) { return rows.narrow(1, last, 1).clone(); };

  SpanRetrieval retrieved;
  if (span.num_chunks == 1) {
    retrieved = retrieval_in_effect(*span.sequence, state);
  } else {
    // Row j serves the span's chunk j.
    Retrieval before = state.retrieval;
    if (!before.indices.defined()) {
      before.indices = at::full_like(best.indices.narrow(1, 0, 1), -1);
      before.weights = at::zeros_like(best.weights.narrow(1, 0, 1));
    }
    retrieved = {memory.fetch(at::cat({before.indices, best.indices}, 1).narrow(1, 0, span.num_chunks), archived_),
                 at::cat({before.weights, best.weights}, 1).narrow(1, 0, span.num_chunks)};
  }
  state.retrieval = {scores.defined() ? of_last(scores) : scores, of_last(best.indices), of_last(best.weights)};
  state.chunks = {};
  prefetch(state.retrieval.indices);
  return retrieved;
}

void DrtSession::prefetch(const at::Tensor& indices) const {
  if (archived_.num_chunks() == 0) return;
  const at::Tensor archived =
      indices.masked_select(indices.ge(0).logical_and(indices.lt(archived_.num_chunks()))).cpu();
  archived_.prefetch({archived.const_data_ptr<std::int64_t>(), static_cast<std::size_t>(archived.numel())});
}

BestChunks DrtSession::search_archives(const at::Tensor& query) const {
  std::vector<at::Tensor> scores;
  std::vector<at::Tensor> indices;
  std::int64_t first_chunk = 0;
  for (std::size_t i = 0; i < indexes_.size(); ++i) {
    const BestChunks best = indexes_[i]->best(query, model_.config_.top_k);
    scores.push_back(best.scores);
    indices.push_back(at::where(best.indices.ge(0), best.indices + first_chunk, best.indices));
    first_chunk += archived_.sizes()[i];
  }
  return {at::cat(scores, 1), at::cat(indices, 1)};
}

at::Tensor DrtSession::fixed_queries(const Span& span) const {
  std::vector<at::Tensor> before;
  std::vector<at::Tensor> keys;
  std::int64_t chunks_left = span.sequence->memory.num_chunks() - span.num_full_chunks;  // before the span's
  for (const ChunkMemory::Block& block : span.sequence->memory.blocks()) {
    const std::int64_t count = block.landmarks.size(0);
    const std::int64_t earlier = std::min(chunks_left, count);
    if (earlier > 0) before.push_back(block.landmarks.narrow(0, 0, earlier));
    if (earlier < count) keys.push_back(block.landmarks.narrow(0, earlier, count - earlier));
    chunks_left -= earlier;
  }
  return model_.retriever_->queries(before, join_rows(keys));
}

at::Tensor DrtSession::retrieval_queries(std::size_t group_index, const at::Tensor& x,
                                         const std::vector<Span>& spans) const {
  const std::int64_t positions = model_.positions_per_chunk();
  std::vector<at::Tensor> landmark_rows;
  std::vector<at::Tensor> fixed;
  for (const Span& span : spans) {
    if (span.num_full_chunks == 0) continue;
    if (model_.retriever_) {
      fixed.push_back(fixed_queries(span));
      continue;
    }
    landmark_rows.push_back(at::arange(span.num_full_chunks, at::kLong) * positions +
                            (span.first_row + model_.config_.chunk_size - span.first_slot));
  }
  if (!fixed.empty()) return join_rows(fixed);
  if (landmark_rows.empty()) return {};
  return model_.retrieval_query(model_.upper_groups_[group_index],
                                x.index_select(0, join_rows(landmark_rows).to(x.device())));
}

std::vector<DrtSession::SpanRetrieval> DrtSession::retrieve(std::size_t group_index, const at::Tensor& x,
                                                            const std::vector<Span>& spans) {
  const at::Tensor query = retrieval_queries(group_index, x, spans);
  BestChunks archived;
  // All sequences at once: the landmarks of a large memory are read only once.
  if (query.defined() && archived_.num_chunks() > 0) archived = search_archives(query);
  std::vector<SpanRetrieval> retrieved;
  std::int64_t first = 0;
  for (const Span& span : spans) {
    GroupState& state = span.sequence->groups[group_index];
    if (span.num_full_chunks == 0) {
      retrieved.push_back(retrieval_in_effect(*span.sequence, state));
      continue;
    }
    const auto own = [&](const at::Tensor& all) { return all.narrow(0, first, span.num_full_chunks); };
    const BestChunks own_archived =
        archived.scores.defined() ? BestChunks{own(archived.scores), own(archived.indices)} : BestChunks{};
    retrieved.push_back(retrieve_in_span(group_index, own(query), own_archived, span));
    first += span.num_full_chunks;
  }
  return retrieved;
}

}  // namespace lookback
