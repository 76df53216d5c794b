// Retrievers that no gradient reaches: what chunks are found by is a function of their text alone.
#pragma once

#include <optional>
#include <vector>

#include "models/drt/chunk_retriever.h"
#include "models/drt/drt_config.h"
#include "nn/layers.h"

namespace lookback {

// DrtConfig::retriever says which:
// - "bm25": the sum over the query's different terms of idf(t) tf(t) (k1 + 1) / (tf(t) + k1), k1 = 1.2, without the
//   normalisation by length (chunks are equally long); idf(t) = ln(1 + (n - df(t) + 0.5) / (df(t) + 0.5)) of the n
//   chunks before the query's, so that it depends on nothing else than the text. Terms are hashed to retriever_size
//   numbers. Where the vocabulary is bytes (256 of them and at most 8 special ids), terms are runs of letters and
//   digits, upper case as lower; else they are tokens.
// - "embeddings": the cosine of means of the tokens' vectors in a table that somebody else has made
//   (retriever_embeddings.h). Checkpoints hold it.
// - "encoder": the cosine of means over the chunks' positions, after an embedding and a chunk encoder of the model's
//   shape as they are before any training. They are drawn from a fixed seed: no checkpoint needs to hold them.
class FixedRetriever : public ChunkRetriever {
 public:
  // embeddings: the table [vocab_size, retriever_size], where config asks for one; it may be filled later.
  FixedRetriever(const ModelConfig& config, at::Device device, at::Tensor embeddings = {});

  bool finds_by_tokens() const override { return true; }
  at::Tensor landmarks(const at::Tensor& encoded, const at::Tensor& ids) const override;
  at::Tensor queries(std::size_t group_index, const AskingChunks& asking) const override;
  TopK choose(const at::Tensor& scores, const AskingChunks& asking, std::int64_t first_chunk, std::size_t group_index,
              const std::optional<at::Generator>& noise_generator) const override;
  bool weighs_chunks() const override { return false; }
  void check_stores_memories() const override;
  void check_searches_memories() const override;

  // Token ids of whole chunks [N, C, S] on the host -> what they are found by [N, C, F], float32, on the device. On the
  // host, since a word's hash goes on from byte to byte: terms are counted there.
  at::Tensor keys(const at::Tensor& ids) const;

  // Keys of chunks that follow each other [..., C, F] -> their queries, the same shape: a query's inner product with an
  // earlier chunk's key is its score. before: the keys of all chunks of the text before these, some [..., E, F] at a
  // time.
  at::Tensor queries(const std::vector<at::Tensor>& before, const at::Tensor& keys) const;

  // What chunks are chosen by, given the scores of all [N, C, E] (-inf: not to be had): of chunks that score the same,
  // as many do that share no term with the query, the nearest is best.
  at::Tensor selection(const at::Tensor& scores) const;

 private:
  // An encoder that stays as it is.
  struct Encoder {
    at::Tensor embedding;
    std::vector<LlamaLayer> layers;
    RmsNorm norm;
  };
  static Encoder make_encoder(const ModelConfig& config, at::Device device);
  at::Tensor term_keys(const at::Tensor& ids) const;
  at::Tensor encoder_keys(const at::Tensor& ids) const;
  at::Tensor embedding_keys(const at::Tensor& ids) const;

  ModelConfig config_;
  DrtConfig own_;
  at::Device device_;
  std::optional<Encoder> encoder_;
  at::Tensor embeddings_;
};

}  // namespace lookback
