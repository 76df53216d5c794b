#include "core/process.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "core/clock.h"
#include "core/error.h"

namespace lookback {
namespace {

std::string read_to_end(int file) {
  std::string text;
  std::array<char, 65536> buffer{};
  for (;;) {
    const ssize_t count = ::read(file, buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return text;
    text.append(buffer.data(), static_cast<std::size_t>(count));
  }
}

}  // namespace

ProcessResult run_process(const std::vector<std::string>& arguments) {
  require(!arguments.empty(), "no program to run");
  std::array<int, 2> pipe{};
  // Close-on-exec: the child keeps only what is its standard output.
  require(::pipe2(pipe.data(), O_CLOEXEC) == 0, "cannot run {}: {}", arguments[0], std::strerror(errno));
  std::vector<char*> words;
  for (const std::string& argument : arguments) words.push_back(const_cast<char*>(argument.c_str()));
  words.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, pipe[1], STDOUT_FILENO);
  const Clock::time_point start = Clock::now();
  pid_t child = 0;
  const int problem = ::posix_spawnp(&child, words[0], &actions, nullptr, words.data(), environ);
  ::posix_spawn_file_actions_destroy(&actions);
  ::close(pipe[1]);
  if (problem != 0) {
    ::close(pipe[0]);
    fail("cannot run {}: {}", arguments[0], std::strerror(problem));
  }
  ProcessResult result;
  result.output = read_to_end(pipe[0]);
  ::close(pipe[0]);
  int status = 0;
  rusage usage{};
  while (::wait4(child, &status, 0, &usage) < 0 && errno == EINTR) {
  }
  result.seconds = seconds_since(start);
  result.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  result.peak_resident_bytes = std::int64_t{usage.ru_maxrss} * 1024;
  return result;
}

}  // namespace lookback
