#include "generate/beam_search.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <utility>

#include "core/error.h"

namespace lookback {
namespace {

// A candidate that has not ended.
struct Beam {
  std::vector<std::int64_t> ids;
  std::optional<TextStream> stream;
  std::string text;
  double log_probability = 0;
};

class BeamSearch {
 public:
  BeamSearch(const Model& model, const Tokenizer* tokenizer, const GenerateConfig& config)
      : model_(model), tokenizer_(tokenizer), config_(config), forbidden_(forbidden_ids(model.config(), tokenizer)) {
    Beam first;
    if (tokenizer != nullptr) first.stream.emplace(*tokenizer, config.stop.stop_strings);
    beams_.push_back(std::move(first));
  }

  // Goes on from the hidden states of the beams' last tokens [B, 1, d]. Returns for each new beam which one it extends.
  std::vector<std::int64_t> step(const at::Tensor& hidden) {
    const at::Tensor scores = next_log_probabilities(hidden);  // [B, V]
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

  bool over() const {
    if (beams_.empty()) return true;
    if (static_cast<std::int64_t>(ended_.size()) < config_.num_beams) return false;
    return score_of(beams_.front()) <= ended_.back().score;
  }

  // Those that go on end here.
  void end_all(StopReason reason) {
    for (Beam& beam : std::exchange(beams_, {})) end(std::move(beam), reason);
  }

  std::vector<std::int64_t> last_ids() const {
    std::vector<std::int64_t> ids;
    for (const Beam& beam : beams_) ids.push_back(beam.ids.back());
    return ids;
  }
  std::vector<Hypothesis> take_hypotheses() { return std::move(ended_); }

 private:
  at::Tensor next_log_probabilities(const at::Tensor& hidden) const {
    at::Tensor scores =
        at::log_softmax(model_.logits(hidden.select(1, hidden.size(1) - 1)), -1).to(at::kCPU, at::kDouble);
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

  const Model& model_;
  const Tokenizer* tokenizer_;
  const GenerateConfig& config_;
  std::vector<std::int64_t> forbidden_;
  std::vector<Beam> beams_;  // by log-probability, the best first
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

GenerateResult beam_search(const Model& model, const Tokenizer* tokenizer, Session& session, const at::Tensor& hidden,
                           const GenerateConfig& config, const GenerateListener& listener) {
  BeamSearch search(model, tokenizer, config);
  GenerateResult result;
  const at::Device device = model.parameters().device();
  // Sequence 0 stays where it is, the others are the beams.
  session.select({0, 0});
  at::Tensor last = hidden;
  for (std::int64_t length = 1; length <= config.stop.max_new_tokens; ++length) {
    const std::vector<std::int64_t> origins = search.step(last);
    if (length == config.stop.max_new_tokens) search.end_all(StopReason::max_new_tokens);
    if (search.over()) break;
    if (listener.stop_asked && listener.stop_asked()) {
      search.end_all(StopReason::interrupted);
      break;
    }
    std::vector<std::int64_t> rows = {0};
    for (const std::int64_t origin : origins) rows.push_back(origin + 1);
    session.select(rows);
    std::vector<std::int64_t> ids = search.last_ids();
    ids.insert(ids.begin(), -1);
    last = session.append(at::tensor(ids, at::kLong).unsqueeze(1).to(device)).narrow(0, 1, std::ssize(ids) - 1);
    ++result.num_decode_steps;
  }
  session.select({0});
  result.hypotheses = search.take_hypotheses();
  if (result.hypotheses.empty()) return result;
  const Hypothesis& best = result.hypotheses.front();
  result.ids = best.ids;
  result.text = best.text;
  result.stop_reason = best.stop_reason;
  if (listener.on_text && !best.text.empty()) listener.on_text(best.text);
  if (listener.on_token) std::ranges::for_each(best.ids, listener.on_token);
  return result;
}

}  // namespace lookback
