// Folders whose files are one document, by way of prepare().
#include "data/folder_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "core/files.h"
#include "data/dataset_folder.h"
#include "data/prepare_runs.h"
#include "data/token_dataset.h"
#include "lookback/stop.h"

namespace lookback {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

PrepareConfig grouped_config(const std::vector<fs::path>& inputs, const fs::path& out) {
  PrepareConfig config = small_config(inputs, out);
  config.rules = {.text_extensions = {".py"}, .group_by_folder = true};
  return config;
}

TEST(FolderSource, AFolderIsOneDocumentInTheOrderOfItsPaths) {
  const TemporaryFolder folder;
  const fs::path in = folder.path() / "in";
  write_bytes(in / "b/main.py", "print()\n");
  write_bytes(in / "b/a/x.txt.gz", gzip_compressed("no line end"));
  write_bytes(in / "b/a.PY", "\xEF\xBB\xBFmark\n");
  write_bytes(in / "b/__init__.py", "");
  write_bytes(in / "b/c/d/e.md", "deep\r\n");
  write_bytes(in / "b/data.jsonl", R"({"text": "lines"})");
  write_bytes(in / "b/image.png", "?");
  write_bytes(in / "a.txt", "alone");
  write_bytes(in / "lines.jsonl", "{\"text\": \"1\"}\n{\"text\": \"2\"}\n");
  write_bytes(in / "name\n\xff/x.py", "n");
  const PrepareConfig config = grouped_config({in, in / "../b2.txt"}, folder.path() / "out");
  write_bytes(folder.path() / "b2.txt", "named");
  const PrepareResult result = prepare_bytes(config);
  EXPECT_THAT(documents_of(config.out),
              ElementsAre("alone",
                          "# file: b/__init__.py\n# file: b/a/x.txt.gz\nno line end\n# file: b/a.PY\nmark\n"
                          "# file: b/c/d/e.md\ndeep\r\n# file: b/main.py\nprint()\n",
                          "1", "2", "# file: name \uFFFD/x.py\nn\n", "named"));
  EXPECT_EQ(result.num_unknown_files, 2);
  EXPECT_EQ(result.num_inputs, 5);
  EXPECT_EQ(TokenDataset(config.out).manifest().sources.at(1).path, (in / "b").string());
  EXPECT_EQ(TokenDataset(config.out).manifest().sources.at(1).size_bytes,
            fs::file_size(in / "b/a/x.txt.gz") + 8 + 8 + 6);
}

TEST(FolderSource, WithoutItEveryFileIsADocument) {
  const TemporaryFolder folder;
  write_bytes(folder.path() / "in/b/a.py", "a");
  write_bytes(folder.path() / "in/b/c.txt", "c");
  PrepareConfig config = grouped_config({folder.path() / "in"}, folder.path() / "out");
  config.rules.group_by_folder = false;
  prepare_bytes(config);
  EXPECT_THAT(documents_of(config.out), ElementsAre("a", "c"));
  config.rules.group_by_folder = true;
  EXPECT_THAT(prepare_error(config), HasSubstr("another command"));
}

TEST(FolderSource, FilesThatAreNoTextAreNamedAndLeftOut) {
  const TemporaryFolder folder;
  const fs::path in = folder.path() / "in";
  write_bytes(in / "a/bad.py", "x = '\xe9'\n");
  write_bytes(in / "a/good.py", "good\n");
  write_bytes(in / "a/worse.py", "\xff");
  write_bytes(in / "b/bad.py", "\xff");
  std::vector<std::string> skipped;
  PrepareListener listener;
  listener.skipped = [&](const std::string& text) { skipped.push_back(text.substr(in.string().size() + 1)); };
  PrepareConfig config = grouped_config({in}, folder.path() / "out");
  const PrepareResult result = prepare_bytes(config, listener);
  EXPECT_THAT(documents_of(config.out), ElementsAre("# file: a/good.py\ngood\n"));
  EXPECT_THAT(skipped, ElementsAre("a/bad.py: invalid UTF-8 at byte 6", "a/worse.py: invalid UTF-8 at byte 1",
                                   "b/bad.py: invalid UTF-8 at byte 1", "b:1: none of the folder's files is text"));
  EXPECT_EQ(result.num_skipped, 4);
  const std::string log = read_file(config.out / "skipped.log");
  EXPECT_EQ(std::count(log.begin(), log.end(), '\n'), 4);
  config.out = folder.path() / "strict";
  config.strict = true;
  EXPECT_THAT(prepare_error(config), HasSubstr("a/bad.py: invalid UTF-8"));
}

// Stopped after every block, between and within the files of a folder: the same dataset, and every broken file told
// once.
TEST(FolderSource, GoesOnWhereItWasStopped) {
  const TemporaryFolder folder;
  const fs::path in = folder.path() / "in";
  for (const char* repository : {"r1", "r2"}) {
    for (int i = 10; i < 40; ++i) {
      write_bytes(in / repository / (std::to_string(i) + ".py"),
                  i % 7 == 0 ? "\xff" : generated_text(i == 20 ? 2'500'000 : 100'000, static_cast<std::uint64_t>(i)));
    }
  }
  const PrepareConfig whole = grouped_config({in}, folder.path() / "whole");
  EXPECT_EQ(prepare_bytes(whole).num_skipped, 8);
  const PrepareConfig stopped = grouped_config({in}, folder.path() / "stopped");
  int num_runs = 0;
  while (true) {
    StopSource source;
    PrepareListener listener;
    listener.stop = source.token();
    listener.progress = [&](const PrepareProgress&) { source.request_stop(); };
    const PrepareResult result = prepare_bytes(stopped, listener);
    ++num_runs;
    if (result.interrupted) continue;
    EXPECT_EQ(result.num_skipped, 8);
    break;
  }
  EXPECT_GT(num_runs, 8);
  EXPECT_TRUE(content_of(stopped.out) == content_of(whole.out));
}

TEST(FolderSource, AChangeOfAMemberIsAnotherInput) {
  const TemporaryFolder folder;
  write_bytes(folder.path() / "in/a/x.py", "x");
  write_bytes(folder.path() / "in/a/y.py", "y");
  const PrepareConfig config = grouped_config({folder.path() / "in"}, folder.path() / "out");
  prepare_bytes(config);
  EXPECT_TRUE(prepare_bytes(config).already_done);
  fs::rename(folder.path() / "in/a/x.py", folder.path() / "in/a/z.py");
  EXPECT_THAT(prepare_error(config), HasSubstr("another command"));
}

}  // namespace
}  // namespace lookback
