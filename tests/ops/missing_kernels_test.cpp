#include "ops/missing_kernels.h"

#include <gmock/gmock.h>

#include "ops/kernel_tensors.h"

namespace lookback {
namespace {

using testing::HasSubstr;

// On the CPU the door of the kernels themselves says which types come through.
TEST(MissingKernels, AreOfTheTypesThatNoKernelTakesOnTheCpu) {
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    EXPECT_EQ(missing_kernels(at::kCPU, dtype, 64).empty(), has_kernel(at::empty({64}, dtype))) << dtype;
  }
  EXPECT_THAT(missing_kernels(at::kCPU, at::kBFloat16, 64), HasSubstr("dtype float32"));
}

TEST(MissingKernels, SayWhatAGpuTakesWithoutAskingOne) {
  EXPECT_THAT(missing_kernels(at::kCUDA, at::kFloat, 64), HasSubstr("dtype bfloat16"));
  EXPECT_THAT(missing_kernels(at::kCUDA, at::kBFloat16, 20), HasSubstr("this model's have 20"));
  EXPECT_THAT(missing_kernels(at::kCUDA, at::kHalf, 264), HasSubstr("this model's have 264"));
}

}  // namespace
}  // namespace lookback
