// Differentiable Retrieval-based Transformer (arXiv 2410.01651), exactly as docs/model.md in words:
// lower layers -> chunk encoder -> chunk memory -> causal retrieval -> upper layers with chunk attention.
//
// Two parts of it are exchangeable, by which two further models are DRT but for one part, so that the difference is
// that part's:
// - "rpt": the retriever (chunk_retriever.h) is fixed (fixed_retriever.h), as in RETRO (arXiv 2112.04426, section 2.4)
// and in the
//   Retrieval-Pretrained Transformer before its retriever is trained (2306.13421, sections 3.1 and 3.4): nothing of the
//   language model's loss reaches it, and the retrieved chunks are read under one softmax
//   (ops/joint_chunk_attention.h). Other than there, a neighbour comes without the chunk that follows it, and what is
//   searched is the text's own past alone. All upper groups read the same chunks.
// - "compressed-memory": the chunk's form (chunk_form.h). A chunk is remembered by memory_vectors vectors in place of
// its S positions, after retrieval
//   with compression (2412.18232), whose passages an instructed model rewrites shorter; here each vector is a mean of
//   the encoder's positions, weighed by a softmax with a learned query, trained with all else by the loss.
#pragma once

#include <memory>
#include <vector>

#include "memory/chunk_memory.h"
#include "models/drt/chunk_form.h"
#include "models/drt/chunk_retriever.h"
#include "models/drt/drt_config.h"
#include "models/model.h"
#include "nn/layers.h"
#include "nn/short_convolution.h"

namespace lookback {

class Drt : public Model {
 public:
  Drt(const ModelConfig& config, at::Device device, std::uint64_t seed);

  at::Tensor hidden_states(const at::Tensor& input_ids, const ForwardOptions& options) const override;
  std::unique_ptr<Sequence> new_sequence(at::ScalarType dtype) const override;
  std::int64_t reading_halo_chunks() const override;
  EncodedChunks read_chunks(const at::Tensor& input_ids, std::int64_t halo_chunks, at::ScalarType dtype) const override;

 protected:
  at::Tensor advance(std::span<const Piece> pieces) const override;

 private:
  friend class DrtSequence;
  friend class DrtStep;

  struct UpperLayer {
    LlamaLayer llama;
    RmsNorm gca_pre_norm;
    at::Tensor gca_q_proj, gca_o_proj;
  };

  std::int64_t positions_per_chunk() const { return config_.chunk_size + 1; }  // P = S + 1

  // Lower hidden states of whole chunks [N, C, P, d] and, for retrievers that find by tokens, their ids [N, C, S] on
  // the host -> keys, values and landmarks.
  EncodedChunks encode_chunks(const at::Tensor& hidden, const at::Tensor& ids, bool gradient_checkpointing) const;

  // What a layer with chunk attention gives: attended = x + self-attention, y = attended + chunk attention.
  at::Tensor finish_upper_layer(const UpperLayer& layer, const at::Tensor& attended, const at::Tensor& y) const {
    // In the paper the residual stays x, not y (docs/model.md, 7).
    return mlp_block(layer.llama, own_.residual_has_retrieved() ? y : attended,
                     own_.mlp_has_retrieved() ? y : attended);
  }

  // Scores of the chunks that may be chosen, else -inf: query [N, C, d] of the chunks from first_chunk on, landmarks
  // [N, E, d] of all, the first first_chunk those of other texts -> [N, C, E].
  at::Tensor visible_scores(const at::Tensor& query, const at::Tensor& landmarks, std::int64_t first_chunk) const;
  // What is read when these were chosen; arguments as with_successors has them.
  TopK with_what_follows(const TopK& chosen, std::int64_t first_chunk, const std::vector<std::int64_t>& ends) const;
  // What lower layer i sees besides x [N, L, d]; undefined where it has no convolution.
  at::Tensor lower_convolution(std::size_t i, const at::Tensor& x) const;
  // Positions back that the lower layers from `first` on look together.
  std::int64_t reach_of_lower_layers(std::size_t first) const;

  // Queries of chunk attention: x [..., d] -> [..., H, D].
  at::Tensor chunk_queries(const UpperLayer& layer, const at::Tensor& x) const;
  double softmax_scale() const;
  // Chunk attention of query [N, C, P', H, D] to key and value [N, E, S, H, D]; row c of indices and weights [N, C, K]
  // serves chunk c.
  at::Tensor attend_to_chunks(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                              const at::Tensor& indices, const at::Tensor& weights) const;
  // The same of query [1, C, P', H, D] to chunks that were fetched, those in their indices.
  at::Tensor attend_to_chunks(const at::Tensor& query, const FetchedChunks& chunks, const at::Tensor& weights) const;

  const DrtConfig& own_;
  std::vector<LlamaLayer> lower_layers_;
  std::vector<ShortConvolution> lower_convolutions_;  // before the first of them
  RmsNorm encoder_prenorm_;
  std::vector<LlamaLayer> encoder_layers_;
  RmsNorm encoder_norm_;
  at::Tensor chunk_k_proj_, chunk_v_proj_;
  std::optional<ShortConvolution> encoder_convolution_, key_convolution_;
  at::Tensor
      encoder_landmark_;       // what the encoder sees at the landmark's place [d]; undefined: the lower layers' output
  at::Tensor key_own_weight_;  // of the key convolution [d]
  std::unique_ptr<const ChunkForm> chunk_form_;
  std::unique_ptr<const ChunkRetriever> retriever_;
  std::vector<std::vector<UpperLayer>> upper_groups_;
  RmsNorm norm_;
};

}  // namespace lookback
