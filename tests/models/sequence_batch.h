// Several sequences that are stepped together, given and asked in padded matrices, as the whole forward is.
#pragma once

#include <ATen/ATen.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "models/model.h"

namespace lookback {

class SequenceBatch {
 public:
  SequenceBatch(const Model& model, std::int64_t num_sequences,
                const std::shared_ptr<const MemorySet>& memories = nullptr)
      : model_(model) {
    for (std::int64_t n = 0; n < num_sequences; ++n) {
      sequences_.push_back(model.new_sequence(at::kFloat));
      sequences_.back()->attach(memories);
    }
  }

  std::int64_t num_sequences() const { return std::ssize(sequences_); }
  Sequence& operator[](std::int64_t row) { return *sequences_.at(static_cast<std::size_t>(row)); }

  // Appends input_ids [N, T], whose rows may end in negative ids, which are no tokens. Returns the hidden states of
  // these tokens [N, T, d], zeros where there is none.
  at::Tensor append(const at::Tensor& input_ids) {
    const at::Tensor ids = input_ids.contiguous();
    const std::vector<std::span<const std::int64_t>> rows = rows_of(ids);
    std::vector<Piece> pieces;
    for (std::size_t n = 0; n < rows.size(); ++n) {
      if (!rows[n].empty()) pieces.push_back({sequences_.at(n).get(), rows[n], 0});
    }
    const at::Tensor hidden = model_.step(pieces);
    at::Tensor padded = at::zeros({ids.size(0), ids.size(1), hidden.size(1)}, hidden.options());
    std::int64_t first = 0;
    for (std::size_t n = 0; n < rows.size(); ++n) {
      const auto count = static_cast<std::int64_t>(rows[n].size());
      padded[static_cast<std::int64_t>(n)].narrow(0, 0, count).copy_(hidden.narrow(0, first, count));
      first += count;
    }
    return padded;
  }

  // Appends input_ids [N, T] as prompts are read: in segments of so many tokens of each row, of which nothing but the
  // last token is wanted. Returns the hidden states of each row's last token [N, 1, d].
  at::Tensor prefill(const at::Tensor& input_ids, std::int64_t segment_tokens) {
    const at::Tensor ids = input_ids.contiguous();
    const std::vector<std::span<const std::int64_t>> rows = rows_of(ids);
    std::vector<at::Tensor> last(rows.size());
    for (std::int64_t first = 0; first < ids.size(1); first += segment_tokens) {
      std::vector<Piece> pieces;
      std::vector<std::size_t> ending;  // whose last token is in this segment
      for (std::size_t n = 0; n < rows.size(); ++n) {
        const std::int64_t left = std::ssize(rows[n]) - first;
        if (left <= 0) continue;
        const auto count = static_cast<std::size_t>(std::min(segment_tokens, left));
        pieces.push_back({sequences_.at(n).get(), rows[n].subspan(static_cast<std::size_t>(first), count), left - 1});
        if (left <= segment_tokens) ending.push_back(n);
      }
      const at::Tensor hidden = model_.step(pieces);  // [ending, d]
      for (std::size_t i = 0; i < ending.size(); ++i) last[ending[i]] = hidden[static_cast<std::int64_t>(i)];
    }
    return at::stack(last).unsqueeze(1);
  }

  // A row begins anew.
  void restart(std::int64_t row) { sequences_.at(static_cast<std::size_t>(row)) = model_.new_sequence(at::kFloat); }

  // Sequence i goes on as what sequence rows[i] is now.
  void select(const std::vector<std::int64_t>& rows) {
    std::vector<std::unique_ptr<Sequence>> selected;
    for (const std::int64_t row : rows) selected.push_back(sequences_.at(static_cast<std::size_t>(row))->fork());
    sequences_ = std::move(selected);
  }

 private:
  // The tokens in each row: those before its first negative id. ids stay where they are.
  static std::vector<std::span<const std::int64_t>> rows_of(const at::Tensor& ids) {
    std::vector<std::span<const std::int64_t>> rows;
    for (std::int64_t n = 0; n < ids.size(0); ++n) {
      const std::int64_t* const begin = ids.const_data_ptr<std::int64_t>() + n * ids.size(1);
      rows.emplace_back(begin, std::find_if(begin, begin + ids.size(1), [](std::int64_t id) { return id < 0; }));
    }
    return rows;
  }

  const Model& model_;
  std::vector<std::unique_ptr<Sequence>> sequences_;
};

}  // namespace lookback
