// What the chunks of a step retrieve: from their texts' own memories and from those attached.
#include <algorithm>
#include <map>

#include "models/drt/drt_step.h"
#include "models/packed_rows.h"
#include "ops/chunk_attention.h"
#include "retrieval/causal_top_k.h"

namespace lookback {
namespace {

// What follows will want these chunks: reading them begins while the step goes on.
void prefetch(const ArchiveSet& archives, const at::Tensor& indices) {
  if (archives.num_chunks() == 0) return;
  const at::Tensor archived = indices.masked_select(indices.ge(0).logical_and(indices.lt(archives.num_chunks()))).cpu();
  archives.prefetch({archived.const_data_ptr<std::int64_t>(), static_cast<std::size_t>(archived.numel())});
}

}  // namespace

at::Tensor DrtStep::take_full_ids(const Span& span) const {
  const at::Tensor tokens = at::cat({span.sequence->unfinished_ids, ids_tensor(span.piece->ids)});
  const std::int64_t num_full = span.num_full_chunks * model_.config_.chunk_size;
  span.sequence->unfinished_ids = tokens.narrow(0, num_full, tokens.size(0) - num_full).clone();
  return tokens.narrow(0, 0, num_full);
}

std::vector<FetchedChunks> DrtStep::fetch(const DrtSequence& sequence, const at::Tensor& indices) const {
  const bool as_stored = reads_compressed_chunks(options_, model_.config_.head_dim());
  return sequence.memory.fetch(indices, sequence.archives(), as_stored);
}

DrtStep::SpanRetrieval DrtStep::retrieval_in_effect(const DrtSequence& sequence, DrtSequence::Group& group) const {
  if (!group.retrieval.indices.defined()) return {};
  if (!group.chunks.has_value()) group.chunks = fetch(sequence, group.retrieval.indices);
  return {*group.chunks, group.retrieval.weights};
}

DrtStep::SpanRetrieval DrtStep::retrieve_in_span(std::size_t group_index, const AskingChunks& asking,
                                                 const at::Tensor& query, const BestChunks& archived,
                                                 const Span& span) const {
  DrtSequence::Group& group = span.sequence->groups[group_index];
  const ArchiveSet& archives = span.sequence->archives();
  const ChunkMemory& memory = span.sequence->memory;
  std::vector<at::Tensor> parts;
  const std::int64_t first_query = memory.num_chunks() - span.num_full_chunks;
  std::int64_t first_chunk = first_query - num_masked_chunks(model_.config_);
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
    const at::Tensor all = at::cat({archived.scores.unsqueeze(0), scores}, 2);
    best = model_.retriever_->choose(model_.retriever_->adjusted(all, archived.scores.size(1), group_index), asking,
                                     first_query, group_index, {});
    // Numbers in that list become numbers of chunks.
    const std::int64_t num_archived = archived.scores.size(1);
    const at::Tensor of_archived = archived.indices.unsqueeze(0).gather(2, best.indices.clamp(0, num_archived - 1));
    const at::Tensor own = best.indices + (archives.num_chunks() - num_archived);
    best.indices = at::where(best.indices.lt(num_archived), of_archived, own).masked_fill(best.indices.lt(0), -1);
    scores = at::Tensor();
  } else {
    scores = model_.retriever_->adjusted(scores, 0, group_index);
    best = model_.retriever_->choose(scores, asking, first_query, group_index, {});
  }
  std::vector<std::int64_t> ends;
  std::int64_t end = 0;
  for (const std::int64_t size : archives.sizes()) ends.push_back(end += size);
  best = model_.with_what_follows(best, archives.num_chunks() + first_query, ends);
  const std::int64_t last = span.num_full_chunks - 1;
  const auto of_last = [last](const at::Tensor& rows) { return rows.narrow(1, last, 1).clone(); };

  SpanRetrieval retrieved;
  if (span.num_chunks == 1) {
    retrieved = retrieval_in_effect(*span.sequence, group);
  } else {
    // Row j serves the span's chunk j.
    Retrieval before = group.retrieval;
    if (!before.indices.defined()) {
      before.indices = at::full_like(best.indices.narrow(1, 0, 1), -1);
      before.weights = at::zeros_like(best.weights.narrow(1, 0, 1));
    }
    retrieved = {fetch(*span.sequence, at::cat({before.indices, best.indices}, 1).narrow(1, 0, span.num_chunks)),
                 at::cat({before.weights, best.weights}, 1).narrow(1, 0, span.num_chunks)};
  }
  group.retrieval = {scores.defined() ? of_last(scores) : scores, of_last(best.indices), of_last(best.weights)};
  group.chunks.reset();
  prefetch(archives, group.retrieval.indices);
  return retrieved;
}

AskingChunks DrtStep::asking_chunks(const Span& span, const at::Tensor& x) const {
  AskingChunks asking;
  const std::int64_t first_landmark = span.first_row + model_.config_.chunk_size - span.first_slot;
  const std::int64_t end = span.first_row + span.num_positions;
  asking.hidden = x.slice(0, first_landmark, end, model_.positions_per_chunk()).unsqueeze(0);
  for (const ChunkMemory::Block& block : span.sequence->memory.blocks()) {
    asking.landmarks.push_back(block.landmarks.unsqueeze(0));
  }
  return asking;
}

std::vector<BestChunks> DrtStep::search_memories(const at::Tensor& query) const {
  // All sequences of a memory set at once: the landmarks of a large memory are read only once.
  struct Asking {
    std::vector<std::size_t> spans;
    std::vector<at::Tensor> queries;
  };
  std::map<const MemorySet*, Asking> asking;
  std::int64_t first = 0;
  for (std::size_t i = 0; i < spans_.size(); ++i) {
    const std::int64_t count = spans_[i].num_full_chunks;
    if (const MemorySet* memories = spans_[i].sequence->memories().get(); memories != nullptr && count > 0) {
      asking[memories].spans.push_back(i);
      asking[memories].queries.push_back(query.narrow(0, first, count));
    }
    first += count;
  }
  std::vector<BestChunks> found(spans_.size());
  for (const auto& [memories, asked] : asking) {
    const BestChunks best = memories->best_of_each(join_rows(asked.queries), model_.config_.top_k);
    std::int64_t row = 0;
    for (std::size_t i : asked.spans) {
      const std::int64_t count = spans_[i].num_full_chunks;
      found[i] = {best.scores.narrow(0, row, count), best.indices.narrow(0, row, count)};
      row += count;
    }
  }
  return found;
}

std::vector<DrtStep::SpanRetrieval> DrtStep::retrieve(std::size_t group_index, const at::Tensor& x) const {
  std::vector<AskingChunks> asking(spans_.size());
  std::vector<at::Tensor> queries(spans_.size());
  std::vector<at::Tensor> rows;
  for (std::size_t i = 0; i < spans_.size(); ++i) {
    if (spans_[i].num_full_chunks == 0) continue;
    asking[i] = asking_chunks(spans_[i], x);
    queries[i] = model_.retriever_->queries(group_index, asking[i]).squeeze(0);
    rows.push_back(queries[i]);
  }
  const std::vector<BestChunks> archived = rows.empty() ? std::vector<BestChunks>() : search_memories(join_rows(rows));
  std::vector<SpanRetrieval> retrieved;
  for (std::size_t i = 0; i < spans_.size(); ++i) {
    retrieved.push_back(spans_[i].num_full_chunks == 0
                            ? retrieval_in_effect(*spans_[i].sequence, spans_[i].sequence->groups[group_index])
                            : retrieve_in_span(group_index, asking[i], queries[i], archived[i], spans_[i]));
  }
  return retrieved;
}

}  // namespace lookback
