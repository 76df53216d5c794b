// How new tokens are chosen for a text whose prompt has been read.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "generate/generate_result.h"
#include "generate/text_session.h"
#include "models/model.h"
#include "text/tokenizer.h"

namespace lookback {

// An engine (generate/engine.h) gives it the logits behind the text, then steps its pieces and gives it their logits,
// and so on until it has ended.
class Decoder {
 public:
  virtual ~Decoder() = default;

  // Chooses from the logits [rows, vocab_size], float32 on the CPU, which are changed: one row for the text itself at
  // first, then one for each of its pieces.
  virtual void take(at::Tensor logits) = 0;

  // Appends what is to be read next, a token of each sequence: since the last take(), unless it ended.
  virtual void add_pieces(std::vector<Piece>& pieces) = 0;

  virtual bool ended() const = 0;
  // Ends with what there is.
  virtual void interrupt() = 0;

  // ids, text, stop reason and whatever else it knows. Called once, after the end.
  virtual void give(GenerateResult& result) = 0;
};

// By the request's settings: beams (generate/beam_search.h), or one token after another. text and listener must outlive
// it.
std::unique_ptr<Decoder> make_decoder(const Model& model, const Tokenizer* tokenizer, const TextSession& text,
                                      const GenerateConfig& config, const GenerateListener& listener);

}  // namespace lookback
