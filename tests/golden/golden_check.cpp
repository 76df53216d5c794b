// golden_check DIR...: compares this build's models with golden numbers and prints each deviation.
// Exit code 0: all within their limits; 1: not, or a folder could not be read; 2: misuse.
#include <fmt/core.h>

#include <algorithm>
#include <exception>
#include <string_view>

#include "golden/golden.h"

int main(int argc, char** argv) {
  if (argc < 2 || std::string_view(argv[1]).starts_with("-")) {
    fmt::print(stderr,
               "usage: golden_check DIR...\n  e.g. golden_check tests/fixtures/golden/drt-one-hop\n"
               "Compares logits, loss, gradients, retrieval and training losses with each folder's numbers.\n");
    return 2;
  }
  bool all_within = true;
  for (int i = 1; i < argc; ++i) {
    try {
      fmt::print("{}\n", argv[i]);
      for (const lookback::Deviation& deviation : lookback::compare_with_golden(argv[i])) {
        fmt::print("  {:<68} {:9.2e}  limit {:7.1e}  {}\n", deviation.name, deviation.value, deviation.limit,
                   deviation.within() ? "ok" : "EXCEEDED");
        all_within = all_within && deviation.within();
      }
    } catch (const std::exception& error) {
      fmt::print(stderr, "golden_check: {}\n", error.what());
      all_within = false;
    }
  }
  return all_within ? 0 : 1;
}
