// The 16-bit types of the kernels on a GPU.
#pragma once

namespace lookback::cuda {

enum class HalfType { bfloat16, float16 };

}  // namespace lookback::cuda
