// Real processes: killed at any moment, and measured.
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <exception>
#include <fstream>

#include "core/json.h"
#include "core/number_of_kills.h"
#include "core/random.h"
#include "data/dataset_folder.h"
#include "data/prepare_runs.h"
#include "data/token_dataset.h"

namespace lookback {
namespace {

namespace fs = std::filesystem;

// Runs prepare in a process of its own, killed after `microseconds` (none: 0). Whether it ended by itself.
bool run_process(const PrepareConfig& config, std::uint64_t microseconds, rusage* usage = nullptr) {
  const pid_t child = ::fork();
  if (child == 0) {
    try {
      prepare_bytes(config);
      ::_exit(0);
    } catch (const std::exception& error) {
      std::fprintf(stderr, "%s\n", error.what());
      ::_exit(1);
    }
  }
  if (microseconds > 0) {
    ::usleep(static_cast<useconds_t>(microseconds));
    ::kill(child, SIGKILL);
  }
  int status = 0;
  rusage own{};
  ::wait4(child, &status, 0, usage != nullptr ? usage : &own);
  if (WIFEXITED(status)) {
    EXPECT_EQ(WEXITSTATUS(status), 0);
  }
  return WIFEXITED(status);
}

TEST(PrepareProcess, KilledAtAnyMomentItGoesOn) {
  const TemporaryFolder folder;
  const fs::path in = folder.path() / "in";
  write_bytes(in / "a.txt", generated_text(6'000'000, 1) + "\xff");
  write_bytes(in / "b.txt.zst", zstd_compressed(generated_text(12'000'000, 2)));
  std::string lines;
  for (int i = 0; i < 2000; ++i) {
    lines += Json{{"text", generated_text(3'000, static_cast<std::uint64_t>(i))}}.dump() + "\nbroken\n";
  }
  write_bytes(in / "c.jsonl.gz", gzip_compressed(lines));
  PrepareConfig config = small_config({in}, folder.path() / "whole");
  config.journal_every_bytes = 1;
  config.valid_fraction = 0.1;
  ASSERT_TRUE(run_process(config, 0));
  const std::string whole = content_of(config.out);

  Random random(20);
  int kills = 0;
  const int most_kills = number_of_kills().value_or(60);
  for (int round = 0; kills < most_kills && round < most_kills; ++round) {
    config.out = folder.path() / std::to_string(round);
    int kills_here = 0;
    while (!run_process(config, 2'000 + random.below(150'000) + static_cast<std::uint64_t>(kills_here) * 20'000)) {
      ++kills_here;
      ASSERT_LT(kills_here, 200);
    }
    kills += kills_here;
    EXPECT_TRUE(content_of(config.out) == whole) << "round " << round << ", " << kills_here << " kills";
    fs::remove_all(config.out);
  }
  EXPECT_GE(kills, most_kills * 2 / 3);
  RecordProperty("kills", kills);
}

TEST(PrepareProcess, MemoryStaysBounded) {
  const TemporaryFolder folder;
  {
    const std::string part = generated_text(1'000'000, 1);
    std::ofstream big(folder.path() / "big.txt", std::ios::binary);
    for (int i = 0; i < 200; ++i) big << part;
  }
  PrepareConfig config;
  config.inputs = {folder.path() / "big.txt"};
  config.out = folder.path() / "out";
  config.num_threads = 2;
  rusage usage{};
  ASSERT_TRUE(run_process(config, 0, &usage));
  EXPECT_EQ(TokenDataset(config.out).num_documents(), 1);
#if !defined(__SANITIZE_ADDRESS__)
  // Two threads hold a few blocks of 2 MiB each, as text and as tokens; the text alone would be 200 MB.
  EXPECT_LT(usage.ru_maxrss / 1024, 100) << "MiB";
#endif
}

}  // namespace
}  // namespace lookback
