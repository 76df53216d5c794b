// The next tokens of several texts through a DRT, in one pass over all that works row by row.
#pragma once

#include <span>
#include <vector>

#include "models/drt/drt_sequence.h"

namespace lookback {

// For one step: it holds what its pieces share.
class DrtStep {
 public:
  // Checked pieces (Model::step); the model must outlive it.
  DrtStep(const Drt& model, std::span<const Piece> pieces);

  // Reads the pieces through lower layers and encoder into the memories, and where something of them is still to be
  // seen, through the upper layers. Returns the hidden states that are wanted [R, d].
  at::Tensor run();

 private:
  // Where a piece lies: on its sequence's grid of chunks (positions count landmarks) those of a chunk that already
  // holds some, of further whole chunks, and of one that stays unfinished; and in the step's rows.
  struct Span {
    DrtSequence* sequence;
    const Piece* piece;
    std::int64_t first_position;   // of the new ones, in its text
    std::int64_t first_slot;       // its slot in its chunk
    std::int64_t num_positions;    // new positions, landmarks of the chunks that become full included
    std::int64_t num_chunks;       // chunks touched
    std::int64_t num_full_chunks;  // of these, now full
    std::int64_t first_row;        // of its positions among those of the step
  };
  // What the chunks of a span retrieved, one row of indices and weights [1, C, K] each. No chunks: nothing.
  struct SpanRetrieval {
    std::vector<FetchedChunks> chunks;
    at::Tensor weights;
  };

  Span span_of(const Piece& piece, std::int64_t first_row) const;
  // Whether an upper hidden state of the piece can reach one that is wanted.
  bool is_seen(const Piece& piece) const;

  // Of the spans' rows.
  AttentionWindow window_of_spans() const;
  at::Tensor run_lower_layers() const;
  // lower_hidden [R, d].
  void remember_full_chunks(const at::Tensor& lower_hidden) const;
  // The tokens of the span's full chunks [C * S]; keeps those behind them.
  at::Tensor take_full_ids(const Span& span) const;
  // Leaves the spans that go through the upper layers, and of x [R, d] their rows.
  at::Tensor keep_seen_spans(const at::Tensor& x);
  at::Tensor run_group(std::size_t group_index, const AttentionWindow& window, at::Tensor x) const;
  at::Tensor chunk_attention_rows(const at::Tensor& query, const SpanRetrieval& retrieved, const Span& span) const;
  at::Tensor wanted_rows(const at::Tensor& x) const;

  // The full chunks of a span, given the group's input x [R, d].
  AskingChunks asking_chunks(const Span& span, const at::Tensor& x) const;
  // The retrievals in effect in each chunk of each span; those that the spans leave for what follows become the
  // groups'.
  std::vector<SpanRetrieval> retrieve(std::size_t group_index, const at::Tensor& x) const;
  // What each span's full chunks, rows of query [C, d], find in the memories attached to it; undefined without any.
  std::vector<BestChunks> search_memories(const at::Tensor& query) const;
  // With archived chunks as they are stored where chunk attention reads them so.
  std::vector<FetchedChunks> fetch(const DrtSequence& sequence, const at::Tensor& indices) const;
  SpanRetrieval retrieval_in_effect(const DrtSequence& sequence, DrtSequence::Group& group) const;
  // asking, query [C, F]: of the span's full chunks; archived: the best of the memories for them.
  SpanRetrieval retrieve_in_span(std::size_t group_index, const AskingChunks& asking, const at::Tensor& query,
                                 const BestChunks& archived, const Span& span) const;

  const Drt& model_;
  at::TensorOptions options_;  // element type and device
  std::vector<Span> spans_;
};

}  // namespace lookback
