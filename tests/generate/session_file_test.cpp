// Conversations over several processes: turns, files, and files that are broken or belong to something else.
#include "generate/session_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <functional>

#include "core/error.h"
#include "core/files.h"
#include "core/stop.h"
#include "generate/generator.h"
#include "generate/random_archive.h"
#include "generate/small_models.h"

namespace lookback {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;
namespace fs = std::filesystem;

constexpr double tolerance = 2e-4;

class SessionFileTest : public ::testing::Test {
 protected:
  void SetUp() override { fs::create_directories(folder_); }
  void TearDown() override { fs::remove_all(folder_); }

  std::vector<std::int64_t> some_ids(std::int64_t count, std::uint64_t seed) const {
    const at::Tensor ids = random_ids(model_->config(), 1, count, seed);
    return {ids.const_data_ptr<std::int64_t>(), ids.const_data_ptr<std::int64_t>() + count};
  }
  GenerateConfig greedy(std::int64_t max_new_tokens) const {
    GenerateConfig config;
    config.sampling.greedy = true;
    config.stop.max_new_tokens = max_new_tokens;
    config.segment_tokens = 16;
    return config;
  }
  static std::shared_ptr<const MemorySet> searched(const std::vector<std::shared_ptr<const ChunkArchive>>& archives) {
    std::vector<SearchedArchive> memories;
    for (const auto& archive : archives) memories.push_back(search_exactly(archive, at::kCPU));
    return make_memory_set(memories);
  }
  void save(const TextSession& text) const {
    save_session(file_, text, owner_,
                 std::vector<std::string>(text.memories ? text.memories->memories().size() : 0, "a.memory"));
  }
  TextSession resume(const std::vector<std::shared_ptr<const ChunkArchive>>& memories = {}) const {
    return resume_session(load_session(file_), file_.string(), *model_, at::kFloat, owner_, searched(memories));
  }
  // The greedy token after a text, by the whole forward.
  std::int64_t next_of_whole(const std::vector<std::int64_t>& ids, const EncodedChunks* memory) const {
    ForwardOptions options;
    options.memory = memory;
    const at::Tensor hidden = model_->hidden_states(at::tensor(ids, at::kLong).unsqueeze(0), options);
    return model_->logits(hidden.select(1, hidden.size(1) - 1))
        .narrow(1, 0, model_->config().landmark_id)
        .argmax()
        .item<std::int64_t>();
  }

  const fs::path folder_ = fs::path(::testing::TempDir()) / ("session-file-test-" + std::to_string(::getpid()));
  const fs::path file_ = folder_ / "talk.session";
  const std::unique_ptr<Model> model_ = make_small_model(small_model_cases().at(1).config);
  const SessionOwner owner_{"the model", "the tokenizer"};
};

// Prompt, answer, prompt, ... with a new process for each turn; turns end and begin in the middle of chunks and at
// their ends. Every answer is the whole forward's over all that was said.
TEST_F(SessionFileTest, TurnsGoOnWhereTheFileEnds) {
  const auto archive = std::make_shared<RandomArchive>(model_->config(), 20, 0);
  const EncodedChunks memory = archive->all();
  std::vector<std::int64_t> said;
  save(new_text_session(*model_, at::kFloat, searched({archive})));
  int turn = 0;
  for (const auto& [num_asked, num_answered] :
       std::vector<std::pair<int, int>>{{5, 3}, {8, 8}, {1, 1}, {0, 6}, {200, 4}, {3, 0}, {0, 9}}) {
    SCOPED_TRACE(turn);
    TextSession text = resume({archive});
    EXPECT_EQ(text.ids, said);
    const std::vector<std::int64_t> asked = some_ids(num_asked, 100 + static_cast<std::uint64_t>(turn++));
    const GenerateResult result = generate(*model_, nullptr, text, asked, greedy(num_answered));
    said.insert(said.end(), asked.begin(), asked.end());
    ASSERT_EQ(result.ids.size(), static_cast<std::size_t>(num_answered));
    for (const std::int64_t id : result.ids) {
      EXPECT_EQ(id, next_of_whole(said, &memory)) << said.size();
      said.push_back(id);
    }
    EXPECT_EQ(text.ids, said);
    save(text);
  }
}

TEST_F(SessionFileTest, MemoriesMayGrowButNotShrink) {
  const auto archive = std::make_shared<RandomArchive>(model_->config(), 20, 0);
  const auto grown = std::make_shared<RandomArchive>(model_->config(), 20, 7);
  TextSession text = new_text_session(*model_, at::kFloat, searched({archive, archive}));
  const std::vector<std::int64_t> asked = some_ids(60, 1);
  generate(*model_, nullptr, text, asked, greedy(0));
  save(text);
  // What was retrieved before is at work until the chunk's end, under other numbers now.
  TextSession with_more = resume({grown, grown});
  TextSession as_before = resume({archive, archive});
  const std::vector<std::int64_t> next = some_ids(4, 2);
  const auto read = [&](const TextSession& one) {
    const Piece piece{one.sequence.get(), next, 0};
    return model_->step({&piece, 1});
  };
  EXPECT_LT(largest_difference(read(with_more), read(as_before)), tolerance);
  EXPECT_THAT([&] { resume({archive}); }, ThrowsMessage<Error>(HasSubstr("from 2 memories, 1 were opened")));
  save(with_more);
  EXPECT_THAT([&] { resume({grown, archive}); },
              ThrowsMessage<Error>(HasSubstr("documents were removed from a.memory")));
  const auto other = std::make_shared<RandomArchive>(model_->config(), 19, 8);
  EXPECT_THAT([&] { resume({grown, other}); }, ThrowsMessage<Error>(HasSubstr("begin a new session")));
}

TEST_F(SessionFileTest, OthersSessionsAreRefused) {
  TextSession text = new_text_session(*model_, at::kFloat, {});
  generate(*model_, nullptr, text, some_ids(30, 1), greedy(2));
  save(text);
  const SavedSession saved = load_session(file_);
  const auto resume_with = [&](Model& model, const SessionOwner& owner, at::ScalarType dtype) {
    return [&, dtype] { resume_session(saved, "talk", model, dtype, owner, {}); };
  };
  EXPECT_THAT(resume_with(*model_, {"other", "the tokenizer"}, at::kFloat),
              ThrowsMessage<Error>(HasSubstr("talk: belongs to the weights of another model")));
  EXPECT_THAT(resume_with(*model_, {"the model", "other"}, at::kFloat),
              ThrowsMessage<Error>(HasSubstr("talk: belongs to another tokenizer")));
  EXPECT_THAT(resume_with(*model_, owner_, at::kBFloat16), ThrowsMessage<Error>(HasSubstr("expected BFloat16")));
  const auto other = make_small_model(small_model_cases().at(4).config);
  EXPECT_THROW(resume_with(*other, owner_, at::kFloat)(), Error);
}

TEST_F(SessionFileTest, DamagedFilesAreRefused) {
  TextSession text = new_text_session(*model_, at::kFloat, {});
  generate(*model_, nullptr, text, some_ids(30, 1), greedy(2));
  save(text);
  const std::string whole = read_file(file_);
  const auto load = [&](const std::string& content) {
    write_file_atomic(file_, content);
    return [&] { resume(); };
  };
  Random random(1);
  for (int i = 0; i < 60; ++i) {
    EXPECT_THROW(load(whole.substr(0, random.below(whole.size())))(), Error);
    std::string flipped = whole;
    const std::size_t place = random.below(whole.size());
    flipped[place] = static_cast<char>(flipped[place] ^ (1 << random.below(8)));
    // In the blanks behind the header nothing is lost.
    if (whole[place] == ' ') continue;
    EXPECT_THROW(load(flipped)(), Error) << "byte " << place;
  }
  EXPECT_THAT(load("not a session"), ThrowsMessage<Error>(HasSubstr("talk.session")));
  write_safetensors(file_, {{"x", at::zeros({2})}});
  EXPECT_THAT([&] { resume(); }, ThrowsMessage<Error>(HasSubstr("it is no session of lookback")));
  std::string newer = whole;
  const std::size_t version = newer.find("\"version\":1");
  ASSERT_NE(version, std::string::npos);
  newer[version + 10] = '2';
  EXPECT_THAT(load(newer), ThrowsMessage<Error>(HasSubstr("use a newer lookback")));
  fs::remove(file_);
  EXPECT_THAT([&] { resume(); }, ThrowsMessage<Error>(HasSubstr("talk.session")));
  EXPECT_THAT([&] { save_session(folder_ / "missing" / "talk.session", text, owner_, {}); },
              ThrowsMessage<Error>(HasSubstr("missing")));
}

// No session writes such a state: what it retrieves would be answered from chunks of its own that there are not.
TEST_F(SessionFileTest, ARetrievalBeforeTheFirstChunkIsRefused) {
  const auto archive = std::make_shared<RandomArchive>(model_->config(), 20, 0);
  const auto state_after = [&](std::int64_t count) {
    const auto sequence = model_->new_sequence(at::kFloat);
    sequence->attach(searched({archive}));
    const std::vector<std::int64_t> ids = some_ids(count, 1);
    const Piece piece{sequence.get(), ids, 0};
    model_->step({&piece, 1});
    return sequence->state();
  };
  NamedTensors crafted = state_after(3);
  for (const auto& [name, tensor] : state_after(60)) {
    // Chunk 0: of the archive.
    if (name.ends_with(".indices")) crafted.emplace_back(name, at::zeros_like(tensor));
    if (name.ends_with(".weights")) crafted.emplace_back(name, tensor);
  }
  const auto sequence = model_->new_sequence(at::kFloat);
  sequence->attach(searched({archive}));
  EXPECT_THAT([&] { sequence->restore(crafted); }, ThrowsMessage<Error>(HasSubstr("before its first chunk ended")));
}

TEST_F(SessionFileTest, ReadingThatIsStoppedCanGoOn) {
  TextSession text = new_text_session(*model_, at::kFloat, {});
  GenerateListener listener;
  StopSource stop;
  int segments = 0;
  listener.on_prompt_read = [&](std::int64_t) {
    if (++segments == 3) stop.request_stop();
  };
  listener.stop = stop.token();
  const std::vector<std::int64_t> asked = some_ids(150, 5);
  EXPECT_THAT([&] { generate(*model_, nullptr, text, asked, greedy(3), listener); },
              ThrowsMessage<Error>(HasSubstr("interrupted")));
  save(text);
  TextSession resumed = resume();
  const GenerateResult result = generate(*model_, nullptr, resumed, {}, greedy(3));
  EXPECT_EQ(result.ids, generate(*model_, nullptr, asked, greedy(3)).ids);
}

}  // namespace
}  // namespace lookback
