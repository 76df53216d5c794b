#include "core/files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <future>

#include "core/error.h"
#include "core/failing_files.h"

namespace lookback {
namespace {

namespace fs = std::filesystem;
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

TEST_F(Files, LinksStayAndTheirTargetsAreReplaced) {
  fs::create_directory(folder_ / "other");
  write_file_atomic(folder_ / "other" / "target", "old");
  fs::permissions(folder_ / "other" / "target", fs::perms(0604));
  fs::create_symlink("other/target", folder_ / "link");
  fs::create_symlink(folder_ / "link", folder_ / "link_to_link");
  std::ifstream reader(folder_ / "other" / "target");
  write_file_atomic(folder_ / "link_to_link", "new");
  EXPECT_TRUE(fs::is_symlink(folder_ / "link"));
  EXPECT_TRUE(fs::is_symlink(folder_ / "link_to_link"));
  EXPECT_EQ(read_file(folder_ / "other" / "target"), "new");
  EXPECT_EQ(fs::status(folder_ / "other" / "target").permissions(), fs::perms(0604));
  EXPECT_EQ(num_entries(folder_ / "other"), 1U);
  std::string seen;
  reader >> seen;
  EXPECT_EQ(seen, "old");  // replaced, not written into

  fs::create_symlink("other/later", folder_ / "dangling");
  write_file_atomic(folder_ / "dangling", "made");
  EXPECT_EQ(read_file(folder_ / "other" / "later"), "made");
  EXPECT_TRUE(fs::is_symlink(folder_ / "dangling"));

  fs::create_symlink("b", folder_ / "a");
  fs::create_symlink("a", folder_ / "b");
  EXPECT_THAT([&] { write_file_atomic(folder_ / "a", "x"); },
              ThrowsMessage<Error>(HasSubstr((folder_ / "a").string() + ":")));
}

TEST_F(Files, APipeIsWrittenTo) {
  const fs::path pipe = folder_ / "pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  fs::create_symlink("pipe", folder_ / "link");
  for (const fs::path& name : {pipe, folder_ / "link"}) {
    auto read = std::async(std::launch::async, [&] { return read_file(pipe); });
    check_output_file(name);
    write_file_atomic(name, "through");
    EXPECT_EQ(read.get(), "through");
    EXPECT_TRUE(fs::is_fifo(pipe));
  }
  EXPECT_EQ(num_entries(folder_), 2U);
}

TEST_F(Files, ADeviceStaysOne) {
  const fs::path node = folder_ / "null";
  if (::mknod(node.c_str(), S_IFCHR | 0666, ::makedev(1, 3)) != 0) GTEST_SKIP() << "no nodes can be made here";
  fs::create_symlink("null", folder_ / "link");
  try {
    write_file_atomic(node, "nowhere");
    write_atomically(folder_ / "link", [](const fs::path& path) { OutputFile(path).write("nowhere"); });
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("Permission denied"));  // a folder without devices
  }
  EXPECT_TRUE(fs::is_character_file(node));
  EXPECT_EQ(num_entries(folder_), 2U);
}

// As for `> file` and /dev/stdout or a descriptor of ours.
TEST_F(Files, AnOpenDescriptorIsWrittenTo) {
  const OutputFile opened(folder_ / "file");
  std::ofstream other(folder_ / "file");
  other << "before, " << std::flush;
  const std::string link = [&] {
    for (const auto& entry : fs::directory_iterator("/proc/self/fd")) {
      std::error_code error;
      if (fs::read_symlink(entry.path(), error) == folder_ / "file") return entry.path().string();
    }
    return std::string();
  }();
  ASSERT_NE(link, "");
  struct stat before{}, after{};
  ::stat((folder_ / "file").c_str(), &before);
  write_file_atomic(link, "behind");
  ::stat((folder_ / "file").c_str(), &after);
  EXPECT_EQ(read_file(folder_ / "file"), "before, behind");
  EXPECT_EQ(before.st_ino, after.st_ino);
}

TEST_F(Files, WhatCannotBeWrittenIsSaidBefore) {
  const auto problem_of = [](const fs::path& path) -> std::string {
    try {
      check_output_file(path);
    } catch (const Error& error) {
      return error.what();
    }
    return "none";
  };
  EXPECT_EQ(problem_of(folder_ / "new"), "none");
  EXPECT_EQ(num_entries(folder_), 0U);
  EXPECT_EQ(problem_of(folder_), "cannot write " + folder_.string() + ": Is a directory");
  EXPECT_EQ(problem_of(folder_ / "missing" / "file"),
            "cannot write " + (folder_ / "missing" / "file").string() + ": No such file or directory");
  write_file_atomic(folder_ / "file", "");
  EXPECT_EQ(problem_of(folder_ / "file" / "x"),
            "cannot write " + (folder_ / "file" / "x").string() + ": Not a directory");
}

TEST_F(Files, WhateverFailsTheOldContentStaysAndNothingBeside) {
  const fs::path path = folder_ / "file";
  int num_failures = 0;
  for (int n = 1;; ++n) {
    write_file_atomic(path, "old");
    std::string message;
    {
      const FailingFiles failing(n, ENOSPC);
      try {
        write_file_atomic(path, "new");
      } catch (const Error& error) {
        message = error.what();
      }
      if (!failing.has_failed()) break;
    }
    ++num_failures;
    EXPECT_THAT(message, HasSubstr("No space left on device")) << n;
    // Once renamed, only that it is durable cannot be promised.
    EXPECT_THAT(read_file(path), testing::AnyOf("old", "new")) << n;
    if (n <= 5) {
      EXPECT_EQ(read_file(path), "old") << n;
    }
    EXPECT_EQ(num_entries(folder_), 1U) << n;
  }
  // open, write, open, fsync, rename; open and fsync of the folder.
  EXPECT_EQ(num_failures, 7);
  EXPECT_EQ(read_file(path), "new");
  const std::string content(1000, 'x');
  {
    const FailingFiles interrupted(0, 0);
    write_file_atomic(path, content);
    EXPECT_EQ(read_file(path), content);
  }
  EXPECT_EQ(read_file(path), content);
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
