// Marks what a GPU's thread runs. Compiled as plain C++ the same functions run in the tests' emulated block of threads.
#pragma once

#ifdef __CUDACC__
#define LOOKBACK_DEVICE __device__ __forceinline__
#else
#define LOOKBACK_DEVICE inline
#endif
