#include "generate/decoder.h"

#include <utility>

#include "generate/beam_search.h"
#include "generate/continuation.h"

namespace lookback {
namespace {

// What the sequence retrieves from.
std::vector<RetrievalSource> current_sources(const Sequence& sequence) {
  const std::vector<std::int64_t> sizes =
      sequence.memories() ? sequence.memories()->archives().sizes() : std::vector<std::int64_t>();
  std::vector<RetrievalSource> sources;
  const std::vector<Retrieval> retrievals = sequence.current_retrievals();
  for (std::size_t group = 0; group < retrievals.size(); ++group) {
    const at::Tensor indices = retrievals[group].indices.flatten().to(at::kCPU);
    const at::Tensor weights = retrievals[group].weights.flatten().to(at::kCPU, at::kDouble);
    for (std::int64_t k = 0; k < indices.numel(); ++k) {
      const auto chunk = indices[k].item<std::int64_t>();
      if (chunk < 0) continue;
      sources.push_back({static_cast<std::int64_t>(group), locate_chunk(sizes, chunk), weights[k].item<double>()});
    }
  }
  return sources;
}

// One token after another, drawn or the likeliest.
class TokenByToken : public Decoder {
 public:
  TokenByToken(const Model& model, const Tokenizer* tokenizer, const TextSession& text, const GenerateConfig& config,
               const GenerateListener& listener)
      : sequence_(*text.sequence),
        chunk_size_(model.config().chunk_size),
        explain_(config.explain),
        continuation_(model.config(), tokenizer, text.ids, config.stop, config.sampling,
                      Random(config.seed, config.stream), listener.on_token, listener.on_text) {}

  void take(at::Tensor logits) override {
    const auto num_new = static_cast<std::int64_t>(continuation_.ids().size());
    // What the last token of a chunk retrieves serves those of the next.
    if (explain_ && (num_new == 0 || sequence_.num_tokens() % chunk_size_ == 0)) {
      explanations_.push_back({num_new, current_sources(sequence_)});
    }
    continuation_.take({logits.mutable_data_ptr<float>(), static_cast<std::size_t>(logits.size(1))});
    num_steps_ = num_new;
  }
  void add_pieces(std::vector<Piece>& pieces) override {
    pieces.push_back({&sequence_, std::span(continuation_.ids()).last(1), 0});
  }
  bool ended() const override { return continuation_.ended(); }
  void interrupt() override { continuation_.interrupt(); }
  void give(GenerateResult& result) override {
    result.ids = continuation_.ids();
    result.text = continuation_.text();
    result.stop_reason = continuation_.stop_reason();
    result.num_decode_steps = num_steps_;
    result.explanations = std::move(explanations_);
  }

 private:
  Sequence& sequence_;
  std::int64_t chunk_size_;
  bool explain_;
  Continuation continuation_;
  std::int64_t num_steps_ = 0;
  std::vector<Explanation> explanations_;
};

}  // namespace

std::unique_ptr<Decoder> make_decoder(const Model& model, const Tokenizer* tokenizer, const TextSession& text,
                                      const GenerateConfig& config, const GenerateListener& listener) {
  if (config.num_beams > 1) return make_beam_search(model, tokenizer, *text.sequence, config, listener);
  return std::make_unique<TokenByToken>(model, tokenizer, text, config, listener);
}

}  // namespace lookback
