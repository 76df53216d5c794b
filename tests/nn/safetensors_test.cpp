#include "nn/safetensors.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>

#include "core/error.h"
#include "core/files.h"

namespace lookback {
namespace {

std::filesystem::path scratch(const std::string& name) { return std::filesystem::path(testing::TempDir()) / name; }

std::string framed(const std::string& header, const std::string& data) {
  const std::uint64_t size = header.size();
  std::string bytes(sizeof size, '\0');
  std::memcpy(bytes.data(), &size, sizeof size);
  return bytes + header + data;
}

std::string error_of(const std::string& content) {
  const std::filesystem::path path = scratch("broken.safetensors");
  write_file_atomic(path, content);
  try {
    read_safetensors(path);
  } catch (const Error& error) {
    return std::string(error.what()).substr(path.string().size());
  }
  return "none";
}

TEST(Safetensors, RoundTripKeepsNamesTypesShapesAndBits) {
  const NamedTensors tensors = {{"a", at::tensor({1.5F, -2.0F, 3.25F})},
                                {"empty", at::empty({0, 3})},
                                {"scalar", at::tensor(7, at::kLong).squeeze()},
                                {"half", at::tensor({0.5F, 2.0F}).to(at::kBFloat16).view({1, 2})},
                                {"strided", at::arange(6, at::kInt).view({2, 3}).t()}};
  write_safetensors(scratch("some.safetensors"), tensors);
  const NamedTensors found = read_safetensors(scratch("some.safetensors"));
  ASSERT_EQ(found.size(), tensors.size());
  for (const auto& [name, tensor] : tensors) {
    const auto same = std::find_if(found.begin(), found.end(), [&](const auto& entry) { return entry.first == name; });
    ASSERT_NE(same, found.end()) << name;
    EXPECT_EQ(same->second.scalar_type(), tensor.scalar_type()) << name;
    EXPECT_TRUE(at::equal(same->second, tensor)) << name;
  }
}

// Written by Python's safetensors.torch.save_file.
TEST(Safetensors, ReadsFilesOfThePythonPackage) {
  const NamedTensors found = read_safetensors(LOOKBACK_SOURCE_DIR "/tests/fixtures/python.safetensors");
  ASSERT_EQ(found.size(), 3U);
  for (const auto& [name, tensor] : found) {
    if (name == "bias") {
      EXPECT_TRUE(at::equal(tensor, at::arange(4, at::kHalf)));
    }
    if (name == "ids") {
      EXPECT_TRUE(at::equal(tensor, at::tensor({-1, 5}, at::kLong)));
    }
    if (name == "weight") {
      EXPECT_TRUE(at::equal(tensor, at::arange(6, at::kFloat).view({2, 3}) / 4));
    }
  }
}

TEST(Safetensors, BrokenFilesAreRefusedByName) {
  const std::string entry = R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})";
  EXPECT_EQ(error_of(framed(entry, "12345678")), "none");
  EXPECT_EQ(error_of("short"), ": 5 bytes are too few for a safetensors file");
  EXPECT_NE(error_of(framed(entry, "1234567")).find("truncated"), std::string::npos);
  EXPECT_NE(error_of(framed(entry, "123456789")).find("describes 8"), std::string::npos);
  EXPECT_NE(error_of(std::string(8, '\xff') + entry).find("truncated"), std::string::npos);
  EXPECT_NE(error_of(framed("{]", "")).find("not valid JSON"), std::string::npos);
  EXPECT_NE(error_of(framed("[1]", "")).find("not a JSON object"), std::string::npos);
  EXPECT_NE(error_of(framed(R"({"a":{"dtype":"F4","shape":[2],"data_offsets":[0,8]}})", "12345678")).find("F4"),
            std::string::npos);
  EXPECT_NE(error_of(framed(R"({"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}})", "12345678")).find("needs 12"),
            std::string::npos);
  EXPECT_NE(error_of(framed(R"({"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}})", "12345678")).find("negative"),
            std::string::npos);
  EXPECT_NE(
      error_of(framed(R"({"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,8]}})", "12345678"))
          .find("too large"),
      std::string::npos);
  EXPECT_NE(error_of(framed(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})", "12345678")).find("begins at"),
            std::string::npos);
  EXPECT_NE(error_of(framed(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},
                                "a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})",
                            "12345678"))
                .find("twice"),
            std::string::npos);
}

}  // namespace
}  // namespace lookback
