// One file is one memory, whatever leads to it; states that are read stay; old files are read and go on.
#include "memory/memory_file.h"

#include <gmock/gmock.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <deque>
#include <fstream>
#include <thread>

#include "core/error.h"
#include "core/files.h"
#include "core/random.h"
#include "memory/memory_blocks.h"
#include "memory/merge_memories.h"

namespace lookback {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::ThrowsMessage;

// Exit codes of children.
constexpr int done = 0;
constexpr int failed = 1;  // with an Error
constexpr int other_exception = 2;

// What `act` makes of a process of its own: its exit code, or -1 when a signal ended it.
template <typename Act>
int in_a_child(const Act& act) {
  const pid_t child = ::fork();
  if (child == 0) {
    try {
      act();
    } catch (const Error&) {
      std::_Exit(failed);
    } catch (const std::exception& exception) {
      std::fprintf(stderr, "in the child: %s\n", exception.what());
      std::_Exit(other_exception);
    }
    std::_Exit(done);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

class MemoryFileTest : public testing::Test {
 protected:
  void SetUp() override {
    const testing::TestInfo& info = *testing::UnitTest::GetInstance()->current_test_info();
    folder_ = fs::temp_directory_path() / ("lookback_" + std::string(info.name()) + std::to_string(::getpid()));
    fs::create_directories(folder_ / "real");
  }
  void TearDown() override {
    fs::permissions(folder_ / "real", fs::perms::owner_all, fs::perm_options::add);
    fs::remove_all(folder_);
  }
  fs::path path() const { return folder_ / "real" / "books.memory"; }

  void add(const fs::path& to, std::uint64_t seed, std::int64_t blocks = 2) const {
    MemoryWriter writer(to, format_);
    write_seeded(writer, format_, seed, blocks, 5);
    writer.commit();
  }
  void remove_first(const fs::path& from) const {
    MemoryWriter writer(from, format_);
    writer.remove_document(writer.documents().front().id);
    writer.commit();
  }
  fs::path old_file() const {
    const fs::path copy = folder_ / "old.memory";
    fs::copy_file(fs::path(LOOKBACK_SOURCE_DIR) / "tests/fixtures/memory/version_0_1.memory", copy,
                  fs::copy_options::overwrite_existing);
    return copy;
  }

  fs::path folder_;
  MemoryFormat format_ = small_format();
};

// A reader holds one name while other processes write by others: no document of a finished add is lost, and the
// reader's state stays, although pages that others no longer use are written to again.
TEST_F(MemoryFileTest, OneFileIsOneMemoryUnderAllItsNames) {
  add(path(), 1);
  fs::create_symlink(path(), folder_ / "link.memory");
  fs::create_hard_link(path(), folder_ / "hard.memory");
  fs::create_directory_symlink(folder_ / "real", folder_ / "folder");
  const std::vector<fs::path> names = {path(), folder_ / "link.memory", folder_ / "hard.memory",
                                       folder_ / "folder" / "books.memory"};
  std::vector<std::unique_ptr<StoredMemory>> readers;
  std::uint64_t seed = 1;
  for (int round = 0; round < 3; ++round) {
    for (const fs::path& name : names) {
      readers.push_back(std::make_unique<StoredMemory>(name));
      ++seed;
      ASSERT_EQ(in_a_child([&] { add(names[seed % names.size()], seed); }), done);
      if (seed % 2 == 0) {
        ASSERT_EQ(in_a_child([&] { remove_first(names[(seed + 1) % names.size()]); }), done);
      }
      for (const auto& reader : readers) ASSERT_TRUE(holds_what_was_written(*reader)) << name << ", " << seed;
    }
  }
  for (const fs::path& name : names) {
    const StoredMemory memory(name);
    ASSERT_EQ(memory.documents().size(), 7U);
    EXPECT_EQ(memory.documents().back().name, std::to_string(seed));
    EXPECT_TRUE(holds_what_was_written(memory));
  }
}

TEST_F(MemoryFileTest, ASecondWriterIsRefusedUnderEveryName) {
  add(path(), 1);
  fs::create_symlink(path(), folder_ / "link.memory");
  fs::create_hard_link(path(), folder_ / "hard.memory");
  const MemoryWriter writer(path(), format_);
  for (const char* name : {"link.memory", "hard.memory"}) {
    EXPECT_THAT([&] { MemoryWriter(folder_ / name, format_); },
                ThrowsMessage<Error>(HasSubstr("another process is writing to it")));
    EXPECT_EQ(in_a_child([&] { MemoryWriter(folder_ / name, format_); }), failed);
  }
}

TEST_F(MemoryFileTest, CopiedAndMovedFilesGoOnByThemselves) {
  add(path(), 1);
  const StoredMemory reader(path());
  const MemoryWriter writer(path(), format_);
  const fs::path copy = folder_ / "copy.memory";
  fs::copy_file(path(), copy);
  add(copy, 2);
  EXPECT_TRUE(holds_what_was_written(StoredMemory(copy)));
  EXPECT_EQ(StoredMemory(path()).documents().size(), 1U);
  fs::rename(path(), folder_ / "moved.memory");
  EXPECT_THAT([&] { add(folder_ / "moved.memory", 3); },
              ThrowsMessage<Error>(HasSubstr("another process is writing to it")));
  EXPECT_TRUE(holds_what_was_written(reader));
}

TEST_F(MemoryFileTest, AFileThatIsReplacedServesItsReadersAndRefusesItsWriter) {
  add(path(), 1);
  add(folder_ / "other.memory", 2);
  const StoredMemory reader(path());
  MemoryWriter writer(path(), format_);
  fs::rename(folder_ / "other.memory", path());
  add(path(), 3);
  EXPECT_TRUE(holds_what_was_written(reader));
  EXPECT_EQ(reader.documents().front().name, "1");
  write_seeded(writer, format_, 4, 1, 1);
  EXPECT_THAT([&] { writer.commit(); }, ThrowsMessage<Error>(HasSubstr("was removed or replaced")));
  EXPECT_EQ(StoredMemory(path()).documents().size(), 2U);
}

TEST_F(MemoryFileTest, ReadingNeedsTheRightToReadAndNoMore) {
  add(path(), 1);
  ASSERT_EQ(::chmod(folder_.c_str(), 0755), 0);
  ASSERT_EQ(::chmod(path().c_str(), 0444), 0);
  ASSERT_EQ(::chmod((folder_ / "real").c_str(), 0555), 0);
  constexpr uid_t nobody = 65534;
  const int code = in_a_child([&] {
    if (::getuid() == 0) require(::setuid(nobody) == 0, "setuid");
    const StoredMemory memory(path());
    memory.verify();
    require(holds_what_was_written(memory), "other content");
    try {
      MemoryWriter(path(), format_);
    } catch (const Error& error) {
      require(std::string(error.what()).find("cannot write to") != std::string::npos, "another error");
      return;
    }
    fail("a file that may only be read was opened for writing");
  });
  EXPECT_EQ(code, done);
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_ / "real"), {}), 1) << "a file beside the memory";
}

#ifndef __SANITIZE_ADDRESS__  // its shadow alone takes more than any such limit
TEST_F(MemoryFileTest, ItNeedsNoMoreAddressSpaceThanItsSize) {
  add(path(), 1);
  const int code = in_a_child([&] {
    std::int64_t pages = 0;
    std::ifstream("/proc/self/statm") >> pages;
    const auto bytes = static_cast<rlim_t>(pages * ::sysconf(_SC_PAGESIZE)) + (rlim_t{64} << 20);
    const rlimit limit{bytes, bytes};
    require(::setrlimit(RLIMIT_AS, &limit) == 0, "setrlimit");
    for (std::uint64_t seed = 2; seed < 40; ++seed) add(path(), seed);
    require(holds_what_was_written(StoredMemory(path())), "other content");
  });
  EXPECT_EQ(code, done);
}
#endif

// Of a reader that is killed nothing stays: what only it read is written to again.
TEST_F(MemoryFileTest, AKilledReaderDoesNotLetTheFileGrow) {
  add(path(), 0, 20);
  const auto replace_all = [&](std::uint64_t seed) {
    add(path(), seed, 20);
    remove_first(path());
  };
  for (std::uint64_t seed = 1; seed < 4; ++seed) replace_all(seed);
  const std::uintmax_t bytes_alone = fs::file_size(path());
  int pipe[2];
  ASSERT_EQ(::pipe(pipe), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    const StoredMemory reader(path());
    const char ready = 1;
    if (::write(pipe[1], &ready, 1) != 1) std::_Exit(failed);
    while (true) ::pause();
  }
  char ready = 0;
  ASSERT_EQ(::read(pipe[0], &ready, 1), 1);
  for (std::uint64_t seed = 4; seed < 7; ++seed) replace_all(seed);
  const std::uintmax_t bytes_while_read = fs::file_size(path());
  EXPECT_GT(bytes_while_read, bytes_alone) << "what is being read was written over";
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  for (std::uint64_t seed = 7; seed < 20; ++seed) replace_all(seed);
  EXPECT_EQ(fs::file_size(path()), bytes_while_read);
  EXPECT_TRUE(holds_what_was_written(StoredMemory(path())));
}

TEST_F(MemoryFileTest, ManyThreadsReadWhileItIsWritten) {
  add(path(), 1);
  std::atomic<bool> stop = false;
  std::atomic<int> num_reads = 0;
  std::atomic<int> num_wrong = 0;
  const StoredMemory shared(path());
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      while (!stop) {
        try {
          const StoredMemory own(path());
          if (!holds_what_was_written(own) || !holds_what_was_written(shared)) ++num_wrong;
        } catch (const Error& error) {
          ADD_FAILURE() << error.what();
          ++num_wrong;
        }
        ++num_reads;
      }
    });
  }
  {
    MemoryWriter writer(path(), format_);
    for (std::uint64_t seed = 2; seed < 100 || num_reads < 40; ++seed) {
      write_seeded(writer, format_, seed, 2, 3);
      if (seed % 3 != 0) writer.remove_document(writer.documents().front().id);
      writer.commit();
    }
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(num_wrong, 0);
  EXPECT_TRUE(holds_what_was_written(StoredMemory(path())));
}

// Random changes against a plain list of what should be there, with readers that hold older states.
TEST_F(MemoryFileTest, EveryStateIsWhatWasCommitted) {
  Random random(7);
  std::vector<std::string> committed;
  std::deque<std::pair<std::unique_ptr<StoredMemory>, std::vector<std::string>>> readers;
  const auto names = [](const StoredMemory& memory) {
    std::vector<std::string> names;
    for (const MemoryDocument& document : memory.documents()) names.push_back(document.name);
    return names;
  };
  std::uint64_t seed = 0;
  for (int opening = 0; opening < 40; ++opening) {
    MemoryWriter writer(path(), format_);
    std::vector<std::string> now = committed;
    for (int step = 0; step < 30; ++step) {
      const std::uint64_t choice = random.below(10);
      if (choice < 4) {
        write_seeded(writer, format_, ++seed, 1 + static_cast<std::int64_t>(random.below(3)),
                     1 + static_cast<std::int64_t>(random.below(12)));
        now.push_back(std::to_string(seed));
      } else if (choice < 7 && !now.empty()) {
        const std::size_t place = random.below(now.size());
        writer.remove_document(writer.documents()[place].id);
        now.erase(now.begin() + static_cast<std::ptrdiff_t>(place));
      } else if (choice < 9) {
        writer.commit();
        committed = now;
      } else {
        readers.emplace_back(std::make_unique<StoredMemory>(path()), committed);
        if (readers.size() > 5) readers.pop_front();
      }
    }
    for (const auto& [reader, wanted] : readers) {
      ASSERT_EQ(names(*reader), wanted);
      ASSERT_TRUE(holds_what_was_written(*reader));
    }
  }
  const StoredMemory last(path());
  EXPECT_EQ(names(last), committed);
  EXPECT_TRUE(holds_what_was_written(last));
}

// Much more is committed than is there: the catalog is written anew now and then, and the file does not grow.
TEST_F(MemoryFileTest, ManyCommitsTakeTheSpaceOfFew) {
  {
    MemoryWriter writer(path(), format_);
    for (std::uint64_t seed = 0; seed < 700; ++seed) {
      write_seeded(writer, format_, seed, 1, 1);
      if (seed >= 5) writer.remove_document(writer.documents().front().id);
      writer.commit();
    }
  }
  EXPECT_LT(fs::file_size(path()), 1'000'000U);
  const StoredMemory memory(path());
  EXPECT_EQ(memory.documents().size(), 5U);
  EXPECT_TRUE(holds_what_was_written(memory));
}

// Documents as the file's writer made them: their seeds are their ids.
void expect_old_document(const StoredMemory& memory, std::size_t index, std::int64_t first_chunk,
                         const MemoryDocument& wanted) {
  ASSERT_EQ(memory.documents()[index], wanted);
  const ChunkBlock chunks = random_block(memory.format(), wanted.id, 0, wanted.num_chunks);
  for (std::int64_t i = 0; i < wanted.num_chunks; ++i) {
    const auto stored = memory.chunk(first_chunk + i);
    ASSERT_TRUE(stored->key.equal(chunks.key[i]) && stored->value.equal(chunks.value[i])) << i;
    ASSERT_TRUE(memory.landmarks()[first_chunk + i].equal(chunks.landmarks[i]));
    ASSERT_TRUE(at::tensor(memory.origin(first_chunk + i).token_ids, at::kLong).equal(chunks.token_ids[i]));
  }
}

const MemoryDocument old_first{0, "first", "source of first", 12, 60, 84, true};
const MemoryDocument old_many{2, "many blocks", "source of many blocks", 40, 200, 280, true};
const MemoryDocument old_unfinished{3, "unfinished", "1234 bytes, 5678 ns", 2, 10, 14, false};

// The fixture was written by lookback 0.1 with LMDB's library.
TEST_F(MemoryFileTest, AFileOfLookback01IsReadAndGoesOn) {
  const fs::path old = old_file();
  const StoredMemory before(old);
  EXPECT_EQ(before.format(), format_);
  ASSERT_EQ(before.documents().size(), 3U);
  const auto expect_before = [&] {
    expect_old_document(before, 0, 0, old_first);
    expect_old_document(before, 1, 12, old_many);
    expect_old_document(before, 2, 52, old_unfinished);
    before.verify();
  };
  expect_before();
  const std::string bytes = read_file(old);
  {
    const MemoryWriter nothing(old, format_);
  }
  EXPECT_EQ(read_file(old), bytes) << "opened for writing, nothing written";
  for (int round = 0; round < 4; ++round) {
    MemoryWriter writer(old, format_);
    if (round == 0) {
      writer.append(3, encode_block(random_block(format_, 3, 2, 3), format_), 15, 21);
      writer.finish_document(3);
    } else if (round == 1) {
      writer.remove_document(2);
    }
    write_document(writer, format_, "new " + std::to_string(round), 4, 4);
    writer.commit();
    expect_before();
  }
  const StoredMemory after(old);
  ASSERT_EQ(after.documents().size(), 6U);
  expect_old_document(after, 0, 0, old_first);
  expect_old_document(after, 1, 12, {3, "unfinished", "1234 bytes, 5678 ns", 5, 25, 35, true});
  expect_old_document(after, 5, 17 + 3 * 16, {7, "new 3", "source of new 3", 16, 80, 112, true});
  after.verify();
  EXPECT_EQ(merge_memories({old}, folder_ / "merged.memory", {}).num_documents, 6);
}

// A writer that fails at any point of the first commit leaves the old file as it was.
TEST_F(MemoryFileTest, AFileOfLookback01SurvivesAFullDisk) {
  const std::uintmax_t size = fs::file_size(old_file());
  int num_failed = 0;
  for (std::uintmax_t more = 0; more < 60'000; more += 3000) {
    const fs::path old = old_file();
    const int code = in_a_child([&] {
      std::signal(SIGXFSZ, SIG_IGN);
      const rlimit limit{size + more, RLIM_INFINITY};
      ::setrlimit(RLIMIT_FSIZE, &limit);
      MemoryWriter writer(old, format_);
      writer.remove_document(2);
      write_document(writer, format_, "new", 8, 4);
      writer.commit();
    });
    ASSERT_NE(code, -1);
    num_failed += code;
    const StoredMemory memory(old);
    memory.verify();
    expect_old_document(memory, 0, 0, old_first);
    ASSERT_EQ(memory.documents()[1].name, code == failed ? "many blocks" : "unfinished");
    MemoryWriter(old, format_).finish_document(3);
  }
  EXPECT_GT(num_failed, 2);
  EXPECT_LT(num_failed, 20);
}

// Whatever fits on the disk: a change is there whole or not at all, and the same change then succeeds.
TEST_F(MemoryFileTest, AFullDiskAtAnyByteLosesNothing) {
  add(path(), 1);
  add(folder_ / "other.memory", 50);
  add(folder_ / "other.memory", 51, 6);
  const std::string before = read_file(path());
  const auto with_limit = [&](std::uintmax_t bytes, const auto& act) {
    write_file_atomic(path(), before);
    return in_a_child([&] {
      std::signal(SIGXFSZ, SIG_IGN);
      const rlimit limit{bytes, RLIM_INFINITY};
      ::setrlimit(RLIMIT_FSIZE, &limit);
      act();
    });
  };
  const std::vector<std::pair<std::function<void()>, std::size_t>> changes = {
      {[&] { add(path(), 2, 4); }, 2},
      {[&] { remove_first(path()); }, 0},
      {[&] { merge_memories({folder_ / "other.memory"}, path(), {}); }, 3}};
  for (const auto& [change, num_documents] : changes) {
    int num_failed = 0;
    for (std::uintmax_t bytes = before.size(); bytes < before.size() + 60'000; bytes += 1500) {
      const int code = with_limit(bytes, change);
      ASSERT_NE(code, -1) << bytes;
      num_failed += code;
      const StoredMemory memory(path());
      ASSERT_TRUE(holds_what_was_written(memory));
      ASSERT_EQ(memory.documents().size(), code == failed ? 1U : num_documents);
    }
    EXPECT_LT(num_failed, 40) << "it fits in the end";
    EXPECT_TRUE(num_failed > 0 || num_documents == 0);
    write_file_atomic(path(), before);
    ASSERT_EQ(in_a_child(change), done);
    ASSERT_TRUE(holds_what_was_written(StoredMemory(path())));
  }
  // A file that is made: nothing of it is there, or all.
  for (std::uintmax_t bytes = 0; bytes < 40'000; bytes += 1000) {
    fs::remove(path());
    const int code = in_a_child([&] {
      std::signal(SIGXFSZ, SIG_IGN);
      const rlimit limit{bytes, RLIM_INFINITY};
      ::setrlimit(RLIMIT_FSIZE, &limit);
      add(path(), 9, 1);
    });
    ASSERT_NE(code, -1);
    if (code == failed) add(path(), 9, 1);
    const StoredMemory memory(path());
    ASSERT_EQ(memory.documents().size(), 1U) << bytes;
    ASSERT_TRUE(holds_what_was_written(memory));
  }
}

TEST_F(MemoryFileTest, WhatIsNoPlainFileIsRefused) {
  ASSERT_EQ(::mkfifo((folder_ / "pipe").c_str(), 0600), 0);
  EXPECT_THAT([&] { StoredMemory(folder_ / "pipe"); }, ThrowsMessage<Error>(HasSubstr("is no plain file")));
  EXPECT_THAT([&] { MemoryWriter(folder_ / "pipe", format_); }, ThrowsMessage<Error>(HasSubstr("is no plain file")));
  EXPECT_THAT([&] { StoredMemory("/dev/null"); }, ThrowsMessage<Error>(HasSubstr("is no plain file")));
}

TEST_F(MemoryFileTest, AFileWhoseWriterDiedBeforeItsFirstCommitIsBegunAnew) {
  for (const std::size_t bytes : {0, 100, 8192, 12'288}) {
    write_file_atomic(path(), std::string(bytes, '\0'));
    EXPECT_THAT([this] { StoredMemory{path()}; }, ThrowsMessage<Error>(HasSubstr("it is no memory of lookback")));
    add(path(), 1);
    EXPECT_TRUE(holds_what_was_written(StoredMemory(path())));
  }
}

}  // namespace
}  // namespace lookback
