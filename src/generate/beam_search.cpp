#include "generate/beam_search.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <utility>

#include "core/error.h"
#include "generate/continuation.h"

namespace lookback {
namespace {

// A candidate that has not ended.
struct Beam {
  std::vector<std::int64_t> ids;
  std::optional<TextStream> stream;
  std::string text;
  double log_probability = 0;
};

class BeamSearch : public Decoder {
 public:
  BeamSearch(const Model& model, const Tokenizer* tokenizer, const Sequence& text, const GenerateConfig& config,
             const GenerateListener& listener)
      : tokenizer_(tokenizer),
        text_(text),
        config_(config),
        listener_(listener),
        forbidden_(forbidden_ids(model.config(), tokenizer)),
        over_(config.stop.max_new_tokens == 0) {
    Beam first;
    if (tokenizer != nullptr) first.stream.emplace(*tokenizer, config.stop.stop_strings);
    beams_.push_back(std::move(first));
  }

  void take(at::Tensor logits) override {
    if (!sequences_.empty()) ++num_steps_;
    const std::vector<std::int64_t> origins = extend_beams(next_log_probabilities(logits));
    if (!beams_.empty() && std::ssize(beams_.front().ids) == config_.stop.max_new_tokens) {
      end_all(StopReason::max_new_tokens);
    }
    over_ = has_enough();
    if (!over_) continue_sequences(origins);
  }

  void add_pieces(std::vector<Piece>& pieces) override {
    for (std::size_t b = 0; b < beams_.size(); ++b) {
      pieces.push_back({sequences_[b].get(), std::span(beams_[b].ids).last(1), 0});
    }
  }

  bool ended() const override { return over_; }

  void interrupt() override {
    if (over_) return;
    end_all(StopReason::interrupted);
    over_ = true;
  }

  void give(GenerateResult& result) override {
    result.num_decode_steps = num_steps_;
    result.hypotheses = std::move(ended_);
    if (result.hypotheses.empty()) return;
    const Hypothesis& best = result.hypotheses.front();
    result.ids = best.ids;
    result.text = best.text;
    result.stop_reason = best.stop_reason;
    if (listener_.on_text && !best.text.empty()) listener_.on_text(best.text);
    if (listener_.on_token) std::ranges::for_each(best.ids, listener_.on_token);
  }

 private:
  // scores [B, V]: of the beams' texts with each next token. Returns for each new beam which one it extends.
  std::vector<std::int64_t> extend_beams(const at::Tensor& scores) {
    const std::int64_t vocab_size = scores.size(1);
    const auto num_beams = static_cast<std::size_t>(config_.num_beams);
    // Twice as many as stay, since each beam's end-of-text may be among them.
    const auto best = scores.flatten().topk(std::min(2 * config_.num_beams, scores.numel()));
    std::vector<Beam> next;
    std::vector<std::int64_t> origins;
    for (std::int64_t rank = 0; rank < std::get<0>(best).size(0) && next.size() < num_beams; ++rank) {
      const auto log_probability = std::get<0>(best)[rank].item<double>();
      if (std::isinf(log_probability)) break;
      const auto place = std::get<1>(best)[rank].item<std::int64_t>();
      const std::int64_t origin = place / vocab_size;
      Beam beam = beams_[static_cast<std::size_t>(origin)];
      const std::optional<StopReason> reason = extend(beam, place % vocab_size, log_probability);
      if (!reason) {
        next.push_back(std::move(beam));
        origins.push_back(origin);
      } else if (rank < config_.num_beams) {
        end(std::move(beam), *reason);
      }
    }
    beams_ = std::move(next);
    return origins;
  }

  // A beam that one new beam extends is taken over by it, others copy it; the text itself stays as it is.
  void continue_sequences(const std::vector<std::int64_t>& origins) {
    std::vector<std::unique_ptr<Sequence>> next;
    std::vector<std::int64_t> moved_to(sequences_.size(), -1);
    for (const std::int64_t origin : origins) {
      if (sequences_.empty()) {
        next.push_back(text_.fork());
        continue;
      }
      std::int64_t& place = moved_to[static_cast<std::size_t>(origin)];
      if (place >= 0) {
        next.push_back(next[static_cast<std::size_t>(place)]->fork());
      } else {
        place = std::ssize(next);
        next.push_back(std::move(sequences_[static_cast<std::size_t>(origin)]));
      }
    }
    sequences_ = std::move(next);
  }

  bool has_enough() const {
    if (beams_.empty()) return true;
    if (std::ssize(ended_) < config_.num_beams) return false;
    return score_of(beams_.front()) <= ended_.back().score;
  }

  // Those that go on end here.
  void end_all(StopReason reason) {
    for (Beam& beam : std::exchange(beams_, {})) end(std::move(beam), reason);
  }

  at::Tensor next_log_probabilities(const at::Tensor& logits) const {
    at::Tensor scores = at::log_softmax(logits, -1).to(at::kDouble);
    require(!scores.isnan().any().item<bool>(), "the model's logits hold NaN or infinity: its weights are broken");
    if (!forbidden_.empty()) scores.index_fill_(1, at::tensor(forbidden_, at::kLong), -INFINITY);
    for (std::size_t b = 0; b < beams_.size(); ++b) scores[static_cast<std::int64_t>(b)] += beams_[b].log_probability;
    return scores;
  }

  // Whether, and why, the beam ends with this id.
  std::optional<StopReason> extend(Beam& beam, std::int64_t id, double log_probability) const {
    beam.ids.push_back(id);
    beam.log_probability = log_probability;
    if (!beam.stream) return {};
    if (id == tokenizer_->end_of_text_id() && config_.stop.stop_at_end_of_text) return StopReason::end_of_text;
    beam.text += beam.stream->push(id);
    if (beam.stream->stopped()) return StopReason::stop_string;
    return {};
  }

  double score_of(const Beam& beam) const {
    return beam.log_probability / std::pow(static_cast<double>(beam.ids.size()), config_.length_penalty);
  }

  void end(Beam beam, StopReason reason) {
    if (beam.stream) beam.text += beam.stream->finish();
    const double score = score_of(beam);
    // Sorted, the best first; of equal ones the earlier.
    const auto place = std::ranges::upper_bound(ended_, score, std::ranges::greater{}, &Hypothesis::score);
    ended_.insert(place, {std::move(beam.ids), std::move(beam.text), reason, beam.log_probability, score});
    if (static_cast<std::int64_t>(ended_.size()) > config_.num_beams) ended_.pop_back();
  }

  const Tokenizer* tokenizer_;
  const Sequence& text_;
  const GenerateConfig& config_;
  const GenerateListener& listener_;
  std::vector<std::int64_t> forbidden_;
  std::vector<Beam> beams_;                           // by log-probability, the best first
  std::vector<std::unique_ptr<Sequence>> sequences_;  // the beams', without their last tokens; none before the first
  std::int64_t num_steps_ = 0;
  bool over_ = false;
  std::vector<Hypothesis> ended_;
};

}  // namespace

void check_beam_config(const GenerateConfig& config) {
  const SamplingConfig plain;
  const SamplingConfig& found = config.sampling;
  require(found.temperature == plain.temperature && found.top_k == plain.top_k && found.top_p == plain.top_p &&
              found.min_p == plain.min_p && found.repetition_penalty == plain.repetition_penalty,
          "beam search (num-beams {}) draws nothing: leave out temperature, top-k, top-p, min-p and repetition-penalty",
          config.num_beams);
  require(!config.explain, "beam search (num-beams {}) explains nothing: leave out explain", config.num_beams);
  require(std::isfinite(config.length_penalty), "length-penalty {}: must be a finite number", config.length_penalty);
}

std::unique_ptr<Decoder> make_beam_search(const Model& model, const Tokenizer* tokenizer, const Sequence& text,
                                          const GenerateConfig& config, const GenerateListener& listener) {
  return std::make_unique<BeamSearch>(model, tokenizer, text, config, listener);
}

}  // namespace lookback
