#include "core/files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "core/error.h"

namespace lookback {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::ThrowsMessage;

// A folder of the test's own, empty at its start.
class Files : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::temp_directory_path() / ("lookback_files_test_" + std::to_string(::getpid()) + "_" +
                                                        testing::UnitTest::GetInstance()->current_test_info()->name());
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::size_t num_entries(const std::filesystem::path& folder) const {
    return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator(folder), {}));
  }

  std::filesystem::path folder_;
};

TEST_F(Files, WhatWasWrittenIsRead) {
  std::string content("zero\0byte, line\r\n", 17);
  content += std::string(200'000, 'x');  // more than one read()
  write_file_atomic(folder_ / "file", content);
  EXPECT_EQ(read_file(folder_ / "file"), content);
}

TEST_F(Files, AnEmptyFileIsEmpty) {
  write_file_atomic(folder_ / "file", "");
  EXPECT_EQ(read_file(folder_ / "file"), "");
}

TEST_F(Files, WritingReplacesTheOldContentAndLeavesNothingBeside) {
  write_file_atomic(folder_ / "file", "a longer first content");
  write_file_atomic(folder_ / "file", "short");
  EXPECT_EQ(read_file(folder_ / "file"), "short");
  EXPECT_EQ(num_entries(folder_), 1U);
}

// A reader that opened the old file keeps it whole: the new one is another file, put in its place.
TEST_F(Files, AnOpenReaderKeepsTheOldContent) {
  write_file_atomic(folder_ / "file", "old");
  std::ifstream reader(folder_ / "file");
  write_file_atomic(folder_ / "file", "new");
  std::string seen;
  reader >> seen;
  EXPECT_EQ(seen, "old");
}

TEST_F(Files, AFailedWriteKeepsTheOldAndNamesThePath) {
  // A folder cannot be replaced by a file: the rename fails, after the temporary file was written.
  std::filesystem::create_directory(folder_ / "taken");
  EXPECT_THAT([&] { write_file_atomic(folder_ / "taken", "x"); },
              ThrowsMessage<Error>(AllOf(HasSubstr((folder_ / "taken").string() + ":"), HasSubstr("directory"))));
  EXPECT_EQ(num_entries(folder_), 1U);
}

TEST_F(Files, WritingIntoAMissingFolderNamesTheFileAskedFor) {
  const auto path = folder_ / "missing" / "file";
  EXPECT_THAT([&] { write_file_atomic(path, "x"); },
              ThrowsMessage<Error>("cannot write " + path.string() + ": No such file or directory"));
}

TEST_F(Files, ReadingWhatIsNoFileSaysSo) {
  const auto path = folder_ / "missing";
  EXPECT_THAT([&] { read_file(path); },
              ThrowsMessage<Error>("cannot read " + path.string() + ": No such file or directory"));
  EXPECT_THAT([&] { read_file(folder_); }, ThrowsMessage<Error>(HasSubstr("it is a folder")));
}

TEST_F(Files, AMappedFileHasTheFilesBytes) {
  write_file_atomic(folder_ / "file", "bytes");
  MappedFile mapped(folder_ / "file");
  ASSERT_EQ(mapped.bytes().size(), 5U);
  EXPECT_EQ(static_cast<char>(mapped.bytes()[4]), 's');

  MappedFile moved(std::move(mapped));
  ASSERT_EQ(moved.bytes().size(), 5U);
  EXPECT_EQ(static_cast<char>(moved.bytes()[0]), 'b');

  write_file_atomic(folder_ / "other", "12");
  moved = MappedFile(folder_ / "other");
  EXPECT_EQ(moved.bytes().size(), 2U);
}

TEST_F(Files, AnEmptyFileMapsToNothingAndAFolderIsRefused) {
  write_file_atomic(folder_ / "file", "");
  EXPECT_TRUE(MappedFile(folder_ / "file").bytes().empty());
  EXPECT_THAT([&] { MappedFile{folder_}; }, ThrowsMessage<Error>(HasSubstr("not a regular file")));
  EXPECT_THAT([&] { MappedFile{folder_ / "missing"}; }, ThrowsMessage<Error>(HasSubstr("cannot read")));
}

TEST_F(Files, PublishingPutsTheFolderInPlace) {
  std::filesystem::create_directories(folder_ / "finished" / "inner");
  write_file_atomic(folder_ / "finished" / "inner" / "file", "content");
  std::filesystem::create_directory(folder_ / "target");  // empty: allowed
  publish_folder(folder_ / "finished", folder_ / "target");
  EXPECT_EQ(read_file(folder_ / "target" / "inner" / "file"), "content");
  EXPECT_FALSE(std::filesystem::exists(folder_ / "finished"));
}

TEST_F(Files, PublishingNeverReplacesAFolderThatHoldsSomething) {
  std::filesystem::create_directories(folder_ / "finished");
  std::filesystem::create_directories(folder_ / "target");
  write_file_atomic(folder_ / "target" / "file", "kept");
  EXPECT_THAT([&] { publish_folder(folder_ / "finished", folder_ / "target"); },
              ThrowsMessage<Error>(HasSubstr((folder_ / "target").string())));
  EXPECT_EQ(read_file(folder_ / "target" / "file"), "kept");
  EXPECT_TRUE(std::filesystem::exists(folder_ / "finished"));
}

}  // namespace
}  // namespace lookback
