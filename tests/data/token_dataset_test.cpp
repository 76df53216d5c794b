#include "data/token_dataset.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/error.h"
#include "core/files.h"
#include "data/dataset_folder.h"

namespace lookback {
namespace {

using ::testing::HasSubstr;

template <typename Action>
std::string error_of(Action action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "(no error)";
}

std::vector<std::int64_t> read_all(const TokenDataset& dataset) {
  std::vector<std::int64_t> tokens(static_cast<std::size_t>(dataset.num_tokens()));
  dataset.read(0, tokens);
  return tokens;
}

const std::vector<std::vector<std::int64_t>> three_documents = {{1, 2, 3, 4, 5}, {6}, {7, 8, 9}};
const std::vector<std::int64_t> their_stream = {1, 2, 3, 4, 5, 256, 6, 256, 7, 8, 9, 256};

TEST(TokenDataset, ReadsAcrossShardsOfBothElementTypes) {
  for (const std::int64_t vocab_size : {257, 70000}) {
    for (const std::size_t shard_tokens : {1, 3, 12, 100}) {
      const TemporaryFolder folder;
      write_dataset(folder.path(), three_documents, vocab_size, shard_tokens);
      const TokenDataset dataset(folder.path());
      dataset.verify();
      EXPECT_EQ(dataset.num_tokens(), 12);
      EXPECT_EQ(dataset.num_documents(), 3);
      EXPECT_EQ(read_all(dataset), their_stream);
      for (std::int64_t begin = 0; begin <= 12; ++begin) {
        std::vector<std::int64_t> part(static_cast<std::size_t>(std::min<std::int64_t>(5, 12 - begin)));
        dataset.read(begin, part);
        EXPECT_TRUE(std::equal(part.begin(), part.end(), their_stream.begin() + begin));
      }
      EXPECT_EQ(dataset.document(2).begin, 8);
      EXPECT_EQ(dataset.document(2).end, 11);
      EXPECT_EQ(dataset.document(2).text_bytes, 3);
    }
  }
}

TEST(TokenDataset, RefusesRangesOutside) {
  const TemporaryFolder folder;
  write_dataset(folder.path(), three_documents, 257, 5);
  const TokenDataset dataset(folder.path());
  std::vector<std::int64_t> out(5);
  EXPECT_THROW(dataset.read(8, out), Error);
  EXPECT_THROW(dataset.read(-1, out), Error);
  EXPECT_THROW(dataset.document(3), Error);
  EXPECT_THROW(dataset.document(-1), Error);
}

TEST(TokenDataset, NamesDamagedFiles) {
  const TemporaryFolder folder;
  const auto& path = folder.path();
  const auto open = [&] { TokenDataset dataset(path); };
  EXPECT_THAT(error_of([&] { TokenDataset dataset(path / "nowhere"); }), HasSubstr("lookback prepare"));
  EXPECT_THAT(error_of(open), HasSubstr("manifest.json"));

  write_dataset(path, three_documents, 257, 5);
  const std::string shard = read_file(path / "tokens-00001.bin");
  write_bytes(path / "tokens-00001.bin", shard.substr(2));
  EXPECT_THAT(error_of(open), HasSubstr("tokens-00001.bin"));
  std::filesystem::remove(path / "tokens-00001.bin");
  EXPECT_THAT(error_of(open), HasSubstr("tokens-00001.bin is missing"));
  // Another valid id is found by the checksum only; an id outside the vocabulary when it is read.
  write_bytes(path / "tokens-00001.bin", std::string("\x09", 1) + shard.substr(1));
  EXPECT_THAT(error_of([&] { TokenDataset(path).verify(); }), HasSubstr("tokens-00001.bin: checksum"));
  write_bytes(path / "tokens-00001.bin", std::string("\xff\xff", 2) + shard.substr(2));
  EXPECT_THAT(error_of([&] { read_all(TokenDataset(path)); }), HasSubstr("tokens-00001.bin: token 65535"));
  write_bytes(path / "tokens-00001.bin", shard);

  const std::string index = read_file(path / "documents.bin");
  write_bytes(path / "documents.bin", std::string(8, '\xff') + index.substr(8));
  EXPECT_THAT(error_of([&] { TokenDataset(path).document(0); }), HasSubstr("documents.bin"));
  write_bytes(path / "documents.bin", index);
  EXPECT_NO_THROW(TokenDataset(path).verify());
}

TEST(TokenDataset, RefusesImpossibleManifests) {
  const TemporaryFolder folder;
  write_dataset(folder.path(), three_documents, 257, 5);
  const Json good = read_json_file(folder.path() / "manifest.json");
  const auto error_with = [&](const char* pointer, const Json& value) {
    Json changed = good;
    changed[Json::json_pointer(pointer)] = value;
    return error_of([&] { manifest_from_json(changed, "m"); });
  };
  EXPECT_EQ(error_with("/num_tokens", 12), "(no error)");
  EXPECT_THAT(error_with("/num_tokens", 13), HasSubstr("13 tokens"));
  EXPECT_THAT(error_with("/num_documents", 4), HasSubstr("4 documents"));
  EXPECT_THAT(error_with("/format_version", 2), HasSubstr("newer"));
  EXPECT_THAT(error_with("/format", "other"), HasSubstr("other"));
  EXPECT_THAT(error_with("/element_type", "int8"), HasSubstr("int8"));
  EXPECT_THAT(error_with("/vocab_size", 100000), HasSubstr("uint16"));
  EXPECT_THAT(error_with("/end_of_text_id", 300), HasSubstr("300"));
  EXPECT_THAT(error_with("/shards/0/file", "../tokens"), HasSubstr("../tokens"));
  EXPECT_THAT(error_with("/shards/0/size_bytes", "many"), HasSubstr("size_bytes"));
  EXPECT_THAT(error_with("/shards", 3), HasSubstr("shards"));
  EXPECT_THAT(error_of([&] { manifest_from_json(Json::array(), "m"); }), HasSubstr("m: expected an object"));
  const DatasetManifest manifest = manifest_from_json(good, "m");
  EXPECT_EQ(manifest_to_json(manifest), good);
}

}  // namespace
}  // namespace lookback
