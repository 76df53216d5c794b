# Compiler cache, linker, warnings, sanitizers: everything that concerns how, not what, is compiled.
find_program(LOOKBACK_CCACHE ccache)
if(LOOKBACK_CCACHE)
  # pch_defines, time_macros: without them ccache never reuses a file that includes a precompiled header.
  set(CMAKE_CXX_COMPILER_LAUNCHER
      ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
      CCACHE_BASEDIR=${PROJECT_SOURCE_DIR} CCACHE_NOHASHDIR=1 ${LOOKBACK_CCACHE})
endif()

if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|amd64|AMD64)$")
  set(LOOKBACK_X86 ON)
else()
  set(LOOKBACK_X86 OFF)
endif()

find_program(LOOKBACK_MOLD mold)
find_program(LOOKBACK_LLD ld.lld)
if(CMAKE_CROSSCOMPILING)
  # GCC looks for the target's own linker only.
elseif(LOOKBACK_MOLD)
  add_link_options(-fuse-ld=mold)
elseif(LOOKBACK_LLD)
  add_link_options(-fuse-ld=lld)
endif()

if(PROJECT_IS_TOP_LEVEL)
  # Release keeps line numbers off and asserts off; portable code, kernels choose their instruction set at run time.
  set(CMAKE_CXX_FLAGS_RELEASE "-O2 -DNDEBUG")
  set(CMAKE_CXX_FLAGS_DEBUG "-O1 -g1")
  add_compile_options("$<$<COMPILE_LANGUAGE:CXX>:-Wall;-Wextra;-Werror>")
endif()
add_compile_options("$<$<COMPILE_LANGUAGE:CXX>:-fno-math-errno>")
if(NOT LOOKBACK_X86)
  # Where every processor has a fused multiply-add, GCC uses it wherever it sees a sum of products: no two processors
  # would agree on a statistic's last digit. The SIMD kernels ask for it themselves.
  add_compile_options($<$<COMPILE_LANGUAGE:CXX>:-ffp-contract=off>)
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # The preprocessed form that ccache needs to see which precompiled header was used.
  add_compile_options($<$<COMPILE_LANGUAGE:CXX>:-fpch-preprocess>)
endif()

if(LOOKBACK_SANITIZE STREQUAL "address")
  # vptr: LibTorch is built without it and would report its own casts.
  add_compile_options(-fsanitize=address,undefined -fno-sanitize=vptr -fno-sanitize-recover=undefined
                      -fno-omit-frame-pointer)
  add_link_options(-fsanitize=address,undefined)
elseif(LOOKBACK_SANITIZE STREQUAL "thread")
  add_compile_options(-fsanitize=thread -fno-omit-frame-pointer)
  add_link_options(-fsanitize=thread)
elseif(LOOKBACK_SANITIZE)
  message(FATAL_ERROR "LOOKBACK_SANITIZE=${LOOKBACK_SANITIZE}: there are `address` and `thread`")
endif()
if(LOOKBACK_FUZZ)
  # What libFuzzer watches is compiled in everywhere; its main() only where a fuzzer is linked (tests/fuzz). The
  # sanitizer's malloc as a library, as with GCC: inside the program, where its symbols stay (below), LibTorch and
  # libstdc++ would miss it. It must be the first library that is loaded.
  execute_process(COMMAND ${CMAKE_CXX_COMPILER} -print-file-name=libclang_rt.asan-${CMAKE_HOST_SYSTEM_PROCESSOR}.so
                  OUTPUT_VARIABLE _asan OUTPUT_STRIP_TRAILING_WHITESPACE)
  get_filename_component(LOOKBACK_CLANG_RUNTIME ${_asan} DIRECTORY)
  add_compile_options(-fsanitize=fuzzer-no-link)
  add_link_options(-shared-libasan ${_asan} LINKER:-rpath,${LOOKBACK_CLANG_RUNTIME})
endif()
if(LOOKBACK_SANITIZE AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # GCC's manual: false warnings of uninitialized variables are to be expected with sanitizers (here in <regex>).
  add_compile_options(-Wno-maybe-uninitialized)
endif()

# Symbols of the static libraries stay inside our programs: LibTorch carries its own protobuf, zstd, fmt and more.
add_link_options(LINKER:--exclude-libs,ALL)
