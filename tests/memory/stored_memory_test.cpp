#include "memory/stored_memory.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <numeric>

#include "core/error.h"
#include "core/files.h"
#include "lookback/stop.h"
#include "memory/memory_blocks.h"
#include "memory/merge_memories.h"

namespace lookback {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::ThrowsMessage;

class StoredMemoryTest : public testing::Test {
 protected:
  void SetUp() override {
    const testing::TestInfo& info = *testing::UnitTest::GetInstance()->current_test_info();
    folder_ = fs::temp_directory_path() / ("lookback_" + std::string(info.name()) + std::to_string(::getpid()));
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }
  fs::path path() const { return folder_ / "books.memory"; }

  // Two documents, of 3 blocks and of one.
  void write_two() const {
    MemoryWriter writer(path(), format_);
    write_document(writer, format_, "first", 3, 4);
    write_document(writer, format_, "second", 1, 2);
    writer.commit();
  }

  fs::path folder_;
  MemoryFormat format_ = small_format();
};

// Chunk `chunk` of the memory is chunk `index` of document `document`.
void expect_chunk(const StoredMemory& memory, std::int64_t chunk, std::uint64_t document, std::int64_t index) {
  const ChunkBlock wanted = random_block(memory.format(), document, index, 1);
  const auto stored = memory.chunk(chunk);
  EXPECT_TRUE(stored->key.equal(wanted.key[0]));
  EXPECT_TRUE(stored->value.equal(wanted.value[0]));
  EXPECT_TRUE(memory.landmarks()[chunk].equal(wanted.landmarks[0]));
  const ChunkOrigin origin = memory.origin(chunk);
  EXPECT_EQ(origin.document, document);
  EXPECT_EQ(origin.chunk, index);
  EXPECT_EQ(origin.text_begin, wanted.text_begins[0]);
  EXPECT_TRUE(at::tensor(origin.token_ids, at::kLong).equal(wanted.token_ids[0]));
}

TEST_F(StoredMemoryTest, GivesBackWhatWasWritten) {
  write_two();
  const StoredMemory memory(path());
  EXPECT_EQ(memory.format(), format_);
  ASSERT_EQ(memory.num_chunks(), 14);
  ASSERT_EQ(memory.documents().size(), 2U);
  EXPECT_EQ(memory.documents()[0], (MemoryDocument{0, "first", "source of first", 12, 60, 84, true}));
  EXPECT_EQ(memory.documents()[1], (MemoryDocument{1, "second", "source of second", 2, 10, 14, true}));
  for (std::int64_t chunk = 0; chunk < 12; ++chunk) expect_chunk(memory, chunk, 0, chunk);
  for (std::int64_t chunk = 12; chunk < 14; ++chunk) expect_chunk(memory, chunk, 1, chunk - 12);
  memory.verify();
}

// Each landmark once, in their order, when it is there: what is made of them needs no second pass.
TEST_F(StoredMemoryTest, LandmarksAreSeenOnceAsTheyAreRead) {
  std::vector<std::int64_t> counts;
  std::vector<at::Tensor> seen;
  const auto visit = [&](const at::Tensor& landmarks, std::int64_t first, std::int64_t count) {
    EXPECT_EQ(first, std::accumulate(counts.begin(), counts.end(), std::int64_t{0}));
    counts.push_back(count);
    seen.push_back(landmarks.narrow(0, first, count).clone());
  };
  {
    MemoryWriter writer(path(), format_);
    write_document(writer, format_, "long", 50, 100);
    write_document(writer, format_, "short", 1, 2);
    writer.commit();
  }
  const StoredMemory memory(path(), visit);
  EXPECT_THAT(counts, testing::ElementsAre(4100, 902));
  EXPECT_TRUE(at::cat(seen).narrow(0, 0, 5000).equal(random_block(format_, 0, 0, 5000).landmarks));
  EXPECT_TRUE(at::cat(seen).narrow(0, 5000, 2).equal(random_block(format_, 1, 0, 2).landmarks));
}

TEST_F(StoredMemoryTest, RoundedElementsAreAsNearAsTheirTypeAllows) {
  for (const auto& [elements, relative] :
       {std::pair{MemoryElements::bfloat16, 1.0 / 256}, {MemoryElements::int8, 0.0}}) {
    const MemoryFormat format = small_format(elements);
    const fs::path file = folder_ / memory_elements_name(elements);
    ChunkBlock block = random_block(format, 0, 0, 3);
    block.key[1][2][1].zero_();
    {
      MemoryWriter writer(file, format);
      const std::uint64_t id = writer.begin_document("rounded", "");
      writer.append(id, encode_block(block, format), 15, 21);
      writer.finish_document(id);
      writer.commit();
    }
    const StoredMemory memory(file);
    for (std::int64_t chunk = 0; chunk < 3; ++chunk) {
      at::Tensor key = at::empty({4, 2, 8});
      at::Tensor value = at::empty({4, 2, 8});
      memory.chunk(chunk)->widen_to(key, value);
      for (const auto& [found, wanted] : {std::pair{key, block.key[chunk]}, {value, block.value[chunk]}}) {
        // int8: half a step of 1/127 of the row's largest, and its own rounding.
        const at::Tensor bound =
            elements == MemoryElements::int8 ? wanted.abs().amax(-1, true) * (0.5001 / 127) : wanted.abs() * relative;
        EXPECT_TRUE((found - wanted).abs().le(bound).all().item<bool>());
      }
    }
    memory.verify();
  }
}

TEST_F(StoredMemoryTest, WhatIsNotCommittedIsNotThere) {
  {
    MemoryWriter writer(path(), format_);
    write_document(writer, format_, "kept", 1, 1);
    writer.commit();
    write_document(writer, format_, "lost", 1, 1);
  }
  const StoredMemory memory(path());
  ASSERT_EQ(memory.documents().size(), 1U);
  EXPECT_EQ(memory.documents()[0].name, "kept");
}

TEST_F(StoredMemoryTest, AnUnfinishedDocumentGoesOn) {
  std::uint64_t id = 0;
  {
    MemoryWriter writer(path(), format_);
    id = writer.begin_document("long", "");
    writer.append(id, encode_block(random_block(format_, id, 0, 2), format_), 10, 14);
    writer.commit();
  }
  {
    MemoryWriter writer(path(), format_);
    ASSERT_EQ(writer.documents().size(), 1U);
    EXPECT_FALSE(writer.documents()[0].finished);
    EXPECT_EQ(writer.documents()[0].num_chunks, 2);
    writer.append(id, encode_block(random_block(format_, id, 2, 1), format_), 5, 7);
    writer.finish_document(id);
    writer.commit();
    EXPECT_THAT([&] { writer.append(id, encode_block(random_block(format_, id, 3, 1), format_), 5, 7); },
                ThrowsMessage<Error>(HasSubstr("document 0 is finished")));
  }
  const StoredMemory memory(path());
  ASSERT_EQ(memory.num_chunks(), 3);
  for (std::int64_t chunk = 0; chunk < 3; ++chunk) expect_chunk(memory, chunk, id, chunk);
}

TEST_F(StoredMemoryTest, AReaderKeepsItsSnapshotWhileAWriterGoesOn) {
  write_two();
  const StoredMemory before(path());
  {
    MemoryWriter writer(path(), format_);
    writer.remove_document(0);
    write_document(writer, format_, "third", 2, 3);
    writer.commit();
    EXPECT_THAT([&] { writer.remove_document(0); }, ThrowsMessage<Error>(HasSubstr("holds no document 0")));
  }
  ASSERT_EQ(before.num_chunks(), 14);
  for (std::int64_t chunk = 0; chunk < 12; ++chunk) expect_chunk(before, chunk, 0, chunk);
  const StoredMemory after(path());
  ASSERT_EQ(after.num_chunks(), 8);
  expect_chunk(after, 0, 1, 0);
  expect_chunk(after, 7, 2, 5);
}

TEST_F(StoredMemoryTest, ASecondWriterIsRefused) {
  const MemoryWriter writer(path(), format_);
  EXPECT_THAT([&] { MemoryWriter(path(), format_); },
              ThrowsMessage<Error>(HasSubstr("another process is writing to it")));
}

TEST_F(StoredMemoryTest, AnotherModelIsRefusedByName) {
  write_two();
  MemoryFormat other = format_;
  other.model_fingerprint = "ffffffffffffffff";
  EXPECT_THAT([&] { MemoryWriter(path(), other); },
              ThrowsMessage<Error>(HasSubstr("was made with model_fingerprint \"0123456789abcdef\"")));
}

TEST_F(StoredMemoryTest, WhatIsNoMemoryIsRefused) {
  const auto opening = [this] { return [this] { StoredMemory{path()}; }; };
  EXPECT_THAT(opening(), ThrowsMessage<Error>(HasSubstr("there is no such memory")));
  EXPECT_THAT([this] { StoredMemory{folder_}; }, ThrowsMessage<Error>(HasSubstr("is a folder")));
  write_file_atomic(path(), std::string(10'000, 'x'));
  EXPECT_THAT(opening(), ThrowsMessage<Error>(HasSubstr("it is no memory of lookback")));
  EXPECT_THAT([this] { MemoryWriter(path(), format_); },
              ThrowsMessage<Error>(HasSubstr("it is no memory of lookback")));
  EXPECT_EQ(read_file(path()), std::string(10'000, 'x'));
}

TEST_F(StoredMemoryTest, ANewerVersionIsRefused) {
  {
    MemoryFile file(path(), MemoryFile::Mode::write);
    Json format = to_json(format_);
    format["version"] = 2;
    CatalogChange catalog;
    catalog.number = 1;
    catalog.format = format.dump();
    commit_catalog(file, catalog);
  }
  EXPECT_THAT([this] { StoredMemory{path()}; }, ThrowsMessage<Error>(HasSubstr("version 2, this program knows 1")));
  EXPECT_THAT([this] { MemoryWriter(path(), format_); }, ThrowsMessage<Error>(HasSubstr("use a newer lookback")));
}

TEST_F(StoredMemoryTest, EveryTruncationIsRefused) {
  write_two();
  const std::string whole = read_file(path());
  for (std::size_t size = 4096; size < whole.size(); size += 4096) {
    write_file_atomic(path(), whole.substr(0, size));
    EXPECT_THROW(StoredMemory(path()).verify(), Error) << size;
  }
}

// What is changed is found by its bytes.
TEST_F(StoredMemoryTest, AFlippedBitIsFoundWhereItIsRead) {
  const MemoryFormat format = small_format();
  {
    MemoryWriter writer(path(), format);
    write_document(writer, format, "large", 4, 40);
    writer.commit();
  }
  const std::string whole = read_file(path());
  const auto place_of = [&](const at::Tensor& tensor) {
    const auto* const begin = static_cast<const char*>(tensor.const_data_ptr());
    return whole.find(std::string(begin, begin + tensor.nbytes()));
  };
  const ChunkBlock block = random_block(format, 0, 50, 1);
  const auto with_flip = [&](std::size_t place) {
    ASSERT_NE(place, std::string::npos);
    std::string flipped = whole;
    flipped[place + 17] = static_cast<char>(flipped[place + 17] ^ 4);
    write_file_atomic(path(), flipped);
  };
  with_flip(place_of(block.key[0]));
  const StoredMemory memory(path());
  memory.chunk(49);
  EXPECT_THAT([&] { memory.chunk(50); }, ThrowsMessage<Error>(HasSubstr("chunk 50 of document 0 is damaged")));
  EXPECT_THAT([&] { memory.verify(); }, ThrowsMessage<Error>(HasSubstr("chunk 50 of document 0 is damaged")));
  with_flip(place_of(block.landmarks[0]));
  EXPECT_THAT([this] { StoredMemory{path()}; }, ThrowsMessage<Error>(HasSubstr("the checksum of landmarks")));
  with_flip(place_of(block.token_ids[0].to(at::kInt)));
  const StoredMemory with_flipped_text(path());
  EXPECT_THAT([&] { with_flipped_text.origin(50); }, ThrowsMessage<Error>(HasSubstr("the checksum of a text")));
  EXPECT_THAT([&] { with_flipped_text.verify(); }, ThrowsMessage<Error>(HasSubstr("the checksum of a text")));
}

// What the child says through its exit code.
enum ChildResult { refused_and_kept = 0, was_not_refused = 1, lost_something = 2 };

TEST_F(StoredMemoryTest, AFullDiskLosesNothingThatWasCommitted) {
  write_two();
  const pid_t child = ::fork();
  if (child == 0) {
    // A limit on the file's size fails writes as a full disk does, and works everywhere.
    std::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{fs::file_size(path()) + 100'000, RLIM_INFINITY};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    MemoryWriter writer(path(), format_);
    const std::vector<MemoryDocument> before = writer.documents();
    try {
      write_document(writer, format_, "too large", 20, 40);
      writer.commit();
      std::_Exit(was_not_refused);
    } catch (const Error&) {
      if (writer.documents() != before) std::_Exit(lost_something);
    }
    // The writer goes on with what fits.
    writer.remove_document(1);
    writer.commit();
    std::_Exit(writer.documents().size() == 1 ? refused_and_kept : lost_something);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), refused_and_kept);
  const StoredMemory memory(path());
  memory.verify();
  ASSERT_EQ(memory.num_chunks(), 12);
  for (std::int64_t chunk = 0; chunk < 12; ++chunk) expect_chunk(memory, chunk, 0, chunk);
}

TEST_F(StoredMemoryTest, MergedMemoriesHoldAllDocumentsAsTheyWere) {
  write_two();
  const fs::path other = folder_ / "other.memory";
  {
    MemoryWriter writer(other, format_);
    write_document(writer, format_, "to be removed", 1, 1);
    write_document(writer, format_, "third", 2, 3);  // as document 1
    writer.remove_document(0);
    writer.commit();
  }
  const fs::path merged = folder_ / "merged.memory";
  // Stopped after each block, until all is there.
  int num_stops = 0;
  StopSource stop;
  stop.request_stop();
  while (merge_memories({path(), other}, merged, {}, stop.token()).interrupted) ASSERT_LT(++num_stops, 9);
  EXPECT_GE(num_stops, 5);
  const StoredMemory memory(merged);
  memory.verify();
  ASSERT_EQ(memory.documents().size(), 3U);
  EXPECT_EQ(memory.documents()[0], (MemoryDocument{0, "first", "source of first", 12, 60, 84, true}));
  EXPECT_EQ(memory.documents()[2], (MemoryDocument{2, "third", "source of third", 6, 30, 42, true}));
  const StoredMemory third(other);
  ASSERT_EQ(memory.num_chunks(), 20);
  for (std::int64_t chunk = 0; chunk < 12; ++chunk) expect_chunk(memory, chunk, 0, chunk);
  for (std::int64_t chunk = 0; chunk < 6; ++chunk) {
    const auto merged_chunk = memory.chunk(14 + chunk);
    const auto third_chunk = third.chunk(chunk);
    EXPECT_TRUE(merged_chunk->key.equal(third_chunk->key) && merged_chunk->value.equal(third_chunk->value));
    EXPECT_EQ(memory.origin(14 + chunk).token_ids, third.origin(chunk).token_ids);
  }
  EXPECT_EQ(merge_memories({path(), other}, merged, {}).num_known, 3);
}

TEST_F(StoredMemoryTest, MemoriesThatDoNotFitAreNotMerged) {
  write_two();
  const fs::path other = folder_ / "other.memory";
  {
    MemoryWriter writer(other, small_format(MemoryElements::int8));
    write_document(writer, small_format(MemoryElements::int8), "third", 2, 3);
    writer.commit();
  }
  const fs::path out = folder_ / "merged.memory";
  EXPECT_THAT([&] { merge_memories({path(), other}, out, {}); }, ThrowsMessage<Error>(HasSubstr("different models")));
  EXPECT_THAT([&] { merge_memories({path(), other}, other, {}); },
              ThrowsMessage<Error>(HasSubstr("is both merged and written to")));
  const fs::path changed = folder_ / "changed.memory";
  {
    MemoryWriter writer(changed, format_);
    writer.finish_document(writer.begin_document("first", "another file"));
    writer.commit();
  }
  EXPECT_THAT([&] { merge_memories({path(), changed}, folder_ / "third.memory", {}); },
              ThrowsMessage<Error>(HasSubstr("holds another \"first\" than")));
}

TEST_F(StoredMemoryTest, MisuseIsNamed) {
  MemoryWriter writer(path(), format_);
  const std::uint64_t id = writer.begin_document("a", "");
  ChunkBlock block = random_block(format_, id, 0, 2);
  block.landmarks = block.landmarks.narrow(0, 0, 1);
  EXPECT_THAT([&] { encode_block(block, format_); }, ThrowsMessage<Error>(HasSubstr("chunks of other sizes")));
  EXPECT_THAT([&] { writer.append(7, {}, 10, 10); }, ThrowsMessage<Error>(HasSubstr("holds no document 7")));
  EXPECT_THAT([] { parse_memory_elements("float8"); },
              ThrowsMessage<Error>(HasSubstr("expected float32, bfloat16 or int8")));
  writer.commit();
  const StoredMemory memory(path());
  EXPECT_THROW(memory.chunk(0), Error);
}

}  // namespace
}  // namespace lookback
