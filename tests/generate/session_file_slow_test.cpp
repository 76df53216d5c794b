// A conversation whose process is killed, or whose disk is full: the file holds what was saved before, bit by bit, and
// the same call goes on.
#include <fcntl.h>
#include <fmt/core.h>
#include <gtest/gtest.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <thread>

#include "core/error.h"
#include "core/file_size_limit.h"
#include "core/files.h"
#include "core/number_of_kills.h"
#include "core/random.h"
#include "generate/generator.h"
#include "generate/session_file.h"
#include "generate/small_models.h"

namespace lookback {
namespace {

namespace fs = std::filesystem;

const SessionOwner owner{"the model", "the tokenizer"};
constexpr std::int64_t num_tokens_in_all = 240;

GenerateConfig greedy(std::int64_t max_new_tokens) {
  GenerateConfig config;
  config.sampling.greedy = true;
  config.stop.max_new_tokens = max_new_tokens;
  return config;
}

TextSession open(const fs::path& file, Model& model) {
  if (!fs::exists(file)) return new_text_session(model, at::kFloat, {});
  return resume_session(load_session(file), file.string(), model, at::kFloat, owner, {});
}

// Turns of a token each, saved after each, until the text is as long as it should become; the calls of a conversation.
void converse(const fs::path& file, std::int64_t num_tokens) {
  const std::unique_ptr<Model> model = make_small_model(small_model_cases().at(1).config);
  for (;;) {
    TextSession text = open(file, *model);
    const auto before = static_cast<std::int64_t>(text.ids.size());
    if (before >= num_tokens) return;
    const std::vector<std::int64_t> prompt =
        before == 0 ? std::vector<std::int64_t>{1, 2, 3} : std::vector<std::int64_t>{};
    generate(*model, nullptr, text, prompt, greedy(1));
    save_session(file, text, owner, {});
  }
}

class TestFolder {
 public:
  explicit TestFolder(const std::string& name)
      : path_(fs::path(testing::TempDir()) / fmt::format("{}-{}", name, ::getpid())) {
    fs::create_directories(path_);
  }
  ~TestFolder() { fs::remove_all(path_); }
  TestFolder(const TestFolder&) = delete;
  TestFolder& operator=(const TestFolder&) = delete;
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

// In its environment the next test finds the file of the conversation that it is to lead, as a child process of itself.
constexpr const char* child_file = "LOOKBACK_TEST_SESSION";

pid_t start_child(const fs::path& file) {
  ::setenv(child_file, file.c_str(), 1);
  const char* arguments[] = {"generate_slow_tests", "--gtest_filter=SessionKilled.GoesOnBitByBit", "--gtest_brief=1",
                             nullptr};
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
  pid_t child = -1;
  const int code = ::posix_spawn(&child, "/proc/self/exe", &actions, nullptr, const_cast<char**>(arguments), environ);
  posix_spawn_file_actions_destroy(&actions);
  EXPECT_EQ(code, 0);
  ::unsetenv(child_file);
  return child;
}

TEST(SessionKilled, GoesOnBitByBit) {
  if (const char* const file = std::getenv(child_file)) {
    converse(file, num_tokens_in_all);
    return;
  }
  const TestFolder folder("session-killed");
  const fs::path whole = folder.path() / "whole.session";
  converse(whole, num_tokens_in_all);

  const fs::path file = folder.path() / "talk.session";
  const int most_kills = number_of_kills().value_or(5);
  Random random(7);
  int num_kills = 0;
  int status = -1;
  const std::unique_ptr<Model> model = make_small_model(small_model_cases().at(1).config);
  std::size_t num_saved = 0;
  for (;;) {
    const pid_t child = start_child(file);
    if (num_kills < most_kills) {
      // At any moment: before the first turn, within one, while it is saved.
      std::this_thread::sleep_for(std::chrono::microseconds(random.below(900'000)));
      ::kill(child, SIGKILL);
    }
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    if (WIFEXITED(status)) break;
    ++num_kills;
    if (!fs::exists(file)) continue;
    const SavedSession saved = load_session(file);  // throws where it is broken
    ASSERT_GE(saved.ids.size(), num_saved) << "a turn that was saved is gone";
    num_saved = saved.ids.size();
    if (static_cast<std::int64_t>(num_saved) < num_tokens_in_all) continue;
    fs::remove(file);  // a conversation that has ended begins anew
    num_saved = 0;
  }
  EXPECT_EQ(WEXITSTATUS(status), 0);
  EXPECT_EQ(read_file(file), read_file(whole));
  RecordProperty("kills", num_kills);
}

TEST(SessionOnAFullDisk, IsTheOneThatWasSavedBefore) {
  const TestFolder folder("session-full-disk");
  const fs::path file = folder.path() / "talk.session";
  converse(file, 40);
  const std::string before = read_file(file);
  const std::unique_ptr<Model> model = make_small_model(small_model_cases().at(1).config);
  TextSession text = open(file, *model);
  generate(*model, nullptr, text, {}, greedy(30));
  const fs::path whole = folder.path() / "whole.session";
  save_session(whole, text, owner, {});
  const std::string after = read_file(whole);

  constexpr std::size_t num_sizes = 200;
  for (std::size_t i = 0; i < num_sizes; ++i) {
    const std::uint64_t size = i * (after.size() - 1) / (num_sizes - 1);
    {
      const FileSizeLimit limit(size);
      EXPECT_THROW(save_session(file, text, owner, {}), Error) << size;
    }
    ASSERT_EQ(read_file(file), before) << size;
    ASSERT_EQ(std::distance(fs::directory_iterator(folder.path()), {}), 2) << "nothing half-written stays: " << size;
  }
  save_session(file, text, owner, {});
  EXPECT_EQ(read_file(file), after);
}

}  // namespace
}  // namespace lookback
