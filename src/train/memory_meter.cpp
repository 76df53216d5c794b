#include "train/memory_meter.h"

#include <ATen/ATen.h>
#include <c10/core/Allocator.h>
#include <c10/util/ThreadLocalDebugInfo.h>

#include <algorithm>
#include <memory>
#include <mutex>

namespace lookback {
namespace {

// LibTorch's allocators report to an object in this slot, which is otherwise its memory profiler's.
class Meter : public c10::MemoryReportingInfoBase {
 public:
  void reportMemoryUsage(void* /*pointer*/, std::int64_t size_bytes, std::size_t /*total_allocated*/,
                         std::size_t /*total_reserved*/, c10::Device /*device*/) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    held_bytes_ += size_bytes;
    peak_bytes_ = std::max(peak_bytes_, held_bytes_);
  }
  bool memoryProfilingEnabled() const override { return true; }
  std::int64_t peak_bytes() const { return peak_bytes_; }

 private:
  std::mutex mutex_;
  std::int64_t held_bytes_ = 0;
  std::int64_t peak_bytes_ = 0;
};

}  // namespace

std::int64_t peak_tensor_bytes(const std::function<void()>& work) {
  const auto meter = std::make_shared<Meter>();
  const c10::DebugInfoGuard guard(c10::DebugInfoKind::PROFILER_STATE, meter);
  work();
  return meter->peak_bytes();
}

}  // namespace lookback
