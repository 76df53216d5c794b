#include "models/packed_rows.h"

#include <algorithm>

namespace lookback {

std::vector<std::int64_t> count_tokens(const at::Tensor& input_ids) {
  const at::Tensor ids = input_ids.cpu().contiguous();
  const auto* row = ids.const_data_ptr<std::int64_t>();
  std::vector<std::int64_t> counts;
  for (std::int64_t n = 0; n < ids.size(0); ++n, row += ids.size(1)) {
    const auto* const end = row + ids.size(1);
    const auto* const first_negative = std::find_if(row, end, [](std::int64_t id) { return id < 0; });
    require(std::all_of(first_negative, end, [](std::int64_t id) { return id < 0; }),
            "input_ids: a token follows a negative id in row {}; what is missing stands at a row's end", n);
    counts.push_back(first_negative - row);
  }
  return counts;
}

at::Tensor join_rows(const std::vector<at::Tensor>& matrices) {
  return matrices.size() == 1 ? matrices.front() : at::cat(matrices);
}

at::Tensor unpack_rows(const at::Tensor& rows, const std::vector<std::int64_t>& counts, std::int64_t width) {
  const auto num_sequences = static_cast<std::int64_t>(counts.size());
  if (std::ranges::all_of(counts, [width](std::int64_t count) { return count == width; })) {
    return rows.view({num_sequences, width, -1});
  }
  at::Tensor padded = at::zeros({num_sequences, width, rows.size(1)}, rows.options());
  std::int64_t first_row = 0;
  for (std::int64_t n = 0; n < num_sequences; ++n) {
    const std::int64_t count = counts[static_cast<std::size_t>(n)];
    padded[n].narrow(0, 0, count).copy_(rows.narrow(0, first_row, count));
    first_row += count;
  }
  return padded;
}

void keep_last_rows(const at::Tensor& hidden, const std::vector<std::int64_t>& counts, at::Tensor& last) {
  for (std::size_t n = 0; n < counts.size(); ++n) {
    const auto row = static_cast<std::int64_t>(n);
    if (counts[n] > 0) last[row].copy_(hidden[row].narrow(0, counts[n] - 1, 1));
  }
}

at::Tensor pad_ids(const std::vector<at::Tensor>& ids) {
  std::int64_t longest = 0;
  for (const at::Tensor& row : ids) longest = std::max(longest, row.size(0));
  at::Tensor padded = at::full({static_cast<std::int64_t>(ids.size()), longest}, -1, ids.front().options());
  for (std::size_t n = 0; n < ids.size(); ++n) {
    padded[static_cast<std::int64_t>(n)].narrow(0, 0, ids[n].size(0)).copy_(ids[n]);
  }
  return padded;
}

}  // namespace lookback
