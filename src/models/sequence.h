// One text that grows: what a model keeps of it between tokens.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "models/session_state.h"
#include "nn/safetensors.h"
#include "retrieval/memory_set.h"

namespace lookback {

class Model;

// What the chunks of a text retrieved in one upper group (docs/model.md, 6).
struct Retrieval {
  at::Tensor scores;   // [N, C, E] un-noised, -inf where not visible; undefined unless asked for
  at::Tensor indices;  // [N, C, K] int64, -1: nothing retrieved
  at::Tensor weights;  // [N, C, K]
};

// Made by Model::new_sequence and advanced by Model::step. One thread at a time may use it; its model must outlive it.
// Whatever is stepped beside it, it gives what the whole forward over its text gives (float32: 2e-4).
class Sequence {
 public:
  virtual ~Sequence() = default;
  Sequence& operator=(const Sequence&) = delete;

  // Text tokens so far.
  std::int64_t num_tokens() const { return num_tokens_; }

  // Lets it retrieve from chunks that were read before as if they came before its text. Called once, before its first
  // token. nullptr: none. Throws Error for models that retrieve nothing.
  void attach(std::shared_ptr<const MemorySet> memories);
  const std::shared_ptr<const MemorySet>& memories() const { return memories_; }

  // Element type and device of what it keeps.
  const at::TensorOptions& options() const { return options_; }

  // One that goes on from here by itself. Chunk memory is shared, not copied.
  virtual std::unique_ptr<Sequence> fork() const = 0;

  // Bytes of what grows with the text (chunk memory), and of what does not (windows).
  virtual std::int64_t memory_bytes() const = 0;
  virtual std::int64_t window_bytes() const = 0;

  // Everything but the attached memories, by names. restore() makes a new sequence of the same model go on from there,
  // with memories attached that begin with the same chunks, in the same order. It throws Error for another model's
  // state and for a damaged one; then the sequence is of no use.
  NamedTensors state() const;
  void restore(const NamedTensors& state);

  // For each upper group, the retrieval now in effect (it serves the chunk that holds the next token): scores
  // [1, 1, E] (undefined after restore(), and with memories attached, which are searched without computing all),
  // indices
  // (-1: nothing) and weights [1, 1, K]. Empty for models that retrieve nothing, and before the first chunk's end.
  virtual std::vector<Retrieval> current_retrievals() const { return {}; }

 protected:
  // options: element type and device of what it keeps.
  Sequence(const Model& model, const at::TensorOptions& options) : model_(&model), options_(options) {}
  // For fork().
  Sequence(const Sequence&) = default;

  // Throws Error for models that retrieve from no stored memory.
  virtual void check_takes_memories() const;
  // The kind's own part of state() and restore(), which begin with the number of tokens.
  virtual void save_state(NamedTensors& state) const = 0;
  virtual void restore_state(StateReader& reader) = 0;

 private:
  friend class Model;

  const Model* model_;
  at::TensorOptions options_;
  std::shared_ptr<const MemorySet> memories_;
  std::int64_t num_tokens_ = 0;
  std::int64_t first_wanted_ = 0;  // a token's place: hidden states of those before it are gone, or were never computed
};

// The next tokens of a sequence.
struct Piece {
  Sequence* sequence = nullptr;
  std::span<const std::int64_t> ids;  // on the host; at least one
  // The first token whose final hidden state is wanted, counted from ids[0]; those of all later ones are, too. It may
  // lie behind the piece's end: then that many tokens will follow before any is wanted, and what nobody will see is not
  // computed.
  std::int64_t first_wanted = 0;
};

}  // namespace lookback
