#include "core/stop.h"

#include <utility>

#include "core/error.h"

namespace lookback {

StopToken::StopToken(std::shared_ptr<const std::atomic<bool>> flag) : flag_(std::move(flag)) {}

void StopToken::throw_if_requested() const {
  if (stop_requested()) throw Interrupted();
}

StopSource::StopSource() : flag_(std::make_shared<std::atomic<bool>>(false)) {}

}  // namespace lookback
