// The number types in which keys and values may lie in memory.
#pragma once

namespace lookback {

// int8: with a float32 scale for each head of each position.
enum class ElementType { float32, bfloat16, float16, int8 };

}  // namespace lookback
