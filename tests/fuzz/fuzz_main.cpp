// libFuzzer's program: lookback_fuzz --target=NAME [libFuzzer's flags] CORPUS...   (./dev fuzz starts it)
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "fuzz/fuzz_targets.h"

namespace {

const lookback::FuzzTarget* target = nullptr;

}  // namespace

// LibTorch's reader of zip archives leaves some bytes behind for each file that it refuses.
extern "C" const char* __lsan_default_suppressions() {  // NOLINT(bugprone-reserved-identifier): the sanitizer's
  return "leak:mz_zip_reader_init";
}

// libFuzzer passes over arguments that begin with two dashes.
extern "C" int LLVMFuzzerInitialize(const int* argument_count, char*** arguments) {
  constexpr std::string_view flag = "--target=";
  for (int i = 1; i < *argument_count; ++i) {
    const std::string_view argument = (*arguments)[i];
    if (argument.starts_with(flag)) target = lookback::find_fuzz_target(argument.substr(flag.size()));
  }
  if (target != nullptr) return 0;
  std::fprintf(stderr, "usage: lookback_fuzz --target=NAME [libFuzzer's flags] [CORPUS...]; targets:\n");
  for (const lookback::FuzzTarget& known : lookback::fuzz_targets()) std::fprintf(stderr, "  %s\n", known.name);
  std::exit(2);
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  target->run({reinterpret_cast<const char*>(data), size});
  return 0;
}
