// A DRT between tokens: of each sequence, windows of the last positions, the unfinished chunk, and the memory of
// finished ones (docs/model.md, "What follows from the equations").
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "memory/archive_set.h"
#include "memory/chunk_memory.h"
#include "models/drt.h"
#include "models/session_state.h"

namespace lookback {

class DrtSession : public Session {
 public:
  // The model must outlive the session.
  DrtSession(const Drt& model, std::int64_t batch_size, at::ScalarType dtype);

  std::int64_t num_sequences() const override { return static_cast<std::int64_t>(sequences_.size()); }
  void attach_memory(const SearchedArchive& memory) override;
  at::Tensor append(const at::Tensor& input_ids) override;
  at::Tensor prefill(const at::Tensor& input_ids, const PrefillOptions& options) override;
  void select(const std::vector<std::int64_t>& rows) override;
  std::int64_t num_tokens(std::int64_t sequence) const override;
  std::int64_t memory_bytes() const override;
  std::int64_t window_bytes() const override;
  NamedTensors state() const override;
  void restore(const NamedTensors& state) override;
  std::vector<Retrieval> current_retrievals() const override;

 private:
  // One upper group's state.
  struct GroupState {
    std::vector<WindowCache> caches;  // one a layer
    Retrieval retrieval;              // [1, 1, ...], made at the last finished chunk's end; undefined before
    FetchedChunks chunks;             // of the retrieval, once they are needed
  };
  struct Sequence {
    std::int64_t num_tokens = 0;
    std::vector<WindowCache> lower_caches;
    at::Tensor unfinished;      // lower hidden states of the unfinished chunk [fewer than P, d]
    at::Tensor unfinished_ids;  // and its tokens [fewer than S], where a fixed retriever will want them
    ChunkMemory memory;
    std::vector<GroupState> groups;
  };

  // Where a run of new tokens of a sequence lies: on the grid of chunks (positions count landmarks) those of a chunk
  // that already holds some, of further whole chunks, and of one that stays unfinished; and in the step's rows.
  struct Span {
    Sequence* sequence;
    std::int64_t first_slot;       // slot of the first new position in its chunk
    std::int64_t num_positions;    // new positions, landmarks of the chunks that become full included
    std::int64_t num_chunks;       // chunks touched
    std::int64_t num_full_chunks;  // of these, now full
    std::int64_t first_row;        // of its positions among those of the step
  };
  // What the chunks of a span retrieved, one row of indices and weights [1, C, K] each. No key: nothing.
  struct SpanRetrieval {
    FetchedChunks chunks;
    at::Tensor weights;
  };

  Sequence new_sequence() const;
  GroupState new_group(std::size_t group_index) const;
  static Sequence copy_of(const Sequence& sequence);
  Span span_of(Sequence& sequence, std::int64_t num_new_tokens, std::int64_t first_row) const;

  // Reads ids [N, T] (counts[n] of each row) through lower layers and encoder into the memories, and through the upper
  // layers those of with_upper_layers[n]. Returns their final hidden states [N, T, d], zeros for the others.
  at::Tensor advance(const at::Tensor& input_ids, const std::vector<std::int64_t>& counts,
                     const std::vector<bool>& with_upper_layers);
  // ids: the spans' new tokens.
  at::Tensor run_lower_layers(const std::vector<at::Tensor>& ids, const std::vector<Span>& spans);
  // lower_hidden [R, d]; ids: the spans' new tokens.
  void remember_full_chunks(const at::Tensor& lower_hidden, const std::vector<at::Tensor>& ids,
                            const std::vector<Span>& spans);
  // What the fixed retriever finds the span's full chunks by [C, F]; keeps the tokens behind them.
  at::Tensor fixed_keys(const at::Tensor& ids, const Span& span) const;
  // The fixed retriever's queries of the span's full chunks [C, F].
  at::Tensor fixed_queries(const Span& span) const;
  // Of each full chunk of the spans, one after another [C, ...]: the queries with which they retrieve.
  at::Tensor retrieval_queries(std::size_t group_index, const at::Tensor& x, const std::vector<Span>& spans) const;
  at::Tensor run_group(std::size_t group_index, at::Tensor x, const std::vector<Span>& spans);
  // The retrievals in effect in each chunk of each span; those that the spans leave for what follows become the
  // groups'.
  std::vector<SpanRetrieval> retrieve(std::size_t group_index, const at::Tensor& x, const std::vector<Span>& spans);
  SpanRetrieval retrieval_in_effect(const Sequence& sequence, GroupState& state) const;
  // query [C, d]: of the span's full chunks; archived: the best of the memories for them.
  SpanRetrieval retrieve_in_span(std::size_t group_index, const at::Tensor& query, const BestChunks& archived,
                                 const Span& span) const;
  // The best chunks of all memories for query [C, d], numbered one memory after another.
  BestChunks search_archives(const at::Tensor& query) const;
  // What follows will want these chunks: reading them begins while the step goes on.
  void prefetch(const at::Tensor& indices) const;
  at::Tensor text_rows(const at::Tensor& x, const std::vector<Span>& spans) const;
  at::Tensor chunk_attention_rows(const at::Tensor& query, const SpanRetrieval& retrieved, const Span& span) const;

  void save_sequence(NamedTensors& state, const std::string& name, const Sequence& sequence) const;
  Sequence restore_sequence(StateReader& reader, const std::string& name, const at::Tensor& archive_sizes) const;

  // Tokens before the end whose upper hidden states can still be seen by the last token or a later one.
  std::int64_t upper_reach_tokens() const;

  const Drt& model_;
  at::ScalarType dtype_;
  ArchiveSet archived_;
  std::vector<std::shared_ptr<const LandmarkIndex>> indexes_;  // of each archive
  std::vector<Sequence> sequences_;
};

}  // namespace lookback
