#include "models/prefill.h"

#include <algorithm>

namespace lookback {

std::int64_t whole_segment(std::int64_t segment_tokens, const ModelConfig& config) {
  if (!config.has_landmarks()) return segment_tokens;
  return std::max<std::int64_t>(1, (segment_tokens + config.chunk_size - 1) / config.chunk_size) * config.chunk_size;
}

at::Tensor prefill(const Model& model, std::span<Sequence* const> sequences,
                   std::span<const std::span<const std::int64_t>> ids, const PrefillOptions& options) {
  const std::int64_t segment = whole_segment(options.segment_tokens, model.config());
  std::int64_t longest = 0;
  for (const std::span<const std::int64_t> own : ids) longest = std::max<std::int64_t>(longest, std::ssize(own));
  std::vector<at::Tensor> last(ids.size());
  for (std::int64_t first = 0; first < longest; first += segment) {
    std::vector<Piece> pieces;
    std::vector<std::size_t> ending;  // whose last token is in this segment
    for (std::size_t i = 0; i < ids.size(); ++i) {
      const std::int64_t length = std::ssize(ids[i]);
      if (length <= first) continue;
      const std::int64_t count = std::min(segment, length - first);
      pieces.push_back({sequences[i], ids[i].subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(count)),
                        length - 1 - first});
      if (first + count == length) ending.push_back(i);
    }
    const at::Tensor hidden = model.step(pieces);  // [ending, d]
    for (std::size_t i = 0; i < ending.size(); ++i) last[ending[i]] = hidden[static_cast<std::int64_t>(i)];
    if (options.on_progress) options.on_progress(std::min(first + segment, longest));
    options.stop.throw_if_requested();
  }
  return at::stack(last).unsqueeze(1);
}

}  // namespace lookback
