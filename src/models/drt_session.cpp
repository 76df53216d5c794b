#include "models/drt_session.h"

#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <utility>

#include "core/error.h"
#include "models/landmarks.h"
#include "models/packed_rows.h"
#include "ops/parallel.h"

namespace lookback {

DrtSession::DrtSession(const Drt& model, std::int64_t batch_size, at::ScalarType dtype) : model_(model), dtype_(dtype) {
  require(batch_size >= 1, "batch_size: expected at least 1, found {}", batch_size);
  for (std::int64_t n = 0; n < batch_size; ++n) sequences_.push_back(new_sequence());
}

DrtSession::GroupState DrtSession::new_group(std::size_t group_index) const {
  GroupState group;
  group.caches.resize(model_.upper_groups_[group_index].layers.size());
  return group;
}

DrtSession::Sequence DrtSession::new_sequence() const {
  Sequence sequence;
  sequence.lower_caches.resize(model_.lower_layers_.size());
  sequence.unfinished = at::empty({0, model_.config_.hidden_size}, model_.embedding_.options().dtype(dtype_));
  if (model_.retriever_) sequence.unfinished_ids = at::empty({0}, model_.embedding_.options().dtype(at::kLong));
  for (std::size_t g = 0; g < model_.upper_groups_.size(); ++g) sequence.groups.push_back(new_group(g));
  return sequence;
}

DrtSession::Sequence DrtSession::copy_of(const Sequence& sequence) {
  const auto copies = [](const std::vector<WindowCache>& caches) {
    std::vector<WindowCache> result;
    for (const WindowCache& cache : caches) result.push_back(cache.copy());
    return result;
  };
  // Tensors that are replaced, never written to, are shared.
  Sequence copy;
  copy.num_tokens = sequence.num_tokens;
  copy.lower_caches = copies(sequence.lower_caches);
  copy.unfinished = sequence.unfinished;
  copy.unfinished_ids = sequence.unfinished_ids;
  copy.memory = sequence.memory.fork();
  for (const GroupState& group : sequence.groups) {
    copy.groups.push_back({copies(group.caches), group.retrieval, group.chunks});
  }
  return copy;
}

void DrtSession::attach_memory(const SearchedArchive& memory) {
  require(!model_.retriever_, "a model with a fixed retriever reads no stored memory");
  require(!model_.config_.random_retrieval, "this model retrieves at random (random_retrieval): it searches no memory");
  for (const Sequence& sequence : sequences_) {
    require(sequence.num_tokens == 0, "a stored memory is attached before the text begins");
  }
  archived_.attach(memory.archive);
  indexes_.push_back(memory.index);
}

void DrtSession::select(const std::vector<std::int64_t>& rows) {
  sequences_ = select_sequences(std::move(sequences_), rows, copy_of);
}

std::int64_t DrtSession::num_tokens(std::int64_t sequence) const {
  return sequences_.at(static_cast<std::size_t>(sequence)).num_tokens;
}

std::int64_t DrtSession::memory_bytes() const {
  std::int64_t sum = 0;
  for (const Sequence& sequence : sequences_) sum += sequence.memory.bytes();
  return sum;
}

std::int64_t DrtSession::window_bytes() const {
  std::int64_t sum = 0;
  for (const Sequence& sequence : sequences_) {
    sum += static_cast<std::int64_t>(sequence.unfinished.nbytes());
    if (model_.retriever_) sum += static_cast<std::int64_t>(sequence.unfinished_ids.nbytes());
    for (const WindowCache& cache : sequence.lower_caches) sum += cache.bytes();
    for (const GroupState& group : sequence.groups) {
      for (const WindowCache& cache : group.caches) sum += cache.bytes();
    }
  }
  return sum;
}

DrtSession::Span DrtSession::span_of(Sequence& sequence, std::int64_t num_new_tokens, std::int64_t first_row) const {
  const std::int64_t chunk_size = model_.config_.chunk_size;
  const std::int64_t first_slot = sequence.num_tokens % chunk_size;
  const std::int64_t end_token = first_slot + num_new_tokens;
  const std::int64_t num_full_chunks = end_token / chunk_size;
  return {&sequence,       first_slot, num_new_tokens + num_full_chunks, (end_token + chunk_size - 1) / chunk_size,
          num_full_chunks, first_row};
}

at::Tensor DrtSession::run_lower_layers(const std::vector<at::Tensor>& ids, const std::vector<Span>& spans) {
  std::vector<at::Tensor> with_landmarks;
  for (std::size_t i = 0; i < spans.size(); ++i) {
    with_landmarks.push_back(continue_with_landmarks(ids[i], spans[i].sequence->num_tokens, model_.config_));
  }
  at::Tensor x = at::embedding(model_.embedding_, join_rows(with_landmarks)).to(dtype_);  // [R, d]
  for (std::size_t i = 0; i < model_.lower_layers_.size(); ++i) {
    std::vector<WindowedRows> rows;
    for (const Span& span : spans) {
      rows.push_back({span.first_row, span.num_positions, &span.sequence->lower_caches[i]});
    }
    const LlamaLayer& layer = model_.lower_layers_[i];
    const at::Tensor attended = windowed_attention_block(layer, x, model_.config_.window_size, rows);
    x = mlp_block(layer, attended, attended);
  }
  return x;
}

void DrtSession::remember_full_chunks(const at::Tensor& lower_hidden, const std::vector<at::Tensor>& ids,
                                      const std::vector<Span>& spans) {
  const std::int64_t positions = model_.positions_per_chunk();
  std::vector<at::Tensor> full;
  std::vector<at::Tensor> keys;
  for (std::size_t i = 0; i < spans.size(); ++i) {
    const Span& span = spans[i];
    if (model_.retriever_) {
      const at::Tensor own = fixed_keys(ids[i], span);
      if (own.defined()) keys.push_back(own);
    }
    const at::Tensor rows =
        at::cat({span.sequence->unfinished, lower_hidden.narrow(0, span.first_row, span.num_positions)});
    const std::int64_t full_positions = span.num_full_chunks * positions;
    if (span.num_full_chunks > 0) full.push_back(rows.narrow(0, 0, full_positions));
    span.sequence->unfinished = rows.narrow(0, full_positions, rows.size(0) - full_positions).clone();
  }
  if (full.empty()) return;
  // Chunks are encoded one by one, whichever sequence they are of.
  EncodedChunks encoded = model_.encode_chunks(join_rows(full).view({1, -1, positions, lower_hidden.size(1)}), false);
  if (model_.retriever_) encoded.landmarks = join_rows(keys).unsqueeze(0);
  std::int64_t first = 0;
  for (const Span& span : spans) {
    if (span.num_full_chunks == 0) continue;
    const auto own = [&](const at::Tensor& all) { return all[0].narrow(0, first, span.num_full_chunks); };
    span.sequence->memory.append({own(encoded.key), own(encoded.value), own(encoded.landmarks)});
    first += span.num_full_chunks;
  }
}

at::Tensor DrtSession::chunk_attention_rows(const at::Tensor& query, const SpanRetrieval& retrieved,
                                            const Span& span) const {
  const at::Tensor rows = query.narrow(0, span.first_row, span.num_positions);  // [T, H, D]
  const auto attend = [&](const at::Tensor& chunks) {
    return model_
        .attend_to_chunks(chunks.unsqueeze(0), retrieved.chunks.key.unsqueeze(0), retrieved.chunks.value.unsqueeze(0),
                          retrieved.chunks.indices, retrieved.weights)
        .squeeze(0)
        .flatten(0, 1)
        .flatten(-2);
  };
  // Within one chunk the new positions are the queries; decoding would otherwise compute P of them for one token.
  if (span.num_chunks == 1) return attend(rows.unsqueeze(0));
  const std::int64_t slots = span.num_chunks * model_.positions_per_chunk();
  const at::Tensor on_grid =
      at::constant_pad_nd(rows, {0, 0, 0, 0, span.first_slot, slots - span.first_slot - rows.size(0)});
  return attend(on_grid.unflatten(0, {span.num_chunks, -1})).narrow(0, span.first_slot, span.num_positions);
}

at::Tensor DrtSession::run_group(std::size_t group_index, at::Tensor x, const std::vector<Span>& spans) {
  const Drt::UpperGroup& group = model_.upper_groups_[group_index];
  const std::vector<SpanRetrieval> retrieved = retrieve(group_index, x, spans);
  const bool any = std::ranges::any_of(retrieved, [](const SpanRetrieval& one) { return one.chunks.key.defined(); });
  for (std::size_t j = 0; j < group.layers.size(); ++j) {
    const Drt::UpperLayer& layer = group.layers[j];
    std::vector<WindowedRows> rows;
    for (const Span& span : spans) {
      rows.push_back({span.first_row, span.num_positions, &span.sequence->groups[group_index].caches[j]});
    }
    const at::Tensor attended = windowed_attention_block(layer.llama, x, model_.config_.window_size, rows);
    at::Tensor y = attended;
    if (any) {
      const at::Tensor query = model_.chunk_queries(layer, attended);
      std::vector<at::Tensor> mixed(spans.size());
      for_each_in_parallel(spans.size(), [&](std::size_t i) {
        mixed[i] = retrieved[i].chunks.key.defined() ? chunk_attention_rows(query, retrieved[i], spans[i])
                                                     : at::zeros({spans[i].num_positions, x.size(1)}, x.options());
      });
      y = attended + project(join_rows(mixed), layer.gca_o_proj);
    }
    x = model_.finish_upper_layer(layer, attended, y);
  }
  return x;
}

at::Tensor DrtSession::text_rows(const at::Tensor& x, const std::vector<Span>& spans) const {
  std::vector<at::Tensor> rows;
  bool all = true;
  for (const Span& span : spans) {
    const at::Tensor slot =
        at::arange(span.first_slot, span.first_slot + span.num_positions) % model_.positions_per_chunk();
    rows.push_back(slot.ne(model_.config_.chunk_size).nonzero().squeeze(1) + span.first_row);
    all = all && span.num_full_chunks == 0;
  }
  return all ? x : x.index_select(0, join_rows(rows).to(x.device()));
}

at::Tensor DrtSession::advance(const at::Tensor& input_ids, const std::vector<std::int64_t>& counts,
                               const std::vector<bool>& with_upper_layers) {
  std::vector<Span> spans;
  std::vector<at::Tensor> ids;
  std::int64_t num_rows = 0;
  for (std::size_t n = 0; n < counts.size(); ++n) {
    if (counts[n] == 0) continue;
    ids.push_back(input_ids[static_cast<std::int64_t>(n)].narrow(0, 0, counts[n]));
    spans.push_back(span_of(sequences_[n], counts[n], num_rows));
    num_rows += spans.back().num_positions;
  }
  at::Tensor x = run_lower_layers(ids, spans);
  remember_full_chunks(x, ids, spans);

  // Only the rows of those that go on.
  std::vector<Span> upper_spans;
  std::vector<std::int64_t> upper_counts(counts.size());
  std::vector<at::Tensor> upper_rows;
  std::int64_t first_row = 0;
  std::size_t next_span = 0;
  for (std::size_t n = 0; n < counts.size(); ++n) {
    if (counts[n] == 0) continue;
    Span span = spans[next_span++];
    span.sequence->num_tokens += counts[n];
    if (!with_upper_layers[n]) continue;
    upper_rows.push_back(x.narrow(0, span.first_row, span.num_positions));
    span.first_row = std::exchange(first_row, first_row + span.num_positions);
    upper_spans.push_back(span);
    upper_counts[n] = counts[n];
  }
  const std::int64_t width = input_ids.size(1);
  if (upper_spans.empty()) return at::zeros({num_sequences(), width, x.size(1)}, x.options());
  if (upper_spans.size() < spans.size()) x = join_rows(upper_rows);
  for (std::size_t g = 0; g < model_.upper_groups_.size(); ++g) x = run_group(g, x, upper_spans);
  return unpack_rows(rms_norm(model_.norm_, text_rows(x, upper_spans)), upper_counts, width);
}

at::Tensor DrtSession::append(const at::Tensor& input_ids) {
  const at::NoGradGuard no_gradients;
  model_.check_session_ids(input_ids, num_sequences());
  return advance(input_ids, count_tokens(input_ids), std::vector<bool>(sequences_.size(), true));
}

std::int64_t DrtSession::upper_reach_tokens() const {
  std::int64_t num_layers = 0;
  for (const Drt::UpperGroup& group : model_.upper_groups_)
    num_layers += static_cast<std::int64_t>(group.layers.size());
  // Each layer reaches a window further back, each group to the landmark of the chunk before.
  const std::int64_t positions =
      num_layers * model_.config_.window_size +
      static_cast<std::int64_t>(model_.upper_groups_.size()) * 2 * model_.positions_per_chunk();
  const std::int64_t chunks = (positions + model_.positions_per_chunk() - 1) / model_.positions_per_chunk() + 1;
  return chunks * model_.config_.chunk_size;
}

at::Tensor DrtSession::prefill(const at::Tensor& input_ids, const PrefillOptions& options) {
  const at::NoGradGuard no_gradients;
  model_.check_session_ids(input_ids, num_sequences());
  const std::int64_t chunk_size = model_.config_.chunk_size;
  const std::int64_t segment =
      std::max<std::int64_t>(1, (options.segment_tokens + chunk_size - 1) / chunk_size) * chunk_size;
  // Whole segments of which no upper hidden state will ever be seen are read for the memory only.
  std::vector<std::int64_t> lower_only;
  const std::vector<std::int64_t> lengths = count_tokens(input_ids);
  for (std::size_t n = 0; n < lengths.size(); ++n) {
    require(lengths[n] >= 1, "input_ids: sequence {} has no token to read", n);
    lower_only.push_back(std::max<std::int64_t>(0, lengths[n] - upper_reach_tokens()) / segment * segment);
    if (lower_only[n] == 0) continue;
    for (std::size_t g = 0; g < model_.upper_groups_.size(); ++g) sequences_[n].groups[g] = new_group(g);
  }
  const std::int64_t longest = *std::ranges::max_element(lengths);
  at::Tensor last =
      at::empty({num_sequences(), 1, model_.config_.hidden_size}, model_.embedding_.options().dtype(dtype_));
  for (std::int64_t first = 0; first < longest; first += segment) {
    const at::Tensor ids = input_ids.narrow(1, first, std::min(segment, longest - first));
    const std::vector<std::int64_t> counts = count_tokens(ids);
    std::vector<bool> with_upper_layers;
    for (const std::int64_t end : lower_only) with_upper_layers.push_back(first >= end);
    keep_last_rows(advance(ids, counts, with_upper_layers), counts, last);
    if (options.on_progress && !options.on_progress(std::min(first + segment, longest))) fail("interrupted");
  }
  return last;
}

}  // namespace lookback
