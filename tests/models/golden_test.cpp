#include "golden/golden.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <functional>

#include "core/error.h"
#include "nn/safetensors.h"

namespace lookback {
namespace {

class Golden : public testing::TestWithParam<const char*> {};

TEST_P(Golden, WithinLimits) {
  const std::filesystem::path folder = std::filesystem::path(LOOKBACK_SOURCE_DIR "/tests/fixtures/golden") / GetParam();
  const std::vector<Deviation> deviations = compare_with_golden(folder);
  ASSERT_FALSE(deviations.empty());
  for (const Deviation& deviation : deviations) {
    EXPECT_TRUE(deviation.within()) << deviation.name << ": " << deviation.value << " > " << deviation.limit;
  }
}

std::string error_of_comparing(const std::filesystem::path& folder) {
  try {
    compare_with_golden(folder);
  } catch (const Error& error) {
    return error.what();
  }
  return "none";
}

// A reference that cuts its lists to as many chunks as there are.
TEST(GoldenCheck, ComparesTheColumnsThatBothHave) {
  namespace fs = std::filesystem;
  const fs::path folder = fs::path(testing::TempDir()) / "golden-columns";
  fs::remove_all(folder);
  fs::copy(LOOKBACK_SOURCE_DIR "/tests/fixtures/golden/drt-one-hop", folder);
  const NamedTensors whole = read_safetensors(folder / "expected.safetensors");
  const auto with_retrieval = [&](const std::function<at::Tensor(const std::string&, const at::Tensor&)>& change) {
    NamedTensors changed = whole;
    for (auto& [name, tensor] : changed) {
      if (name.starts_with("retrieval.")) tensor = change(name, tensor).contiguous();
    }
    write_safetensors(folder / "expected.safetensors", changed);
  };
  with_retrieval([](const std::string&, const at::Tensor& tensor) { return tensor.narrow(2, 0, 1); });
  for (const Deviation& deviation : compare_with_golden(folder)) EXPECT_TRUE(deviation.within()) << deviation.name;
  with_retrieval([](const std::string& name, const at::Tensor& tensor) {
    return name.ends_with("indices") ? tensor.narrow(2, 0, 1) + 1 : tensor.narrow(2, 0, 1);
  });
  bool all_within = true;
  for (const Deviation& deviation : compare_with_golden(folder)) all_within = all_within && deviation.within();
  EXPECT_FALSE(all_within);
  with_retrieval([](const std::string&, const at::Tensor& tensor) { return tensor.narrow(1, 0, 2); });
  EXPECT_NE(error_of_comparing(folder).find("retrieval.0.indices: the model gives ["), std::string::npos)
      << error_of_comparing(folder);
  with_retrieval([](const std::string&, const at::Tensor& tensor) { return tensor.flatten(); });
  EXPECT_NE(error_of_comparing(folder).find("expected two of one shape"), std::string::npos);
}

INSTANTIATE_TEST_SUITE_P(Folders, Golden,
                         testing::Values("drt-one-hop", "drt-two-hop", "drt-grouped-query", "drt-training",
                                         "drt-ablations", "sliding-window", "landmark-attention", "landmark",
                                         "block-recurrent", "memorizing", "neurocache", "rpt-bm25", "rpt-words",
                                         "rpt-embeddings", "compressed-memory", "drt-rotary", "block-recurrent-rotary",
                                         "memorizing-rotary", "neurocache-rotary", "sliding-window-no-positions",
                                         "drt-copying", "drt-retrieval", "drt-mean-landmarks", "drt-terms",
                                         "sliding-window-convolved"));

}  // namespace
}  // namespace lookback
