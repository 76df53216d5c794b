// Several sequences' new positions one after another in one matrix, so that all that works row by row takes them at
// once, whatever their lengths.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <utility>
#include <vector>

#include "core/error.h"

namespace lookback {

// The tokens in each row of input_ids [N, T]: those before its first negative id. Throws Error when a token follows a
// negative id.
std::vector<std::int64_t> count_tokens(const at::Tensor& input_ids);

// Matrices one below the other; one alone is not copied.
at::Tensor join_rows(const std::vector<at::Tensor>& matrices);

// rows [R, d], counts[n] of them sequence n's -> [N, width, d], zeros behind each sequence's.
at::Tensor unpack_rows(const at::Tensor& rows, const std::vector<std::int64_t>& counts, std::int64_t width);

// Puts the last of each sequence's counts[n] rows in hidden [N, T, d] into last [N, 1, d]; those of sequences without
// rows stay.
void keep_last_rows(const at::Tensor& hidden, const std::vector<std::int64_t>& counts, at::Tensor& last);

// Ids [T_n] of several sequences -> [N, longest T_n], filled up with -1.
at::Tensor pad_ids(const std::vector<at::Tensor>& ids);

// Sequences rows[0], rows[1], ... of what there is: a sequence's first use moves it, the others copy what is moved.
// Throws Error for a row that there is not, and for no rows.
template <typename Sequence, typename Copy>
std::vector<Sequence> select_sequences(std::vector<Sequence>&& sequences, const std::vector<std::int64_t>& rows,
                                       const Copy& copy) {
  require(!rows.empty(), "select: no sequences are left");
  std::vector<Sequence> selected;
  std::vector<std::int64_t> moved_to(sequences.size(), -1);
  for (const std::int64_t row : rows) {
    require(row >= 0 && row < static_cast<std::int64_t>(sequences.size()), "select: sequence {} of {}", row,
            sequences.size());
  }
  for (const std::int64_t row : rows) {
    std::int64_t& place = moved_to[static_cast<std::size_t>(row)];
    if (place < 0) {
      place = static_cast<std::int64_t>(selected.size());
      selected.push_back(std::move(sequences[static_cast<std::size_t>(row)]));
    } else {
      selected.push_back(copy(selected[static_cast<std::size_t>(place)]));
    }
  }
  return selected;
}

}  // namespace lookback
