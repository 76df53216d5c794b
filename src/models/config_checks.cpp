#include "models/config_checks.h"

#include <cmath>

#include "core/error.h"

namespace lookback {

void check_range(std::int64_t number, std::int64_t smallest, std::int64_t largest, const char* key,
                 const std::string& source) {
  require(number >= smallest, "{}: {} must be at least {}, found {}", source, key, smallest, number);
  require(number <= largest, "{}: {} must be at most {}, found {}", source, key, largest, number);
}

void check_positive(std::int64_t number, const char* key, const std::string& source) {
  check_range(number, 1, largest_size, key, source);
}

void check_conv_kernel(std::int64_t width, const char* key, const std::string& source) {
  require(width == 0 || (width >= 2 && width <= widest_convolution), "{}: {} must be 0 (none) or 2 to {}, found {}",
          source, key, widest_convolution, width);
}

void check_rotary(std::int64_t head_dim, double rope_theta, const std::string& source) {
  require(std::isfinite(rope_theta) && rope_theta > 0, "{}: rope_theta must be positive, found {}", source, rope_theta);
  require(head_dim % 2 == 0, "{}: the head dimension {} must be even for rotary positions", source, head_dim);
}

}  // namespace lookback
