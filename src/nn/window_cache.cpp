#include "nn/window_cache.h"

#include <algorithm>
#include <tuple>

namespace lookback {

WindowCache::View WindowCache::kept(std::int64_t window_size) const {
  if (!key_.defined()) return {};
  const std::int64_t count = std::min(window_size, end_);
  return {key_.narrow(0, end_ - count, count), value_.narrow(0, end_ - count, count)};
}

WindowCache::View WindowCache::append(const at::Tensor& key, const at::Tensor& value, std::int64_t window_size) {
  const std::int64_t count = key.size(0);
  const View before = kept(window_size);
  const std::int64_t num_before = before.key.defined() ? before.key.size(0) : 0;
  if (key_.defined() && end_ + count <= key_.size(0)) {
    key_.narrow(0, end_, count).copy_(key);
    value_.narrow(0, end_, count).copy_(value);
    end_ += count;
    return {key_.narrow(0, end_ - count - num_before, num_before + count),
            value_.narrow(0, end_ - count - num_before, num_before + count)};
  }
  const auto joined = [](const at::Tensor& old, const at::Tensor& added) {
    return old.defined() ? at::cat({old, added}) : added;
  };
  const View all{joined(before.key, key), joined(before.value, value)};
  // Rows of their own, so that a long segment's are not kept alive by its last.
  end_ = std::min(window_size, num_before + count);
  const auto room = [&](const at::Tensor& rows) {
    std::vector<std::int64_t> shape = rows.sizes().vec();
    shape[0] = std::max<std::int64_t>(1, 2 * window_size);
    at::Tensor buffer = at::empty(shape, rows.options());
    buffer.narrow(0, 0, end_).copy_(rows.narrow(0, rows.size(0) - end_, end_));
    return buffer;
  };
  key_ = room(all.key);
  value_ = room(all.value);
  return all;
}

WindowCache WindowCache::copy() const {
  WindowCache result;
  if (key_.defined()) {
    result.key_ = key_.clone();
    result.value_ = value_.clone();
    result.end_ = end_;
  }
  return result;
}

}  // namespace lookback
