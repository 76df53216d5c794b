# One CMake target a folder. A new file in a folder is found by itself; a new folder is one line in src/CMakeLists.txt.
find_package(Threads REQUIRED)
if(LOOKBACK_TESTS)
  find_package(GTest QUIET)
endif()

add_library(lookback_common INTERFACE)
target_include_directories(lookback_common INTERFACE ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR}/include)
target_compile_definitions(lookback_common INTERFACE TOML_HEADER_ONLY=1 XXH_INLINE_ALL)
target_link_libraries(lookback_common INTERFACE Threads::Threads)
# LibTorch's headers include its copy of fmt, so the whole program uses that one; it is source, and serves every
# processor. src/core/fmt.cpp compiles it once, which spares every file that formats text two seconds.
file(MAKE_DIRECTORY ${PROJECT_BINARY_DIR}/fmt)
file(CREATE_LINK ${TORCH_WHEEL_ROOT}/torch/include/fmt ${PROJECT_BINARY_DIR}/fmt/fmt SYMBOLIC)
target_include_directories(lookback_common SYSTEM INTERFACE ${PROJECT_BINARY_DIR}/fmt)

if(LOOKBACK_TENSORS)
  set(tensor_library torch::cpu)
  if(LOOKBACK_CUDA)
    set(tensor_library torch::cuda)
    # For messages that say whether the build or the machine lacks CUDA.
    target_compile_definitions(lookback_common INTERFACE LOOKBACK_CUDA)
  endif()

  # The precompiled ATen/ATen.h that all tensor code shares (a file that includes it compiles in 2 s instead of 14).
  file(CONFIGURE OUTPUT ${PROJECT_BINARY_DIR}/aten_pch.cpp CONTENT "")
  add_library(lookback_aten OBJECT ${PROJECT_BINARY_DIR}/aten_pch.cpp)
  target_link_libraries(lookback_aten PUBLIC lookback_common ${tensor_library})
  target_precompile_headers(lookback_aten PRIVATE <ATen/ATen.h>)
endif()

# What several files include and instantiate is compiled once for all of them: half the time of a clean build. Few enough
# at a time that one changed file is still compiled in seconds; sanitized code is rarely edited, and slow to generate.
option(LOOKBACK_UNITY "Compile several files of a folder at a time" ON)
set(unity UNITY_BUILD ${LOOKBACK_UNITY} UNITY_BUILD_BATCH_SIZE 3)
if(LOOKBACK_SANITIZE)
  set(unity UNITY_BUILD ${LOOKBACK_UNITY} UNITY_BUILD_BATCH_SIZE 6)
endif()
if(LOOKBACK_UNITY AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # In its eyes a source file that is compiled with others is a header.
  add_compile_options($<$<COMPILE_LANGUAGE:CXX>:-Wno-subobject-linkage>)
endif()

# lookback_folder(<name> [TENSORS] DEPENDS <folders or libraries...>): src/<name>/*.cpp, and those of its folder cpu/, as
# the target `<name>`.
# TENSORS: the folder uses LibTorch.
function(lookback_folder name)
  cmake_parse_arguments(arg "TENSORS" "SUBFOLDERS" "DEPENDS" ${ARGN})
  set(patterns ${CMAKE_CURRENT_SOURCE_DIR}/${name}/*.cpp)
  if(arg_SUBFOLDERS)
    list(APPEND patterns ${CMAKE_CURRENT_SOURCE_DIR}/${name}/${arg_SUBFOLDERS}/*.cpp)
  endif()
  file(GLOB sources CONFIGURE_DEPENDS ${patterns})
  list(FILTER sources EXCLUDE REGEX "/main\\.cpp$")
  if(NOT sources)
    add_library(lookback_${name} INTERFACE)
    target_link_libraries(lookback_${name} INTERFACE lookback_common ${arg_DEPENDS})
    if(arg_TENSORS)
      target_link_libraries(lookback_${name} INTERFACE ${tensor_library})
    endif()
    return()
  endif()
  add_library(lookback_${name} STATIC ${sources})
  target_link_libraries(lookback_${name} PUBLIC lookback_common ${arg_DEPENDS})
  set_target_properties(lookback_${name} PROPERTIES ${unity})
  if(arg_TENSORS)
    target_link_libraries(lookback_${name} PUBLIC ${tensor_library})
    target_precompile_headers(lookback_${name} REUSE_FROM lookback_aten)
  endif()
endfunction()

# lookback_tests(<folder> [TENSORS] DEPENDS <libraries...>): tests/<folder>/*_test.cpp as one program,
# tests/<folder>/*_slow_test.cpp as another whose tests carry the label `slow` instead of `unit`; with a CUDA
# compiler tests/<folder>/*_gpu_test.cpp as a third, `gpu`.
function(lookback_tests name)
  cmake_parse_arguments(arg "TENSORS" "" "DEPENDS" ${ARGN})
  file(GLOB all CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${name}/*_test.cpp)
  file(GLOB helpers CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${name}/*.cpp)
  list(FILTER helpers EXCLUDE REGEX "_test\\.cpp$")
  foreach(label unit slow gpu)
    set(sources ${all})
    if(label STREQUAL "unit")
      list(FILTER sources EXCLUDE REGEX "_(slow|gpu)_test\\.cpp$")
      set(target ${name}_tests)
    else()
      list(FILTER sources INCLUDE REGEX "_${label}_test\\.cpp$")
      set(target ${name}_${label}_tests)
    endif()
    if(NOT sources OR (label STREQUAL "gpu" AND NOT CMAKE_CUDA_COMPILER))
      continue()
    endif()
    add_executable(${target} ${sources} ${helpers})
    target_link_libraries(${target} PRIVATE ${arg_DEPENDS} GTest::gmock GTest::gtest GTest::gtest_main)
    target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR}/tests)
    if(arg_TENSORS)
      target_precompile_headers(${target} REUSE_FROM lookback_aten)
      # The precompiled header was made with -fPIC, and CMake would give an executable -fPIE.
      set_target_properties(${target} PROPERTIES POSITION_INDEPENDENT_CODE OFF)
      target_compile_options(${target} PRIVATE -fPIC)
    endif()
    target_compile_definitions(${target} PRIVATE LOOKBACK_SOURCE_DIR="${PROJECT_SOURCE_DIR}"
                               LOOKBACK_BINARY_DIR="${PROJECT_BINARY_DIR}")
    # CTest runs as many tests at a time as there are cores; tests of threads set their number themselves.
    gtest_discover_tests(${target} DISCOVERY_MODE PRE_TEST DISCOVERY_TIMEOUT 60 TEST_PREFIX "${name}: "
                         PROPERTIES LABELS ${label} TIMEOUT 900 ENVIRONMENT OMP_NUM_THREADS=1)
  endforeach()
endfunction()
