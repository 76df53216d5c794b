#include "ops/sliding_window_attention.h"

#include "ops/sliding_window_attention_composed.h"
#include "ops/tensor_checks.h"

namespace lookback {

at::Tensor sliding_window_attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                                    std::int64_t window_size) {
  constexpr const char* query_layout = "[N, L, H, D]";
  constexpr const char* key_layout = "[N, M + L, Hkv, D]";
  check_dimensions(query, 4, "query", query_layout);
  check_dimensions(key, 4, "key", key_layout);
  check_dimensions(value, 4, "value", key_layout);
  check_floating(query, "query");
  check_same_kind(key, query, "key", "query");
  check_same_kind(value, query, "value", "query");
  check_size(key, 0, query.size(0), "key", key_layout);
  check_size(key, 3, query.size(3), "key", key_layout);
  require(key.size(1) >= query.size(1), "key: expected at least the query's {} positions, found {}", query.size(1),
          key.size(1));
  require(value.sizes() == key.sizes(), "value: expected the shape of key [{}], found [{}]",
          fmt::join(key.sizes(), ", "), fmt::join(value.sizes(), ", "));
  require(key.size(2) > 0 && query.size(2) % key.size(2) == 0, "key: its {} heads must divide the query's {}",
          key.size(2), query.size(2));
  require(query.size(1) > 0, "query: expected at least one position");
  require(window_size >= 0, "window_size: expected 0 or more, found {}", window_size);
  return sliding_window_attention_composed(query, key, value, window_size);
}

}  // namespace lookback
