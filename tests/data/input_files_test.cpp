#include "data/input_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <string>
#include <vector>

#include "core/error.h"
#include "core/without_root.h"
#include "data/dataset_folder.h"

namespace lookback {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::ThrowsMessage;
using ::testing::UnorderedElementsAre;

// Below `folder`.
std::vector<std::string> paths_of(const InputFiles& inputs, const fs::path& folder) {
  std::vector<std::string> paths;
  for (const InputFile& file : inputs.files) paths.push_back(file.path.lexically_relative(folder).string());
  return paths;
}

TEST(InputFiles, LinkedFoldersAreReadOnce) {
  const TemporaryFolder folder;
  const fs::path top = folder.path() / "top";
  write_bytes(top / "real/b.txt", "b");
  write_bytes(top / "z.txt", "z");
  write_bytes(folder.path() / "elsewhere/c.jsonl", "{}");
  fs::create_directory_symlink("real", top / "a-link-to-real");
  fs::create_directory_symlink("..", top / "real/up");
  fs::create_directory_symlink("../elsewhere", top / "linked");
  fs::create_directory_symlink("../top", folder.path() / "elsewhere/back");
  const InputFiles found = find_input_files({top});
  EXPECT_THAT(paths_of(found, top), ElementsAre("linked/c.jsonl", "real/b.txt", "z.txt"));
  EXPECT_THAT(found.not_read, IsEmpty());
  EXPECT_THAT(paths_of(find_input_files({folder.path() / "elsewhere/back"}), folder.path() / "elsewhere/back"),
              ElementsAre("linked/c.jsonl", "real/b.txt", "z.txt"));
}

TEST(InputFiles, AFileBehindTwoNamesIsReadOnce) {
  const TemporaryFolder folder;
  write_bytes(folder.path() / "b.txt", "b");
  fs::create_symlink("b.txt", folder.path() / "a.txt");
  EXPECT_THAT(paths_of(find_input_files({folder.path()}), folder.path()), ElementsAre("b.txt"));
  // Named by a person, it is a mistake.
  EXPECT_THAT([&] { find_input_files({folder.path() / "a.txt", folder.path() / "b.txt"}); },
              ThrowsMessage<Error>(HasSubstr("comes twice")));
}

TEST(InputFiles, WhatCannotBeReadIsNamed) {
  const TemporaryFolder folder;
  const fs::path& top = folder.path();
  write_bytes(top / "a.txt", "a");
  write_bytes(top / "other.pdf", "?");
  fs::create_symlink("gone.txt", top / "broken.txt");
  fs::create_symlink("loop", top / "loop");
  ASSERT_EQ(::mkfifo((top / "pipe.txt").c_str(), 0600), 0);
  const InputFiles found = find_input_files({top});
  EXPECT_THAT(paths_of(found, top), ElementsAre("a.txt"));
  EXPECT_EQ(found.num_unknown, 1);
  EXPECT_THAT(found.not_read,
              UnorderedElementsAre((top / "broken.txt").string() + ": the link leads nowhere (gone.txt)",
                                   (top / "loop").string() + ": the link leads nowhere (loop)",
                                   (top / "pipe.txt").string() + ": is no regular file"));
}

TEST(InputFiles, WhatMayNotBeReadIsNamed) {
  const TemporaryFolder folder;
  const fs::path& top = folder.path();
  write_bytes(top / "a.txt", "a");
  write_bytes(top / "secret.txt", "s");
  write_bytes(top / "closed/b.txt", "b");
  const WithoutRoot user(top);
  fs::permissions(top / "secret.txt", fs::perms::none);
  fs::permissions(top / "closed", fs::perms::none);
  const InputFiles found = find_input_files({top});
  fs::permissions(top / "closed", fs::perms::owner_all);
  EXPECT_THAT(paths_of(found, top), ElementsAre("a.txt"));
  EXPECT_THAT(found.not_read, UnorderedElementsAre((top / "closed").string() + ": Permission denied",
                                                   (top / "secret.txt").string() + ": Permission denied"));
}

}  // namespace
}  // namespace lookback
