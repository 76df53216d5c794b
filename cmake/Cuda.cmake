# With LOOKBACK_CUDA: the CUDA compiler, where the machine has one. LibTorch's CUDA half needs none.
if(NOT LOOKBACK_CUDA)
  return()
endif()
find_program(LOOKBACK_NVCC nvcc HINTS ENV CUDA_HOME PATH_SUFFIXES bin PATHS /usr/local/cuda/bin)
if(NOT LOOKBACK_NVCC)
  message(WARNING "No nvcc on PATH, in CUDA_HOME or in /usr/local/cuda: attention on the GPU will be composed of LibTorch's "
                  "operations instead of running our kernels. Install a CUDA 13 toolkit for them.")
  return()
endif()
set(CMAKE_CUDA_COMPILER ${LOOKBACK_NVCC})
# Ampere's and Hopper's own code; later cards compile what is written for Hopper when they load it.
if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
  set(CMAKE_CUDA_ARCHITECTURES 80-real 90)
endif()
enable_language(CUDA)
# Debian 12's CMake knows no later one for CUDA.
set(CMAKE_CUDA_STANDARD 17)
set(CMAKE_CUDA_FLAGS "${CMAKE_CUDA_FLAGS} --expt-relaxed-constexpr")
set(CMAKE_CUDA_FLAGS_RELEASE "-O3 -DNDEBUG")
