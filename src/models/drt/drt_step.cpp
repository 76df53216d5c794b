#include "models/drt/drt_step.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "models/attention_window.h"
#include "models/landmarks.h"
#include "models/packed_rows.h"
#include "ops/parallel.h"

namespace lookback {
namespace {

// Tokens before a wanted one whose upper hidden states it can still see.
std::int64_t upper_reach_tokens(const ModelConfig& config) {
  const std::int64_t positions_per_chunk = config.chunk_size + 1;
  const DrtConfig& own = config.own<DrtConfig>();
  const std::int64_t num_layers =
      std::accumulate(own.decoder_layers.begin() + 1, own.decoder_layers.end(), std::int64_t{0});
  // Each layer reaches a window further back, each group to the landmark of the chunk before.
  const std::int64_t positions = num_layers * config.window_size + own.num_upper_groups() * 2 * positions_per_chunk;
  const std::int64_t chunks = (positions + positions_per_chunk - 1) / positions_per_chunk + 1;
  return chunks * config.chunk_size;
}

}  // namespace

DrtStep::DrtStep(const Drt& model, std::span<const Piece> pieces)
    : model_(model), options_(pieces.front().sequence->options()) {
  std::int64_t num_rows = 0;
  for (const Piece& piece : pieces) {
    spans_.push_back(span_of(piece, num_rows));
    num_rows += spans_.back().num_positions;
  }
}

DrtStep::Span DrtStep::span_of(const Piece& piece, std::int64_t first_row) const {
  const std::int64_t chunk_size = model_.config_.chunk_size;
  const std::int64_t num_tokens = piece.sequence->num_tokens();
  const std::int64_t first_slot = num_tokens % chunk_size;
  const std::int64_t end_token = first_slot + std::ssize(piece.ids);
  const std::int64_t num_full_chunks = end_token / chunk_size;
  return {.sequence = static_cast<DrtSequence*>(piece.sequence),
          .piece = &piece,
          .first_position = count_positions(num_tokens, model_.config_),
          .first_slot = first_slot,
          .num_positions = std::ssize(piece.ids) + num_full_chunks,
          .num_chunks = (end_token + chunk_size - 1) / chunk_size,
          .num_full_chunks = num_full_chunks,
          .first_row = first_row};
}

bool DrtStep::is_seen(const Piece& piece) const {
  return std::ssize(piece.ids) > piece.first_wanted + 1 - upper_reach_tokens(model_.config_);
}

at::Tensor DrtStep::run() {
  at::Tensor x = run_lower_layers();
  remember_full_chunks(x);
  x = keep_seen_spans(x);
  if (spans_.empty()) return at::empty({0, x.size(1)}, x.options());
  const AttentionWindow window = window_of_spans();
  for (std::size_t g = 0; g < model_.upper_groups_.size(); ++g) x = run_group(g, window, x);
  const at::Tensor wanted = wanted_rows(x);
  return wanted.size(0) == 0 ? wanted : rms_norm(model_.norm_, wanted);
}

AttentionWindow DrtStep::window_of_spans() const {
  std::vector<PositionRange> positions;
  for (const Span& span : spans_) positions.push_back({span.first_position, span.num_positions});
  return attention_window(model_.config_, positions, options_);
}

at::Tensor DrtStep::run_lower_layers() const {
  std::vector<at::Tensor> ids;
  for (const Span& span : spans_) {
    ids.push_back(continue_with_landmarks(ids_tensor(span.piece->ids), span.sequence->num_tokens(), model_.config_));
  }
  at::Tensor x = model_.embed(join_rows(ids)).to(options_.dtype());  // [R, d]
  const AttentionWindow window = window_of_spans();
  for (std::size_t i = 0; i < model_.lower_layers_.size(); ++i) {
    std::vector<WindowedRows> rows;
    for (const Span& span : spans_) {
      rows.push_back({span.first_row, span.num_positions, &span.sequence->lower_caches[i]});
    }
    at::Tensor convolved;
    if (i < model_.lower_convolutions_.size()) {
      std::vector<ConvolvedRows> convolved_rows;
      for (const Span& span : spans_) {
        convolved_rows.push_back({span.first_row, span.num_positions, &span.sequence->convolved[i]});
      }
      convolved = short_convolution(model_.lower_convolutions_[i], x, convolved_rows);
    }
    const LlamaLayer& layer = model_.lower_layers_[i];
    x = apply_convolved(x, convolved, [&](const at::Tensor& seen) {
      const at::Tensor attended = windowed_attention_block(layer, seen, window, rows);
      return mlp_block(layer, attended, attended);
    });
  }
  return x;
}

void DrtStep::remember_full_chunks(const at::Tensor& lower_hidden) const {
  const std::int64_t positions = model_.positions_per_chunk();
  std::vector<at::Tensor> full;
  std::vector<at::Tensor> ids;
  for (const Span& span : spans_) {
    if (model_.retriever_->finds_by_tokens()) ids.push_back(take_full_ids(span));
    const at::Tensor rows =
        at::cat({span.sequence->unfinished, lower_hidden.narrow(0, span.first_row, span.num_positions)});
    const std::int64_t full_positions = span.num_full_chunks * positions;
    if (span.num_full_chunks > 0) full.push_back(rows.narrow(0, 0, full_positions));
    span.sequence->unfinished = rows.narrow(0, full_positions, rows.size(0) - full_positions).clone();
  }
  if (full.empty()) return;
  // Chunks are encoded one by one, whichever sequence they are of.
  const at::Tensor full_ids = ids.empty() ? at::Tensor() : join_rows(ids).view({1, -1, model_.config_.chunk_size});
  const EncodedChunks encoded =
      model_.encode_chunks(join_rows(full).view({1, -1, positions, lower_hidden.size(1)}), full_ids, false);
  std::int64_t first = 0;
  for (const Span& span : spans_) {
    if (span.num_full_chunks == 0) continue;
    const auto own = [&](const at::Tensor& all) { return all[0].narrow(0, first, span.num_full_chunks); };
    span.sequence->memory.append({own(encoded.key), own(encoded.value), own(encoded.landmarks)});
    first += span.num_full_chunks;
  }
}

at::Tensor DrtStep::keep_seen_spans(const at::Tensor& x) {
  std::vector<Span> seen;
  std::vector<at::Tensor> rows;
  std::int64_t first_row = 0;
  for (Span span : spans_) {
    if (!is_seen(*span.piece)) {
      for (std::size_t g = 0; g < span.sequence->groups.size(); ++g) {
        span.sequence->groups[g] = span.sequence->new_group(g);
      }
      continue;
    }
    rows.push_back(x.narrow(0, span.first_row, span.num_positions));
    span.first_row = std::exchange(first_row, first_row + span.num_positions);
    seen.push_back(span);
  }
  if (seen.size() == spans_.size()) return x;
  spans_ = std::move(seen);
  return spans_.empty() ? x : join_rows(rows);
}

at::Tensor DrtStep::chunk_attention_rows(const at::Tensor& query, const SpanRetrieval& retrieved,
                                         const Span& span) const {
  const at::Tensor rows = query.narrow(0, span.first_row, span.num_positions);  // [T, H, D]
  const auto attend = [&](const at::Tensor& queries) {
    // A sum over chunks (docs/model.md, 7), so chunks of different element types are attended to one after another.
    at::Tensor sum;
    for (const FetchedChunks& chunks : retrieved.chunks) {
      const at::Tensor mixed = model_.attend_to_chunks(queries.unsqueeze(0), chunks, retrieved.weights);
      sum = sum.defined() ? sum + mixed : mixed;
    }
    return sum.squeeze(0).flatten(0, 1).flatten(-2);
  };
  // Within one chunk the new positions are the queries; decoding would otherwise compute P of them for one token.
  if (span.num_chunks == 1) return attend(rows.unsqueeze(0));
  const std::int64_t slots = span.num_chunks * model_.positions_per_chunk();
  const at::Tensor on_grid =
      at::constant_pad_nd(rows, {0, 0, 0, 0, span.first_slot, slots - span.first_slot - rows.size(0)});
  return attend(on_grid.unflatten(0, {span.num_chunks, -1})).narrow(0, span.first_slot, span.num_positions);
}

at::Tensor DrtStep::run_group(std::size_t group_index, const AttentionWindow& window, at::Tensor x) const {
  const std::vector<Drt::UpperLayer>& group = model_.upper_groups_[group_index];
  const std::vector<SpanRetrieval> retrieved = retrieve(group_index, x);
  const bool any = std::ranges::any_of(retrieved, [](const SpanRetrieval& one) { return !one.chunks.empty(); });
  for (std::size_t j = 0; j < group.size(); ++j) {
    const Drt::UpperLayer& layer = group[j];
    std::vector<WindowedRows> rows;
    for (const Span& span : spans_) {
      rows.push_back({span.first_row, span.num_positions, &span.sequence->groups[group_index].caches[j]});
    }
    const at::Tensor attended = windowed_attention_block(layer.llama, x, window, rows);
    at::Tensor y = attended;
    if (any) {
      const at::Tensor query = model_.chunk_queries(layer, attended);
      std::vector<at::Tensor> mixed(spans_.size());
      for_each_in_parallel(spans_.size(), [&](std::size_t i) {
        mixed[i] = retrieved[i].chunks.empty() ? at::zeros({spans_[i].num_positions, x.size(1)}, x.options())
                                               : chunk_attention_rows(query, retrieved[i], spans_[i]);
      });
      y = attended + project(join_rows(mixed), layer.gca_o_proj);
    }
    x = model_.finish_upper_layer(layer, attended, y);
  }
  return x;
}

at::Tensor DrtStep::wanted_rows(const at::Tensor& x) const {
  std::vector<at::Tensor> rows;
  for (const Span& span : spans_) {
    const at::Tensor slot =
        at::arange(span.first_slot, span.first_slot + span.num_positions) % model_.positions_per_chunk();
    const at::Tensor text = slot.ne(model_.config_.chunk_size).nonzero().squeeze(1) + span.first_row;
    const std::int64_t first = std::min(span.piece->first_wanted, text.size(0));
    rows.push_back(text.narrow(0, first, text.size(0) - first));
  }
  const at::Tensor wanted = join_rows(rows);
  return wanted.size(0) == x.size(0) ? x : x.index_select(0, wanted.to(x.device()));
}

}  // namespace lookback
