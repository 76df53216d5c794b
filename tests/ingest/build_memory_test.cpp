#include "ingest/build_memory.h"

#include <ATen/Parallel.h>
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <thread>

#include "core/error.h"
#include "core/files.h"
#include "ingest/byte_model.h"
#include "ingest/open_memory.h"
#include "lookback/stop.h"
#include "memory/memory_writer.h"
#include "models/drt/drt_config.h"
#include "models/fingerprint.h"
#include "models/sequence_batch.h"

namespace lookback {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::ThrowsMessage;

std::string some_text(std::size_t size, unsigned seed) {
  std::string text;
  while (text.size() < size) {
    seed = seed * 1'103'515'245U + 12'345U;
    text.push_back(static_cast<char>('a' + (seed >> 16) % 26));
  }
  return text;
}

class BuildMemoryTest : public testing::Test {
 protected:
  void SetUp() override {
    const testing::TestInfo& info = *testing::UnitTest::GetInstance()->current_test_info();
    folder_ = fs::temp_directory_path() / ("lookback_" + std::string(info.name()) + std::to_string(::getpid()));
    fs::create_directories(folder_ / "texts");
    model_->parameters().freeze(at::kFloat);
    // Of many segments; one that ends at a chunk's end; one shorter than a chunk.
    write_file_atomic(folder_ / "texts" / "a.txt", some_text(1003, 1));
    write_file_atomic(folder_ / "texts" / "b.txt", some_text(80, 2));
    write_file_atomic(folder_ / "texts" / "c.md", "short");
  }
  void TearDown() override { fs::remove_all(folder_); }

  BuildMemoryConfig config(const std::string& out) const {
    BuildMemoryConfig config;
    config.inputs = {folder_ / "texts"};
    config.out = folder_ / out;
    config.segment_tokens = 100;
    config.num_threads = 1;
    return config;
  }
  BuildMemoryResult build(const BuildMemoryConfig& config, const BuildMemoryListener& listener = {}) {
    return build_memory(config, *model_, at::kFloat, fingerprint_, *tokenizer_, listener);
  }
  std::shared_ptr<const StoredMemory> open(const std::string& name) {
    return open_memory(folder_ / name, *model_, fingerprint_, tokenizer_.get());
  }
  // A text's tokens with the last chunk filled up [1, L].
  at::Tensor ids_of(const std::string& text) const {
    const std::vector<std::int32_t> ids = tokenizer_->encode(text);
    std::vector<std::int64_t> padded(ids.begin(), ids.end());
    padded.resize((padded.size() + 7) / 8 * 8, '\n');
    return at::tensor(padded, at::kLong).unsqueeze(0);
  }

  fs::path folder_;
  std::unique_ptr<Model> model_ = make_model(byte_model_config(), at::kCPU, 5);
  std::unique_ptr<Tokenizer> tokenizer_ = load_tokenizer("bytes");
  std::string fingerprint_ = model_fingerprint(*model_);
};

struct Chunks {
  at::Tensor key, value, landmarks;  // [E, S, H, D], [E, d]
};

Chunks read_all(const StoredMemory& memory) {
  const MemoryFormat& format = memory.format();
  Chunks chunks{at::empty({memory.num_chunks(), format.num_vectors, format.num_heads, format.head_dim}), at::Tensor(),
                memory.landmarks()};
  chunks.value = at::empty_like(chunks.key);
  for (std::int64_t i = 0; i < memory.num_chunks(); ++i) {
    at::Tensor key = chunks.key[i];
    at::Tensor value = chunks.value[i];
    memory.chunk(i)->widen_to(key, value);
  }
  return chunks;
}

bool identical(const Chunks& a, const Chunks& b) {
  return a.key.equal(b.key) && a.value.equal(b.value) && a.landmarks.equal(b.landmarks);
}

TEST_F(BuildMemoryTest, HoldsWhatReadingEachTextWholeGives) {
  for (const std::int64_t segment_tokens : {8, 100, 5000}) {
    const std::string name = std::to_string(segment_tokens);
    BuildMemoryConfig some = config(name);
    some.segment_tokens = segment_tokens;
    const BuildMemoryResult result = build(some);
    EXPECT_EQ(result.num_documents, 3);
    EXPECT_EQ(result.num_tokens, 1003 + 80 + 5);
    const auto memory = open(name);
    const Chunks found = read_all(*memory);
    std::int64_t first = 0;
    for (const MemoryDocument& document : memory->documents()) {
      const std::string text = read_file(document.name);
      EXPECT_EQ(document.num_tokens, static_cast<std::int64_t>(text.size()));
      EXPECT_EQ(document.text_bytes, static_cast<std::int64_t>(text.size()));
      EXPECT_TRUE(document.finished);
      const at::Tensor ids = ids_of(text);
      const EncodedChunks whole = model_->read_chunks(ids, 0, at::kFloat);
      const std::int64_t count = whole.key.size(1);
      ASSERT_EQ(document.num_chunks, count);
      EXPECT_TRUE(found.key.narrow(0, first, count).allclose(whole.key[0], 1e-5, 1e-5));
      EXPECT_TRUE(found.value.narrow(0, first, count).allclose(whole.value[0], 1e-5, 1e-5));
      EXPECT_TRUE(found.landmarks.narrow(0, first, count).allclose(whole.landmarks[0], 1e-5, 1e-5));
      for (std::int64_t chunk = 0; chunk < count; ++chunk) {
        const ChunkOrigin origin = memory->origin(first + chunk);
        EXPECT_EQ(origin.document, document.id);
        EXPECT_EQ(origin.text_begin, static_cast<std::uint64_t>(8 * chunk));
        EXPECT_TRUE(at::tensor(origin.token_ids, at::kLong).equal(ids[0].narrow(0, 8 * chunk, 8)));
      }
      first += count;
    }
    EXPECT_EQ(first, memory->num_chunks());
  }
}

// What a compressed chunk takes, and that a session retrieves from it as from its own.
TEST_F(BuildMemoryTest, OfCompressedChunks) {
  ModelConfig compressed = byte_model_config();
  compressed.kind = "compressed-memory";
  compressed.own<DrtConfig>().memory_vectors = 3;
  model_ = make_model(compressed, at::kCPU, 5);
  model_->parameters().freeze(at::kFloat);
  fingerprint_ = model_fingerprint(*model_);
  build(config("out"));
  const auto memory = open("out");
  EXPECT_EQ(memory->format().chunk_bytes(), 2 * 3 * 32 * 4);
  const Chunks found = read_all(*memory);
  const EncodedChunks whole = model_->read_chunks(ids_of(read_file(memory->documents()[0].name)), 0, at::kFloat);
  EXPECT_EQ(whole.key.sizes(), at::IntArrayRef({1, memory->documents()[0].num_chunks, 3, 4, 8}));
  EXPECT_TRUE(found.key.narrow(0, 0, whole.key.size(1)).allclose(whole.key[0], 1e-5, 1e-5));
  SequenceBatch sequence(*model_, 1, make_memory_set({search_exactly(memory, at::kCPU)}));
  const at::Tensor text = ids_of(some_text(40, 9));
  ForwardOptions options;
  const EncodedChunks all{found.key.unsqueeze(0), found.value.unsqueeze(0), found.landmarks.unsqueeze(0)};
  options.memory = &all;
  EXPECT_TRUE(sequence.append(text).allclose(model_->hidden_states(text, options), 0, 2e-4));
}

TEST_F(BuildMemoryTest, IsTheSameBitByBitForAnyNumberOfThreads) {
  build(config("one"));
  BuildMemoryConfig many = config("many");
  many.num_threads = 3;
  build(many);
  EXPECT_TRUE(identical(read_all(*open("one")), read_all(*open("many"))));
}

// Others in the process keep the threads that they were given, while it reads and afterwards.
TEST_F(BuildMemoryTest, LeavesTheNumberOfThreadsOfOthersAlone) {
  const int before = at::get_num_threads();
  at::set_num_threads(3);
  int meanwhile = 0;
  BuildMemoryListener listener;
  listener.on_progress = [&](const BuildMemoryProgress&) {
    std::thread([&] { meanwhile = at::get_num_threads(); }).join();
    EXPECT_EQ(at::get_num_threads(), 3);
  };
  build(config("out"), listener);
  EXPECT_EQ(meanwhile, 3);
  EXPECT_EQ(at::get_num_threads(), 3);
  at::set_num_threads(before);
}

TEST_F(BuildMemoryTest, GoesOnBitByBitWhereItWasStopped) {
  build(config("whole"));
  int num_stops = 0;
  bool stopped = true;
  while (stopped) {
    // Stops after the third step, so that some are done each time.
    int num_steps = 0;
    StopSource stop;
    BuildMemoryListener listener;
    listener.on_progress = [&](const BuildMemoryProgress&) {
      if (++num_steps == 3) stop.request_stop();
    };
    listener.stop = stop.token();
    stopped = build(config("stopped"), listener).interrupted;
    num_stops += stopped ? 1 : 0;
    ASSERT_LT(num_stops, 20);
  }
  EXPECT_GE(num_stops, 2);
  const auto memory = open("stopped");
  EXPECT_TRUE(identical(read_all(*open("whole")), read_all(*memory)));
  EXPECT_EQ(memory->documents(), open("whole")->documents());
}

TEST_F(BuildMemoryTest, AddsWhatIsNewAndKnowsWhatIsThere) {
  build(config("library"));
  write_file_atomic(folder_ / "texts" / "d.jsonl",
                    "{\"text\": \"the first\"}\nbroken\n\n{\"text\": \"the second one\"}\n");
  std::vector<std::string> skipped;
  BuildMemoryListener listener;
  listener.on_skipped = [&](const std::string& reason) { skipped.push_back(reason); };
  const BuildMemoryResult result = build(config("library"), listener);
  EXPECT_EQ(result.num_known, 3);
  EXPECT_EQ(result.num_documents, 2);
  EXPECT_EQ(result.num_skipped, 1);
  EXPECT_THAT(skipped, ElementsAre(HasSubstr("d.jsonl:2: not valid JSON")));
  const auto memory = open("library");
  ASSERT_EQ(memory->documents().size(), 5U);
  EXPECT_EQ(memory->documents()[3].name, (folder_ / "texts" / "d.jsonl").string() + ":1");
  EXPECT_EQ(memory->documents()[4].name, (folder_ / "texts" / "d.jsonl").string() + ":4");  // the file's line
  EXPECT_EQ(memory->documents()[4].num_tokens, 14);
}

TEST_F(BuildMemoryTest, ANameThatIsNoUtf8IsKept) {
  const fs::path path = folder_ / "texts" /
                        "gr\xf6\xdf"
                        "e.txt";
  write_file_atomic(path, "a text of its own");
  build(config("library"));
  EXPECT_EQ(open("library")->documents().back().name, path.string());
  const BuildMemoryResult again = build(config("library"));
  EXPECT_EQ(again.num_known, 4);
  EXPECT_EQ(again.num_documents, 0);
}

TEST_F(BuildMemoryTest, AChangedFileIsNotReadTwice) {
  build(config("library"));
  write_file_atomic(folder_ / "texts" / "b.txt", some_text(99, 3));
  EXPECT_THAT([this] { build(config("library")); }, ThrowsMessage<Error>(HasSubstr("b.txt: has changed since")));
}

// A copy of a folder, a checkout, `touch`: the time is new, the text is not.
TEST_F(BuildMemoryTest, TheSameContentWithANewTimeIsThere) {
  build(config("library"));
  const auto before = open("library")->documents();
  fs::last_write_time(folder_ / "texts" / "b.txt", fs::file_time_type::clock::now() + std::chrono::hours(1));
  const BuildMemoryResult again = build(config("library"));
  EXPECT_EQ(again.num_known, 3);
  EXPECT_EQ(again.num_documents, 0);
  // Under another name, too.
  fs::rename(folder_ / "texts" / "a.txt", folder_ / "texts" / "z.txt");
  EXPECT_EQ(build(config("library")).num_known, 3);
  EXPECT_EQ(open("library")->documents(), before);
}

TEST_F(BuildMemoryTest, AnotherFileOfTheSameNameSizeAndTimeIsAnotherDocument) {
  const fs::path before = fs::current_path();
  BuildMemoryConfig some = config("library");
  some.inputs = {"n.txt"};
  for (const auto& [name, seed] : {std::pair{"one", 21U}, {"two", 22U}}) {
    fs::create_directories(folder_ / name);
    write_file_atomic(folder_ / name / "n.txt", some_text(100, seed));
    fs::last_write_time(folder_ / name / "n.txt", fs::file_time_type() + std::chrono::hours(1));
    fs::current_path(folder_ / name);
    EXPECT_EQ(build(some).num_documents, 1);
    EXPECT_EQ(build(some).num_known, 1);
  }
  fs::current_path(before);
  const auto memory = open("library");
  ASSERT_EQ(memory->documents().size(), 2U);
  EXPECT_EQ(memory->documents()[0].name, "n.txt");
  EXPECT_EQ(memory->documents()[1].name, fs::canonical(folder_ / "two" / "n.txt"));
  BuildMemoryConfig second = config("second");
  second.inputs = {folder_ / "two"};
  build(second);
  const Chunks both = read_all(*memory), alone = read_all(*open("second"));
  const std::int64_t count = alone.key.size(0);
  EXPECT_TRUE(both.key.narrow(0, both.key.size(0) - count, count).equal(alone.key));
}

TEST_F(BuildMemoryTest, LinesThatAreThereAreNotReadAgainWhenOthersFollow) {
  const fs::path lines = folder_ / "lines.jsonl";
  BuildMemoryConfig some = config("library");
  some.inputs = {lines};
  const std::string first = "{\"text\": \"the first\"}\n";
  write_file_atomic(lines, first);
  build(some);
  write_file_atomic(lines, first + "{\"text\": \"the second\"}\n" + first);
  const BuildMemoryResult result = build(some);
  EXPECT_EQ(result.num_known, 2);  // the third line says the first again
  EXPECT_EQ(result.num_documents, 1);
  write_file_atomic(lines, "{\"text\": \"another\"}\n");
  EXPECT_THAT([&] { build(some); }, ThrowsMessage<Error>(HasSubstr("lines.jsonl:1: has changed since")));
}

// As lookback 0.1 wrote them: of a document's file, size and time were noted.
TEST_F(BuildMemoryTest, AMemoryOfBeforeGoesOn) {
  build(config("whole"));
  const auto whole = open("whole");
  auto writer = std::make_unique<MemoryWriter>(folder_ / "old", whole->format());
  for (const MemoryDocument& document : whole->documents()) {
    struct stat status{};
    ASSERT_EQ(::stat(document.name.c_str(), &status), 0);
    const std::uint64_t id = writer->begin_document(
        document.name,
        std::to_string(status.st_size) + " bytes, " +
            std::to_string(status.st_mtim.tv_sec * std::int64_t{1'000'000'000} + status.st_mtim.tv_nsec) + " ns");
    const bool is_half = document.id == 0;
    constexpr std::int64_t half_tokens = std::int64_t{13} * 8;
    whole->for_each_block(document.id, 0, [&](const EncodedBlock& block) {
      writer->append(id, block, is_half ? half_tokens : document.num_tokens,
                     is_half ? half_tokens : document.text_bytes);
      return !is_half;
    });
    if (!is_half) writer->finish_document(id);
    writer->commit();
  }
  ASSERT_EQ(writer->documents()[0].num_chunks, 13);  // a segment
  writer.reset();
  const BuildMemoryResult result = build(config("old"));
  EXPECT_EQ(result.num_known, 2);
  EXPECT_EQ(result.num_documents, 1);
  EXPECT_EQ(result.num_tokens, 1003 - 13 * 8);
  EXPECT_TRUE(identical(read_all(*whole), read_all(*open("old"))));
}

TEST_F(BuildMemoryTest, ATextThatBreaksLaterLeavesNothing) {
  std::string broken = some_text((1U << 20) + 40'000, 4);  // more than one piece
  broken.back() = '\xff';
  write_file_atomic(folder_ / "texts" / "b.txt", broken);
  BuildMemoryConfig some = config("library");
  some.segment_tokens = 50'000;
  // A million tokens: with the smallest of models.
  ModelConfig tiny = byte_model_config();
  tiny.hidden_size = 16;
  tiny.intermediate_size = 16;
  tiny.num_heads = tiny.num_kv_heads = 1;
  tiny.own<DrtConfig>().decoder_layers = {1, 1};
  model_ = make_model(tiny, at::kCPU, 5);
  fingerprint_ = model_fingerprint(*model_);
  const BuildMemoryResult result = build(some);
  EXPECT_EQ(result.num_skipped, 1);
  const auto memory = open("library");
  ASSERT_EQ(memory->documents().size(), 2U);
  EXPECT_THAT(memory->documents()[1].name, HasSubstr("c.md"));
  memory->verify();
  some.strict = true;
  some.out = folder_ / "strict";
  EXPECT_THAT([&] { build(some); }, ThrowsMessage<Error>(HasSubstr("(strict)")));
}

TEST_F(BuildMemoryTest, AnotherModelOrTokenizerIsRefused) {
  build(config("library"));
  const auto other = make_model(byte_model_config(), at::kCPU, 6);
  EXPECT_THAT([&] { open_memory(folder_ / "library", *other, model_fingerprint(*other), tokenizer_.get()); },
              ThrowsMessage<Error>(HasSubstr("the weights of another model")));
  EXPECT_THAT([&] { build_memory(config("library"), *other, at::kFloat, model_fingerprint(*other), *tokenizer_, {}); },
              ThrowsMessage<Error>(HasSubstr("was made with model_fingerprint")));
  const auto no_memory = make_model(small_sliding_window_config(), at::kCPU, 1);
  EXPECT_THAT([&] { build_memory(config("none"), *no_memory, at::kFloat, "", *tokenizer_, {}); },
              ThrowsMessage<Error>(HasSubstr("a sliding-window model keeps no memory")));
}

// The definition: the whole forward, with the memory's chunks before the text's.
TEST_F(BuildMemoryTest, SessionsRetrieveFromItAsTheWholeForwardDoes) {
  build(config("first"));
  write_file_atomic(folder_ / "more.txt", some_text(333, 9));
  BuildMemoryConfig more = config("second");
  more.inputs = {folder_ / "more.txt"};
  more.elements = "int8";
  build(more);
  // So few bytes that chunks make way for others.
  MemoryOptions few;
  few.ram_budget_bytes = 20'000;
  const std::string paths[] = {(folder_ / "first").string(), (folder_ / "second").string()};
  const OpenedMemories opened = open_memories({paths[0], paths[1]}, few, *model_, fingerprint_, tokenizer_.get());
  EXPECT_EQ(opened.paths, std::vector<std::string>({paths[0], paths[1]}));
  EXPECT_TRUE(opened.qualities.empty());

  const at::Tensor prompt = at::stack({ids_of(some_text(200, 10))[0], ids_of(some_text(200, 11))[0]}).narrow(1, 0, 197);
  const Chunks one = read_all(*opened.stored.at(0));
  const Chunks two = read_all(*opened.stored.at(1));
  const auto both = [](const at::Tensor& a, const at::Tensor& b) {
    const at::Tensor all = at::cat({a, b}).unsqueeze(0);
    return at::cat({all, all});
  };
  const EncodedChunks memory{both(one.key, two.key), both(one.value, two.value), both(one.landmarks, two.landmarks)};
  ForwardOptions options;
  options.memory = &memory;
  const at::Tensor whole = model_->logits(model_->hidden_states(prompt, options));
  // It matters: without the memory the logits are others, from the second chunk on.
  const at::Tensor without = model_->logits(model_->hidden_states(prompt, {}));
  EXPECT_TRUE(whole.narrow(1, 0, 8).equal(without.narrow(1, 0, 8)));
  EXPECT_GT((whole - without).narrow(1, 16, 100).abs().max().item<double>(), 0.01);

  const std::shared_ptr<const MemorySet> memories = opened.set;
  EXPECT_EQ(open_memories({}, few, *model_, fingerprint_, tokenizer_.get()).set, nullptr);
  SequenceBatch by_token(*model_, 2, memories);
  for (std::int64_t i = 0; i < prompt.size(1); ++i) {
    const at::Tensor logits = model_->logits(by_token.append(prompt.narrow(1, i, 1)));
    ASSERT_LT((logits - whole.narrow(1, i, 1)).abs().max().item<double>(), 2e-4) << i;
  }
  for (const std::int64_t segment_tokens : {8, 64, 1000}) {
    const at::Tensor logits = model_->logits(SequenceBatch(*model_, 2, memories).prefill(prompt, segment_tokens));
    EXPECT_LT((logits - whole.narrow(1, 196, 1)).abs().max().item<double>(), 2e-4);
  }
  EXPECT_THAT([&] { by_token[0].attach(memories); }, ThrowsMessage<Error>(HasSubstr("before the text begins")));
}

// The session keeps the state in which its memory was opened; who opens it later does not find the document.
TEST_F(BuildMemoryTest, ADocumentRemovedWhileASessionUsesItServesThatSessionToItsEnd) {
  build(config("a"));
  const auto memory = open("a");
  const at::Tensor ids = ids_of(some_text(120, 10));
  SequenceBatch sequence(*model_, 1, make_memory_set({search_exactly(memory, at::kCPU)}));
  SequenceBatch undisturbed(*model_, 1, make_memory_set({search_exactly(open("a"), at::kCPU)}));
  sequence.append(ids.narrow(1, 0, 50));
  MemoryWriter writer(folder_ / "a", memory->format());
  writer.remove_document(memory->documents().front().id);
  writer.commit();
  const at::Tensor expected = undisturbed.append(ids).narrow(1, 50, 70);
  EXPECT_TRUE(sequence.append(ids.narrow(1, 50, 70)).allclose(expected, 1e-4, 1e-4));
  EXPECT_EQ(open("a")->documents().size(), 2U);
}

class ReadChunks : public testing::TestWithParam<WindowPositions> {};

TEST_P(ReadChunks, APartReadWithItsHaloIsThatOfTheWhole) {
  ModelConfig config = byte_model_config();
  config.window_positions = GetParam();
  const auto model = make_model(config, at::kCPU, 5);
  const at::Tensor ids = random_ids(2, 320, 250, 1);
  const EncodedChunks whole = model->read_chunks(ids, 0, at::kFloat);
  const std::int64_t halo = model->reading_halo_chunks();
  EXPECT_EQ(halo, 4);  // 2 layers see 17 positions each, a chunk has 9
  for (const std::int64_t first : {5, 17, 39}) {
    const auto part_with = [&](std::int64_t before) {
      const std::int64_t begin = first - before;
      return model->read_chunks(ids.narrow(1, 8 * begin, 8 * (40 - begin)), before, at::kFloat);
    };
    const EncodedChunks part = part_with(halo);
    const auto wanted = [&](const at::Tensor& chunks) { return chunks.narrow(1, first, 40 - first); };
    EXPECT_TRUE(part.key.allclose(wanted(whole.key), 1e-5, 1e-5));
    EXPECT_TRUE(part.value.allclose(wanted(whole.value), 1e-5, 1e-5));
    EXPECT_TRUE(part.landmarks.allclose(wanted(whole.landmarks), 1e-5, 1e-5));
    // One chunk fewer, and the first chunk misses what it would have seen.
    EXPECT_GT((part_with(halo - 1).landmarks - wanted(whole.landmarks)).abs().max().item<double>(), 1e-4);
  }
  EXPECT_THAT([&] { model->read_chunks(ids.narrow(1, 0, 20), 0, at::kFloat); },
              ThrowsMessage<Error>(HasSubstr("expected whole chunks of 8 tokens")));
}

INSTANTIATE_TEST_SUITE_P(Positions, ReadChunks,
                         testing::Values(WindowPositions::alibi, WindowPositions::rope, WindowPositions::none));

}  // namespace
}  // namespace lookback
