// Every target over its seeds and over every input that a fuzzer found: whatever is in a file, a reader reads it or
// throws Error.
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "core/files.h"
#include "fuzz/fuzz_targets.h"

namespace lookback {
namespace {

namespace fs = std::filesystem;

class FuzzReplay : public ::testing::TestWithParam<FuzzTarget> {};

TEST_P(FuzzReplay, SeedsAndWhatWasFound) {
  const FuzzTarget target = GetParam();
  const fs::path folder = fs::path(LOOKBACK_SOURCE_DIR) / "tests" / "fuzz" / "seeds" / target.name;
  std::vector<fs::path> inputs;
  for (const auto& entry : fs::directory_iterator(folder)) inputs.push_back(entry.path());
  ASSERT_FALSE(inputs.empty()) << folder;
  for (const fs::path& input : inputs) {
    SCOPED_TRACE(input);
    const std::string content = read_file(input);
    EXPECT_NO_THROW(target.run(content));
    // Files that end early are what users have most.
    for (const std::size_t size : {content.size() / 3, content.size() - content.size() / 7}) {
      EXPECT_NO_THROW(target.run(std::string_view(content).substr(0, size))) << "cut to " << size << " bytes";
    }
  }
  EXPECT_NO_THROW(target.run(""));
}

INSTANTIATE_TEST_SUITE_P(All, FuzzReplay, ::testing::ValuesIn(fuzz_targets().begin(), fuzz_targets().end()),
                         [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace lookback
