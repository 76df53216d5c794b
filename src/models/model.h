// What every model is to training, evaluation and generation.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "models/config.h"
#include "models/sequence.h"
#include "nn/parameters.h"

namespace lookback {

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

// Const calls change nothing but the sequences that they are given, and may run in any number of threads at once, on
// different sequences. Gradients are recorded by hidden_states only.
class Model {
 public:
  virtual ~Model() = default;

  const ModelConfig& config() const { return config_; }
  ParameterSet& parameters() { return parameters_; }
  const ParameterSet& parameters() const { return parameters_; }

  // input_ids [N, L] int64 on the host, L >= 1 -> final hidden states at the text positions
  // [N, L, d]. Throws Error for ids that are not in the vocabulary.
  virtual at::Tensor hidden_states(const at::Tensor& input_ids, const ForwardOptions& options) const = 0;

  // An empty text. dtype: of activations and of what is remembered.
  virtual std::unique_ptr<Sequence> new_sequence(at::ScalarType dtype) const = 0;

  // Appends each piece's tokens to its sequence, all in one pass whatever their lengths, and returns the final hidden
  // states [R, d] of the tokens that are wanted, piece after piece. What a sequence gets does not depend on the others.
  // Throws Error for ids that are not in the vocabulary, for a sequence that stands twice or is another model's, and
  // for a hidden state that an earlier piece said nobody would want. After any other error its sequences are of no use.
  at::Tensor step(std::span<const Piece> pieces) const;

  // Chunks before a chunk on which its memory depends: a text may be read in parts that begin so much earlier.
  // Throws Error for models that remember no chunks.
  virtual std::int64_t reading_halo_chunks() const;

  // What is remembered of input_ids [N, C * S] on the host without its first halo_chunks chunks: lower layers and
  // encoder only. Exact when the text begins here (halo_chunks = 0) or halo_chunks >= reading_halo_chunks().
  virtual EncodedChunks read_chunks(const at::Tensor& input_ids, std::int64_t halo_chunks, at::ScalarType dtype) const;

  // hidden [..., d] -> float32 logits [..., vocab_size] by the tied embedding.
  at::Tensor logits(const at::Tensor& hidden) const;

  // The embedding, which is also the output layer [vocab_size, d].
  const at::Tensor& embedding() const { return embedding_; }

 protected:
  Model(ModelConfig config, at::Device device, std::uint64_t seed);

  // Throws Error unless input_ids is int64 [N, L], L >= 1, on the host, with ids in the vocabulary.
  void check_input_ids(const at::Tensor& input_ids) const;

  // ids [...] on the host -> their embeddings [..., d].
  at::Tensor embed(const at::Tensor& ids) const;

  // step() of pieces that have been checked; the sequences do not count their new tokens yet.
  virtual at::Tensor advance(std::span<const Piece> pieces) const = 0;

  ModelConfig config_;
  ParameterSet parameters_;
  at::Tensor embedding_;

 private:
  void check_pieces(std::span<const Piece> pieces) const;
};

// A freshly initialised model of config.kind. Throws Error listing the known kinds.
std::unique_ptr<Model> make_model(const ModelConfig& config, at::Device device, std::uint64_t seed);

// Throws Error naming `source` and the first of these token ids that is not 0 to vocab_size - 1.
void check_in_vocabulary(std::span<const std::int64_t> ids, std::int64_t vocab_size, const char* source);

// The kinds that make_model knows.
std::vector<std::string> model_kinds();

}  // namespace lookback
