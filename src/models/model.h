// What every model is to training, evaluation and generation.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "models/config.h"
#include "nn/parameters.h"
#include "nn/safetensors.h"
#include "retrieval/searched_archive.h"

namespace lookback {

// What the chunks of a sequence retrieved in one upper group (docs/model.md, 6).
struct Retrieval {
  at::Tensor scores;   // [N, C, E] un-noised, -inf where not visible; undefined unless asked for
  at::Tensor indices;  // [N, C, K] int64, -1: nothing retrieved
  at::Tensor weights;  // [N, C, K]
};

// What is remembered of chunks.
struct EncodedChunks {
  at::Tensor key, value;  // [N, C, S, H, D]
  at::Tensor landmarks;   // [N, C, d]
};

struct ForwardOptions {
  bool training = false;                         // Gumbel noise on the selection
  std::optional<at::Generator> generator;        // its source, on the model's device; needed when training with noise
  bool gradient_checkpointing = false;           // keep only each layer's input, compute the rest again in backward
  at::ScalarType dtype = at::kFloat;             // of activations and matrix products; norms and losses stay float32
  std::vector<Retrieval>* retrievals = nullptr;  // if set, filled with one entry a group, scores included
  const EncodedChunks* memory = nullptr;         // chunks [N, E, ...] to retrieve from beside the text's, before them
};

struct PrefillOptions {
  std::int64_t segment_tokens = 4096;  // of each sequence, read in one step; rounded up to whole chunks
  // Called after each segment with the number of tokens read so far (of the longest); returning false stops (Error
  // "interrupted").
  std::function<bool(std::int64_t)> on_progress;
};

// Sequences that grow, each at its own pace: the model's state between tokens. Not thread-safe. Everything it returns
// equals the whole forward's result for each sequence by itself (float32: 2e-4).
class Session {
 public:
  virtual ~Session() = default;

  virtual std::int64_t num_sequences() const = 0;

  // Lets every sequence retrieve from chunks that were read before as if they came before the text: before its first
  // token, any number of times. Throws Error for models that retrieve nothing.
  virtual void attach_memory(const SearchedArchive& memory);

  // Appends input_ids [N, T], T >= 1, and returns the final hidden states of exactly these tokens [N, T, d]. Rows may
  // end in negative ids, which are no tokens: so sequences grow by different lengths. Zeros stand where there is none.
  virtual at::Tensor append(const at::Tensor& input_ids) = 0;

  // Appends input_ids [N, T] in segments, at least one token to each sequence, and returns the hidden states of each
  // one's last token only [N, 1, d]. Skips what cannot influence this result or any later one (docs/model.md, "What
  // follows from the equations").
  virtual at::Tensor prefill(const at::Tensor& input_ids, const PrefillOptions& options) = 0;

  // Sequence i goes on as what sequence rows[i] is now: some may go, be copied, change places. Chunk memory is shared,
  // not copied. Throws Error for a row that there is not, and for no rows.
  virtual void select(const std::vector<std::int64_t>& rows) = 0;

  // Text tokens of a sequence so far.
  virtual std::int64_t num_tokens(std::int64_t sequence) const = 0;

  // Bytes of state that grow with the text (chunk memory), and those that do not (windows). What sequences share is
  // counted for each of them.
  virtual std::int64_t memory_bytes() const = 0;
  virtual std::int64_t window_bytes() const = 0;

  // Everything but the attached memories, by names; restore() makes a new session of the same model go on from there:
  // with memories attached that begin with the same chunks, in the same order. Throws Error for another model's.
  virtual NamedTensors state() const = 0;
  virtual void restore(const NamedTensors& state) = 0;

  // For each upper group, the retrieval now in effect (it serves the chunk that holds the next token): scores
  // [N, 1, E] (-inf where a sequence has no such chunk, and after restore(); undefined with memories attached, which
  // are searched without computing all), indices (-1: nothing) and weights [N, 1, K]. Empty for models that retrieve
  // nothing, and before any sequence has retrieved.
  virtual std::vector<Retrieval> current_retrievals() const { return {}; }
};

class Model {
 public:
  virtual ~Model() = default;

  const ModelConfig& config() const { return config_; }
  ParameterSet& parameters() { return parameters_; }
  const ParameterSet& parameters() const { return parameters_; }

  // input_ids [N, L] int64 (negative: padding), L >= 1 -> final hidden states at the text positions [N, L, d].
  // Throws Error when ids are out of range or on another device.
  virtual at::Tensor hidden_states(const at::Tensor& input_ids, const ForwardOptions& options) = 0;

  // An empty state for batch_size sequences. Gradients are off inside.
  virtual std::unique_ptr<Session> new_session(std::int64_t batch_size, at::ScalarType dtype) = 0;

  // Chunks before a chunk on which its memory depends: a text may be read in parts that begin so much earlier.
  // Throws Error for models that remember no chunks.
  virtual std::int64_t reading_halo_chunks() const;

  // What is remembered of input_ids [N, C * S] without its first halo_chunks chunks: lower layers and encoder only.
  // Exact when the text begins here (halo_chunks = 0) or halo_chunks >= reading_halo_chunks(). Gradients are off
  // inside.
  virtual EncodedChunks read_chunks(const at::Tensor& input_ids, std::int64_t halo_chunks, at::ScalarType dtype);

  // hidden [..., d] -> float32 logits [..., vocab_size] by the tied embedding.
  at::Tensor logits(const at::Tensor& hidden) const;

  // The embedding, which is also the output layer [vocab_size, d].
  const at::Tensor& embedding() const { return embedding_; }

 protected:
  Model(ModelConfig config, at::Device device, std::uint64_t seed);

  // Throws Error unless input_ids is int64 [N, L], L >= 1, on the model's device, with ids in the vocabulary.
  void check_input_ids(const at::Tensor& input_ids) const;
  // The same for a session's step: of num_sequences rows, with a token among them.
  void check_session_ids(const at::Tensor& input_ids, std::int64_t num_sequences) const;

  ModelConfig config_;
  ParameterSet parameters_;
  at::Tensor embedding_;
};

// A freshly initialised model of config.kind. Throws Error listing the known kinds.
std::unique_ptr<Model> make_model(const ModelConfig& config, at::Device device, std::uint64_t seed);

// The kinds that make_model knows.
std::vector<std::string> model_kinds();

}  // namespace lookback
