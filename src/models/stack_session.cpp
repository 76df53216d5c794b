#include "models/stack_session.h"

#include <ATen/core/grad_mode.h>

#include <algorithm>

#include "core/error.h"
#include "models/landmarks.h"
#include "models/packed_rows.h"

namespace lookback {

StackSession::StackSession(const LayerStack& model, std::int64_t batch_size, at::ScalarType dtype)
    : model_(model), options_(model.embedding_.options().dtype(dtype).requires_grad(false)) {
  require(batch_size >= 1, "batch_size: expected at least 1, found {}", batch_size);
  for (std::int64_t n = 0; n < batch_size; ++n) sequences_.push_back(new_sequence());
}

StackSession::Sequence StackSession::new_sequence() const {
  Sequence sequence;
  for (const auto& layer : model_.layers_) sequence.layers.push_back(layer->new_state(options_));
  return sequence;
}

StackSession::Sequence StackSession::copy_of(const Sequence& sequence) {
  Sequence copy{sequence.num_tokens, {}};
  for (const auto& layer : sequence.layers) copy.layers.push_back(layer->copy());
  return copy;
}

std::int64_t StackSession::num_positions(std::int64_t num_tokens) const {
  return model_.config_.has_landmarks() ? count_positions(num_tokens, model_.config_) : num_tokens;
}

at::Tensor StackSession::advance(const at::Tensor& input_ids, const std::vector<std::int64_t>& counts,
                                 std::size_t num_layers) {
  const ModelConfig& config = model_.config_;
  struct Step {
    Sequence* sequence;
    StepRows rows;
  };
  std::vector<Step> steps;
  std::vector<at::Tensor> ids;
  std::int64_t num_rows = 0;
  for (std::size_t n = 0; n < counts.size(); ++n) {
    if (counts[n] == 0) continue;
    Sequence& sequence = sequences_[n];
    const at::Tensor tokens = input_ids[static_cast<std::int64_t>(n)].narrow(0, 0, counts[n]);
    ids.push_back(config.has_landmarks() ? continue_with_landmarks(tokens, sequence.num_tokens, config) : tokens);
    const std::int64_t count = ids.back().size(0);
    steps.push_back({&sequence, {num_rows, count, num_positions(sequence.num_tokens), nullptr}});
    num_rows += count;
    sequence.num_tokens += counts[n];
  }
  const at::Tensor all_ids = join_rows(ids);
  at::Tensor x = at::embedding(model_.embedding_, all_ids).to(options_);  // [R, d]
  for (std::size_t i = 0; i < num_layers; ++i) {
    std::vector<StepRows> rows;
    for (Step& step : steps) {
      step.rows.state = step.sequence->layers[i].get();
      rows.push_back(step.rows);
    }
    x = model_.layers_[i]->step(x, rows);
  }
  if (config.has_landmarks()) x = x.index_select(0, all_ids.ne(config.landmark_id).nonzero().squeeze(1));
  if (num_layers == model_.layers_.size()) x = rms_norm(model_.norm_, x);
  return unpack_rows(x, counts, input_ids.size(1));
}

at::Tensor StackSession::append(const at::Tensor& input_ids) {
  const at::NoGradGuard no_gradients;
  model_.check_session_ids(input_ids, num_sequences());
  return advance(input_ids, count_tokens(input_ids), model_.layers_.size());
}

StackSession::Reach StackSession::reach() const {
  Reach reach{model_.layers_.size(), 0};
  for (; reach.num_layers_for_all > 0; --reach.num_layers_for_all) {
    const std::optional<std::int64_t> own = model_.layers_[reach.num_layers_for_all - 1]->reach();
    if (!own) break;
    reach.positions += *own;
  }
  return reach;
}

at::Tensor StackSession::prefill(const at::Tensor& input_ids, const PrefillOptions& options) {
  const at::NoGradGuard no_gradients;
  model_.check_session_ids(input_ids, num_sequences());
  const auto [num_layers_for_all, reach_positions] = reach();
  const std::vector<std::int64_t> lengths = count_tokens(input_ids);
  std::vector<at::Tensor> early;  // tokens that nothing needs behind the layers for all
  std::vector<at::Tensor> late;
  for (std::size_t n = 0; n < lengths.size(); ++n) {
    require(lengths[n] >= 1, "input_ids: sequence {} has no token to read", n);
    // The last token itself, and as many before it as there are positions in reach.
    const std::int64_t begin = std::max<std::int64_t>(0, lengths[n] - 1 - reach_positions);
    const at::Tensor ids = input_ids[static_cast<std::int64_t>(n)];
    early.push_back(ids.narrow(0, 0, begin));
    late.push_back(ids.narrow(0, begin, lengths[n] - begin));
    for (std::size_t i = num_layers_for_all; begin > 0 && i < model_.layers_.size(); ++i) {
      sequences_[n].layers[i] = model_.layers_[i]->new_state(options_);
    }
  }
  std::int64_t num_read = 0;  // of the longest sequence
  at::Tensor last = at::empty({num_sequences(), 1, model_.config_.hidden_size}, options_);
  const auto read = [&](const at::Tensor& ids, std::size_t num_layers) {
    for (std::int64_t first = 0; first < ids.size(1); first += options.segment_tokens) {
      const at::Tensor segment = ids.narrow(1, first, std::min(options.segment_tokens, ids.size(1) - first));
      const std::vector<std::int64_t> counts = count_tokens(segment);
      keep_last_rows(advance(segment, counts, num_layers), counts, last);
      num_read += segment.size(1);
      if (options.on_progress && !options.on_progress(num_read)) fail("interrupted");
    }
  };
  const at::Tensor early_ids = pad_ids(early);
  if (num_layers_for_all > 0) {
    read(early_ids, num_layers_for_all);
  } else {
    for (std::size_t n = 0; n < lengths.size(); ++n) sequences_[n].num_tokens += early[n].size(0);
    num_read = early_ids.size(1);
  }
  read(pad_ids(late), model_.layers_.size());
  return last;
}

void StackSession::select(const std::vector<std::int64_t>& rows) {
  sequences_ = select_sequences(std::move(sequences_), rows, copy_of);
}

std::int64_t StackSession::num_tokens(std::int64_t sequence) const {
  return sequences_.at(static_cast<std::size_t>(sequence)).num_tokens;
}

std::int64_t StackSession::memory_bytes() const {
  std::int64_t sum = 0;
  for (const Sequence& sequence : sequences_) {
    for (const auto& layer : sequence.layers) sum += layer->memory_bytes();
  }
  return sum;
}

std::int64_t StackSession::window_bytes() const {
  std::int64_t sum = 0;
  for (const Sequence& sequence : sequences_) {
    for (const auto& layer : sequence.layers) sum += layer->window_bytes();
  }
  return sum;
}

NamedTensors StackSession::state() const {
  NamedTensors state{{"num_sequences", at::scalar_tensor(num_sequences(), at::kLong)}};
  for (std::size_t n = 0; n < sequences_.size(); ++n) {
    const std::string name = "sequence." + std::to_string(n);
    state.emplace_back(name + ".num_tokens", at::scalar_tensor(sequences_[n].num_tokens, at::kLong));
    for (std::size_t i = 0; i < sequences_[n].layers.size(); ++i) {
      sequences_[n].layers[i]->save(state, name + ".layer." + std::to_string(i));
    }
  }
  return state;
}

void StackSession::restore(const NamedTensors& state) {
  StateReader reader(state, options_);
  const std::int64_t count = reader.take_count("num_sequences");
  require(count >= 1, "the session holds no sequence: it is damaged");
  std::vector<Sequence> sequences;
  for (std::int64_t n = 0; n < count; ++n) {
    const std::string name = "sequence." + std::to_string(n);
    Sequence sequence = new_sequence();
    sequence.num_tokens = reader.take_count(name + ".num_tokens");
    for (std::size_t i = 0; i < sequence.layers.size(); ++i) {
      sequence.layers[i]->restore(reader, name + ".layer." + std::to_string(i), num_positions(sequence.num_tokens));
    }
    sequences.push_back(std::move(sequence));
  }
  reader.finish();
  sequences_ = std::move(sequences);
}

}  // namespace lookback
