// The approximate search of a memory file: what its report says, and which files are refused.
#include "ingest/memory_index.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <algorithm>

#include "core/error.h"
#include "core/files.h"
#include "core/random.h"
#include "ingest/build_memory.h"
#include "ingest/byte_model.h"
#include "ingest/open_memory.h"
#include "lookback/stop.h"
#include "models/drt/drt_config.h"
#include "models/fingerprint.h"
#include "models/sequence_batch.h"
#include "retrieval/approximate_index.h"
#include "retrieval/exact_index.h"

namespace lookback {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::ThrowsMessage;

class MemoryIndexTest : public testing::Test {
 protected:
  void SetUp() override {
    // Faiss is optional; ./dev installs it, so that these run in every check.
    if (!has_approximate_index()) GTEST_SKIP() << "built without Faiss";
    fs::create_directories(folder_);
    model_->parameters().freeze(at::kFloat);
    Random random(1);
    std::string text;
    for (int i = 0; i < 9000; ++i) text.push_back(static_cast<char>('a' + random.below(26)));
    write_file_atomic(folder_ / "a.txt", text);
    add("a.txt");
  }
  void TearDown() override { fs::remove_all(folder_); }

  void add(const std::string& name) {
    BuildMemoryConfig config;
    config.inputs = {folder_ / name};
    config.out = path_;
    config.num_threads = 1;
    build_memory(config, *model_, at::kFloat, model_fingerprint(*model_), *tokenizer_, {});
  }
  static OpenedMemoryIndex open_index(const StoredMemory& memory, std::int64_t num_probes) {
    return open_memory_index(memory, landmarks_fingerprint(memory, memory.num_chunks()), num_probes);
  }
  OpenedMemories open_to_search_approximately(std::int64_t num_probes) const {
    MemoryOptions options;
    options.search_approximately = true;
    options.num_probes = num_probes;
    return open_memories({path_.string()}, options, *model_, model_fingerprint(*model_), tokenizer_.get());
  }
  MemoryIndexReport make_index(const MemoryIndexConfig& config = {}) {
    return build_memory_index(StoredMemory(path_), *model_, config, {});
  }

  const fs::path folder_ = fs::temp_directory_path() / ("lookback_index" + std::to_string(::getpid()));
  const fs::path path_ = folder_ / "a.memory";
  const std::unique_ptr<Model> model_ = make_model(byte_model_config(), at::kCPU, 5);
  const std::unique_ptr<Tokenizer> tokenizer_ = load_tokenizer("bytes");
};

TEST_F(MemoryIndexTest, TheReportIsWhatTheSearchDoes) {
  MemoryIndexConfig config;
  config.num_lists = 32;
  const MemoryIndexReport report = make_index(config);
  const StoredMemory memory(path_);
  EXPECT_EQ(report.num_chunks, memory.num_chunks());
  // Each upper group asks once for each chunk of each piece.
  const ModelConfig& model = model_->config();
  EXPECT_EQ(report.num_queries, model.own<DrtConfig>().num_upper_groups() * 32 * 16);
  ASSERT_EQ(report.searches.size(), 6U);
  EXPECT_EQ(report.searches.back().num_probes, 32);
  EXPECT_EQ(report.searches.back().recall, 1) << "all lists are all chunks";
  EXPECT_NEAR(report.searches.back().weight, 1, 1e-9);
  for (std::size_t i = 1; i < report.searches.size(); ++i) {
    EXPECT_GE(report.searches[i].recall, report.searches[i - 1].recall);
    EXPECT_EQ(report.searches[i].num_probes, 2 * report.searches[i - 1].num_probes);
  }
  EXPECT_LT(report.searches.front().recall, 0.9);
  for (const SearchQuality& search : report.searches) {
    if (search.num_probes < report.num_probes) {
      EXPECT_LT(search.recall, 0.95);
    } else {
      EXPECT_GE(search.recall, 0.95);
    }
  }
  EXPECT_EQ(open_index(memory, 0).quality.num_probes, report.num_probes);
  EXPECT_EQ(open_index(memory, 3).quality.num_probes, 2) << "the last one measured below";
}

TEST_F(MemoryIndexTest, SessionsSearchingAllListsRetrieveTheSame) {
  const std::int64_t num_lists = make_index().num_lists;
  const auto memory = std::make_shared<StoredMemory>(path_);
  const at::Tensor ids = at::randint(97, 123, {1, 60}, at::kLong);
  std::vector<at::Tensor> hidden;
  for (const auto& index : {std::shared_ptr<const LandmarkIndex>(open_index(*memory, num_lists).index),
                            std::shared_ptr<const LandmarkIndex>(open_index(*memory, 1).index)}) {
    hidden.push_back(SequenceBatch(*model_, 1, make_memory_set({{memory, index}})).append(ids));
  }
  const at::Tensor expected =
      SequenceBatch(*model_, 1, make_memory_set({search_exactly(memory, at::kCPU)})).append(ids);
  const OpenedMemories opened = open_to_search_approximately(num_lists);
  ASSERT_EQ(opened.qualities.size(), 1U);
  EXPECT_EQ(opened.qualities[0].num_probes, open_index(*memory, num_lists).quality.num_probes);
  hidden.push_back(SequenceBatch(*model_, 1, opened.set).append(ids));
  EXPECT_TRUE(hidden[2].equal(hidden[0]));
  EXPECT_TRUE(hidden[0].allclose(expected, 1e-5, 1e-5));
  EXPECT_FALSE(hidden[1].allclose(expected, 1e-5, 1e-5)) << "one list is not enough: the test can fail";
}

TEST_F(MemoryIndexTest, AnIndexOfAnotherStateIsRefused) {
  EXPECT_THAT([&] { open_index(StoredMemory(path_), 0); },
              ThrowsMessage<Error>(HasSubstr("make it with `lookback memory index")));
  make_index();
  write_file_atomic(folder_ / "b.txt", "one more document");
  add("b.txt");
  EXPECT_THAT([&] { open_index(StoredMemory(path_), 0); },
              ThrowsMessage<Error>(testing::AllOf(HasSubstr("a.memory.index"), HasSubstr("has changed since"))));
  EXPECT_THAT([&] { open_to_search_approximately(0); }, ThrowsMessage<Error>(HasSubstr("has changed since")));
  const MemoryIndexReport report = make_index();
  EXPECT_THAT([&] { open_index(StoredMemory(path_), report.num_lists + 1); },
              ThrowsMessage<Error>(HasSubstr("a.memory.index: probes")));
}

TEST_F(MemoryIndexTest, LandmarksHaveTheSameFingerprintHoweverTheyAreRead) {
  const StoredMemory memory(path_);
  for (const std::int64_t at_a_time : {1, 100, 100'000}) {
    LandmarksFingerprint read;
    for (std::int64_t first = 0; first < memory.num_chunks(); first += at_a_time) {
      read.take(memory.landmarks(), first, std::min(at_a_time, memory.num_chunks() - first));
    }
    EXPECT_EQ(read.value(), landmarks_fingerprint(memory, memory.num_chunks())) << at_a_time;
  }
}

TEST_F(MemoryIndexTest, DamagedAndForeignFilesAreRefused) {
  make_index();
  const fs::path file = memory_index_path(path_);
  const std::string whole = read_file(file);
  Random random(3);
  for (int i = 0; i < 40; ++i) {
    std::string flipped = whole;
    const std::size_t place = random.below(whole.size());
    if (whole[place] == ' ') continue;  // behind the header nothing is lost
    flipped[place] = static_cast<char>(flipped[place] ^ (1 << random.below(8)));
    write_file_atomic(file, flipped);
    EXPECT_THROW(open_index(StoredMemory(path_), 0), Error) << place;
    write_file_atomic(file, whole.substr(0, place));
    EXPECT_THROW(open_index(StoredMemory(path_), 0), Error) << place;
  }
  write_file_atomic(file, "no index");
  EXPECT_THAT([&] { open_index(StoredMemory(path_), 0); }, ThrowsMessage<Error>(HasSubstr("a.memory.index")));
}

TEST_F(MemoryIndexTest, SmallMemoriesAndStopsLeaveNoFile) {
  const StoredMemory memory(path_);
  StopSource stop;
  std::vector<std::string> steps;
  const auto stop_soon = [&](const char* step) {
    steps.emplace_back(step);
    if (steps.size() == 3) stop.request_stop();
  };
  EXPECT_THROW(build_memory_index(memory, *model_, {}, stop_soon, stop.token()), Interrupted);
  EXPECT_EQ(steps.size(), 3U);
  MemoryIndexConfig many;
  many.num_lists = memory.num_chunks() + 1;
  EXPECT_THAT([&] { make_index(many); }, ThrowsMessage<Error>(HasSubstr("lists")));
  fs::remove(path_);
  write_file_atomic(folder_ / "c.txt", "a short text");
  add("c.txt");
  EXPECT_THAT([&] { make_index(); }, ThrowsMessage<Error>(HasSubstr("needs no index")));
  EXPECT_FALSE(fs::exists(memory_index_path(path_)));
}

}  // namespace
}  // namespace lookback
