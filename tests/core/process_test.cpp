#include "core/process.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/error.h"

namespace lookback {
namespace {

using testing::HasSubstr;
using testing::ThrowsMessage;

TEST(Process, GivesOutputAndExitCode) {
  const ProcessResult result = run_process({"sh", "-c", "echo one; echo 'two  $x'; exit 3"});
  EXPECT_EQ(result.output, "one\ntwo  $x\n");
  EXPECT_EQ(result.exit_code, 3);
  EXPECT_GT(result.peak_resident_bytes, 100'000);
}

TEST(Process, NoShellReadsTheArguments) {
  EXPECT_EQ(run_process({"printf", "%s|", "a b", "$HOME", "'"}).output, "a b|$HOME|'|");
}

TEST(Process, TakesMoreOutputThanAPipeHolds) {
  EXPECT_EQ(run_process({"sh", "-c", "head -c 300000 /dev/zero"}).output.size(), 300'000U);
}

TEST(Process, ASignalIsAnExitCode) { EXPECT_EQ(run_process({"sh", "-c", "kill -9 $$"}).exit_code, 128 + 9); }

// Whether posix_spawn() says that there is no such program. Its child says so in memory that it shares with us, which
// it does not in QEMU's user emulation.
bool a_missing_program_is_known() {
  char path[] = "/no/such/program";
  char* arguments[] = {path, nullptr};
  pid_t child = 0;
  if (::posix_spawn(&child, path, nullptr, nullptr, arguments, environ) != 0) return true;
  ::waitpid(child, nullptr, 0);
  return false;
}

TEST(Process, AProgramThatThereIsNotIsNamed) {
  if (!a_missing_program_is_known()) GTEST_SKIP() << "an emulator without vfork(): a missing program is an exit code";
  EXPECT_THAT([] { run_process({"/no/such/program"}); }, ThrowsMessage<Error>(HasSubstr("/no/such/program")));
  EXPECT_THROW(run_process({}), Error);
}

}  // namespace
}  // namespace lookback
