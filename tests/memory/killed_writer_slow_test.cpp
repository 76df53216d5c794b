// A writer killed at any moment: what it had committed is there, whole, and the next writer goes on.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <thread>

#include "core/random.h"
#include "memory/memory_blocks.h"

namespace lookback {
namespace {

namespace fs = std::filesystem;

// Adds documents, and takes old ones away, until it is killed; says each commit through the pipe.
[[noreturn]] void write_until_killed(const fs::path& path, const MemoryFormat& format, int pipe) {
  MemoryWriter writer(path, format);
  while (true) {
    const std::uint64_t id = write_document(writer, format, "document", 3, 6);
    if (writer.documents().size() > 8) writer.remove_document(writer.documents().front().id);
    writer.commit();
    if (::write(pipe, &id, sizeof(id)) != sizeof(id)) std::_Exit(1);
  }
}

TEST(KilledWriter, TwoHundredKillsLoseNothingCommitted) {
  const fs::path folder = fs::temp_directory_path() / ("lookback_killed_" + std::to_string(::getpid()));
  fs::create_directories(folder);
  const fs::path path = folder / "killed.memory";
  const MemoryFormat format = small_format();
  Random random(1);
  std::int64_t num_commits = 0;
  for (int kill = 0; kill < 200; ++kill) {
    int pipe[2];
    ASSERT_EQ(::pipe(pipe), 0);
    const pid_t child = ::fork();
    if (child == 0) write_until_killed(path, format, pipe[1]);
    ::close(pipe[1]);
    std::this_thread::sleep_for(std::chrono::microseconds(random.below(40'000)));
    ::kill(child, SIGKILL);
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status)) << "the writer ended by itself";
    std::uint64_t last = 0;
    bool any = false;
    for (std::uint64_t id = 0; ::read(pipe[0], &id, sizeof(id)) == sizeof(id); any = true, ++num_commits) last = id;
    ::close(pipe[0]);
    if (!any) continue;

    const StoredMemory memory(path);
    memory.verify();
    ASSERT_FALSE(memory.documents().empty());
    ASSERT_GE(memory.documents().back().id, last);
    std::int64_t chunk = 0;
    for (const MemoryDocument& document : memory.documents()) {
      ASSERT_TRUE(document.finished);
      ASSERT_EQ(document.num_chunks, 18);
      const ChunkBlock wanted = random_block(format, document.id, 0, 18);
      ASSERT_TRUE(memory.landmarks().narrow(0, chunk, 18).equal(wanted.landmarks));
      at::Tensor key = at::empty(wanted.key[0].sizes());
      at::Tensor value = at::empty_like(key);
      memory.chunk(chunk + 17)->widen_to(key, value);
      ASSERT_TRUE(key.equal(wanted.key[17]) && value.equal(wanted.value[17]));
      chunk += 18;
    }
  }
  EXPECT_GT(num_commits, 200);
  fs::remove_all(folder);
}

}  // namespace
}  // namespace lookback
