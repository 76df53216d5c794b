// A DRT's text between tokens: windows of the last positions, the unfinished chunk, and the memory of finished ones
// (docs/model.md, "What follows from the equations").
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "memory/chunk_memory.h"
#include "models/drt/drt.h"

namespace lookback {

// DrtStep (drt_step.h) advances it.
class DrtSequence : public Sequence {
 public:
  // One upper group's state.
  struct Group {
    std::vector<WindowCache> caches;  // one a layer
    Retrieval retrieval;              // [1, 1, ...], made at the last finished chunk's end; undefined before
    std::optional<std::vector<FetchedChunks>> chunks;  // of the retrieval, once they are needed
  };

  DrtSequence(const Drt& model, const at::TensorOptions& options);

  std::unique_ptr<Sequence> fork() const override;
  std::int64_t memory_bytes() const override { return memory.bytes(); }
  std::int64_t window_bytes() const override;
  std::vector<Retrieval> current_retrievals() const override;

  Group new_group(std::size_t group_index) const;
  // Of the attached memories; behind them the chunks of its own are numbered.
  const ArchiveSet& archives() const;

  std::vector<WindowCache> lower_caches;
  std::vector<at::Tensor> convolved;  // the last positions before each lower convolution [fewer than conv_kernel, d]
  at::Tensor unfinished;              // lower hidden states of the unfinished chunk [fewer than P, d]
  at::Tensor unfinished_ids;          // and its tokens [fewer than S], where the retriever finds by tokens
  ChunkMemory memory;
  std::vector<Group> groups;

 protected:
  void check_takes_memories() const override;
  void save_state(NamedTensors& state) const override;
  void restore_state(StateReader& reader) override;

 private:
  DrtSequence(const DrtSequence& other);
  at::Tensor take_archive_sizes(StateReader& reader) const;
  void restore_group(StateReader& reader, std::size_t group_index, const at::Tensor& archive_sizes);

  const Drt& model_;
};

}  // namespace lookback
