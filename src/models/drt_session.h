// A DRT between tokens: windows of the last positions, the unfinished chunk, and the memory of finished ones
// (docs/model.md, "What follows from the equations").
#pragma once

#include <memory>
#include <vector>

#include "memory/chunk_memory.h"
#include "models/drt.h"

namespace lookback {

class DrtSession : public Session {
 public:
  // The model must outlive the session.
  DrtSession(const Drt& model, std::int64_t batch_size, at::ScalarType dtype);

  void attach_memory(const std::shared_ptr<const ChunkArchive>& archive) override;
  at::Tensor append(const at::Tensor& input_ids) override;
  at::Tensor prefill(const at::Tensor& input_ids, const PrefillOptions& options) override;
  std::int64_t num_tokens() const override { return num_tokens_; }
  std::int64_t memory_bytes() const override { return memory_.bytes(); }
  std::int64_t window_bytes() const override;
  std::vector<Retrieval> current_retrievals() const override;

 private:
  // One upper group's state.
  struct GroupState {
    std::vector<WindowCache> caches;  // one a layer
    Retrieval retrieval;              // made at the last finished chunk's end; undefined before
    RetrievedChunks chunks;           // its chunks, fetched; indices and weights [N, 1, K]
  };

  // Where a run of new tokens lies on the grid of chunks: the positions (landmarks counted) of a chunk that
  // already holds some, of further whole chunks, and of one that stays unfinished.
  struct Span {
    std::int64_t first_slot;       // slot of the first new position in its chunk
    std::int64_t num_positions;    // new positions, landmarks of the chunks that become full included
    std::int64_t num_chunks;       // chunks touched
    std::int64_t num_full_chunks;  // of these, now full
  };
  Span span_of(std::int64_t num_new_tokens) const;

  // Reads tokens through lower layers and encoder into the memory; through the upper layers, too, when asked.
  // Returns the final hidden states [N, T, d], or an undefined tensor.
  at::Tensor advance(const at::Tensor& input_ids, bool with_upper_layers);
  at::Tensor run_lower_layers(const at::Tensor& input_ids, const Span& span);
  void remember_full_chunks(const at::Tensor& lower_hidden, const Span& span);
  at::Tensor run_group(std::size_t group_index, at::Tensor x, const Span& span);
  // The retrievals in effect in each chunk of the span, and the one that the span leaves for what follows.
  RetrievedChunks retrieve(const Drt::UpperGroup& group, GroupState& state, const at::Tensor& x, const Span& span);
  at::Tensor chunk_attention_rows(const Drt::UpperLayer& layer, const at::Tensor& x, const RetrievedChunks& chunks,
                                  const Span& span) const;
  void forget_upper_layers();

  // Tokens before the end whose upper hidden states can still be seen by the last token or a later one.
  std::int64_t upper_reach_tokens() const;

  const Drt& model_;
  std::int64_t batch_size_;
  at::ScalarType dtype_;
  std::int64_t num_tokens_ = 0;
  std::vector<WindowCache> lower_caches_;
  at::Tensor unfinished_;  // lower hidden states of the unfinished chunk [N, fewer than P, d]
  ChunkMemory memory_;
  std::vector<GroupState> groups_;
};

}  // namespace lookback
