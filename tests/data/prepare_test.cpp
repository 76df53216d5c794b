#include "data/prepare.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "core/files.h"
#include "core/json.h"
#include "data/dataset_folder.h"
#include "data/prepare_runs.h"
#include "data/text_pieces.h"
#include "data/token_dataset.h"
#include "lookback/stop.h"
#include "text/bytes_tokenizer.h"
#include "text/utf8.h"

namespace lookback {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string json_lines(const std::vector<std::string>& texts, const char* field = "text") {
  std::string lines;
  for (const std::string& text : texts) lines += Json{{"n", 1}, {field, text}}.dump() + "\n";
  return lines;
}

struct StopAfterOneBlock {
  StopSource source;
  PrepareListener listener{
      .progress = [this](const PrepareProgress&) { source.request_stop(); }, .skipped = {}, .stop = source.token()};
};

TEST(Prepare, TenWords) {
  const TemporaryFolder folder;
  write_bytes(folder.path() / "a.txt", "one two three four five six seven eight nine ten");
  const PrepareResult result = prepare_bytes(small_config({folder.path() / "a.txt"}, folder.path() / "out"));
  EXPECT_THAT(documents_of(folder.path() / "out"), ElementsAre("one two three four five six seven eight nine ten"));
  EXPECT_EQ(result.datasets.at(0).counts.num_tokens, 49);
  EXPECT_TRUE(has_tokenizer(folder.path() / "out/tokenizer"));
  EXPECT_EQ(TokenDataset(folder.path() / "out").manifest().tokenizer_fingerprint,
            load_tokenizer((folder.path() / "out/tokenizer").string())->fingerprint());
}

TEST(Prepare, EveryFormatAndCompressionInOrder) {
  const TemporaryFolder folder;
  const fs::path in = folder.path() / "in";
  const auto zstd = zstd_compressed, gzip = gzip_compressed;
  write_bytes(in / "b.txt", "text");
  write_bytes(in / "a/c.md", "# mark");
  write_bytes(in / "d.txt.zst", zstd("zstd ") + zstd("twice"));
  write_bytes(in / "e.md.gz", gzip("gzip ") + gzip("twice"));
  write_bytes(in / "f.jsonl", json_lines({"l1", "l2"}) + "\n" + R"({"text": "no line end"})");
  write_bytes(in / "g.jsonl.zst", zstd(json_lines({"l3\nmore", "é"})));
  write_bytes(in / "h.jsonl.gz", gzip(json_lines({"l5"})));
  write_bytes(in / "i.TXT.GZ", gzip("capitals"));
  write_bytes(in / "other.pdf", "?");
  const PrepareResult result =
      prepare_bytes(small_config({in / "h.jsonl.gz", in / "a", in / "b.txt"}, folder.path() / "out1"));
  EXPECT_EQ(result.num_inputs, 3);
  EXPECT_THAT(documents_of(folder.path() / "out1"), ElementsAre("l5", "# mark", "text"));
  const PrepareResult all = prepare_bytes(small_config({in}, folder.path() / "out2"));
  EXPECT_EQ(all.num_unknown_files, 1);
  EXPECT_THAT(documents_of(folder.path() / "out2"),
              ElementsAre("# mark", "text", "zstd twice", "gzip twice", "l1", "l2", "no line end", "l3\nmore", "é",
                          "l5", "capitals"));
  PrepareConfig other_field = small_config({folder.path() / "k.jsonl"}, folder.path() / "out3");
  write_bytes(folder.path() / "k.jsonl", json_lines({"x"}, "body"));
  other_field.field = "body";
  prepare_bytes(other_field);
  EXPECT_THAT(documents_of(folder.path() / "out3"), ElementsAre("x"));
}

TEST(Prepare, LongDocumentsAreCutTheSameInEveryFormat) {
  const TemporaryFolder folder;
  const std::string text = generated_text(5'000'000, 1);
  const std::string line(3'000'001, 'x');
  write_bytes(folder.path() / "1/a.txt", text);
  write_bytes(folder.path() / "1/b.txt.zst", zstd_compressed(line));
  write_bytes(folder.path() / "2/a.jsonl.gz", gzip_compressed(json_lines({text, line})));
  prepare_bytes(small_config({folder.path() / "1"}, folder.path() / "out1"));
  prepare_bytes(small_config({folder.path() / "2"}, folder.path() / "out2"));
  EXPECT_TRUE(documents_of(folder.path() / "out1") == (std::vector<std::string>{text, line}));
  EXPECT_EQ(read_file(folder.path() / "out1/tokens-00003.bin"), read_file(folder.path() / "out2/tokens-00003.bin"));
  EXPECT_EQ(read_file(folder.path() / "out1/documents.bin"), read_file(folder.path() / "out2/documents.bin"));
}

// A tokenizer that may be cut before '|' only.
class CutAtBars : public BytesTokenizer {
 public:
  std::size_t safe_prefix(std::string_view text) const override {
    const std::size_t bar = text.rfind('|');
    return bar == std::string_view::npos ? 0 : bar;
  }
};

TEST(TextPieces, EndWhereTheTokenizerMayBeCut) {
  const CutAtBars tokenizer;
  EXPECT_EQ(piece_size("no longer | than a piece", true, tokenizer), 24U);
  EXPECT_EQ(piece_size("not read to its end |", false, tokenizer), 0U);
  const std::string line(piece_bytes - 10, 'x');
  EXPECT_EQ(piece_size(line + "|" + line, true, tokenizer), line.size());
  EXPECT_EQ(piece_size("||" + line + "|" + line + "|" + line, false, tokenizer), line.size() + 2);
  const std::string far = line + line + line + "|" + line + line;  // its first place lies in the first four pieces
  EXPECT_EQ(piece_size(far, true, tokenizer), 3 * line.size());
  EXPECT_EQ(piece_size(far.substr(0, 4 * piece_bytes), false, tokenizer), 0U);
  EXPECT_EQ(piece_size(far, false, tokenizer), 3 * line.size());
  std::string wide = "x";
  while (wide.size() <= 2 * piece_bytes) wide += "文";
  const std::size_t size = piece_size(wide, true, BytesTokenizer());
  EXPECT_GT(size, piece_bytes - 3);
  EXPECT_EQ(valid_utf8_prefix(std::string_view(wide).substr(0, size)), size);
}

// The ids of a document of several pieces are those of its text in one.
TEST(Prepare, CutsChangeNoIds) {
  const fs::path fixtures = fs::path(LOOKBACK_SOURCE_DIR) / "tests/fixtures/tokenizers";
  const TemporaryFolder folder;
  Json prefixed = read_json_file(fixtures / "split-regex.json");
  prefixed["pre_tokenizer"] = {{"type", "ByteLevel"}, {"add_prefix_space", true}};
  write_bytes(folder.path() / "prefixed.json", prefixed.dump());
  std::string chinese;
  while (chinese.size() < 1'100'000) chinese += "一二三，四五六七。\n八九";
  const std::string words = generated_text(1'200'000, 7);
  const std::string digits = "x" + std::string(1'060'000, '7') + " end";
  for (const fs::path& file :
       {fixtures / "split-regex.json", folder.path() / "prefixed.json", fixtures / "bpe.model"}) {
    const auto tokenizer = load_tokenizer(file.string());
    for (const std::string& text : {words, chinese, digits}) {
      if (&text == &chinese && file.extension() == ".model") continue;
      SCOPED_TRACE(file.string() + ": " + text.substr(0, 20));
      write_bytes(folder.path() / "in/a.txt", text);
      PrepareConfig config = small_config({folder.path() / "in"}, folder.path() / "out");
      config.force = true;
      prepare(config, *tokenizer, {});
      const TokenDataset dataset(config.out);
      std::vector<std::int64_t> ids(static_cast<std::size_t>(dataset.num_tokens()) - 1);
      dataset.read(0, ids);
      const std::vector<std::int32_t> expected = tokenizer->encode(text);
      EXPECT_TRUE(std::ranges::equal(ids, expected)) << ids.size() << " " << expected.size();
    }
  }
}

TEST(Prepare, SameForAnyNumberOfThreads) {
  const TemporaryFolder folder;
  const fs::path in = folder.path() / "in";
  std::vector<std::string> texts;
  for (std::size_t i = 1; i <= 3000; ++i) texts.push_back(generated_text(i, 5));
  write_bytes(in / "lines.jsonl.zst", zstd_compressed(json_lines(texts)));
  write_bytes(in / "long.txt", generated_text(4'000'000, 6));
  std::string first;
  for (const int num_threads : {1, 2, 7}) {
    PrepareConfig config = small_config({in}, folder.path() / std::to_string(num_threads));
    config.num_threads = num_threads;
    config.valid_fraction = 0.2;
    prepare_bytes(config);
    const std::string content = content_of(config.out);
    if (first.empty()) first = content;
    EXPECT_TRUE(content == first) << num_threads;
  }
  const TokenDataset valid(folder.path() / "1/valid"), train(folder.path() / "1/train");
  EXPECT_EQ(valid.num_documents() + train.num_documents(), 3001);
  EXPECT_NEAR(static_cast<double>(valid.num_documents()), 600, 120);
  auto split = documents_of(folder.path() / "1/valid");
  for (const std::string& text : documents_of(folder.path() / "1/train")) split.push_back(text);
  texts.push_back(read_file(in / "long.txt"));
  EXPECT_TRUE(std::is_permutation(split.begin(), split.end(), texts.begin(), texts.end(),
                                  [](const auto& a, const auto& b) { return a == b; }));
}

TEST(Prepare, ValidationGetsADocumentWhereThereAreTwo) {
  for (const double fraction : {1e-9, 0.999999999}) {
    const TemporaryFolder folder;
    write_bytes(folder.path() / "a.jsonl", json_lines({"first", "second", "third"}));
    PrepareConfig config = small_config({folder.path() / "a.jsonl"}, folder.path() / "out");
    config.valid_fraction = fraction;
    prepare_bytes(config);
    const auto many = documents_of(folder.path() / "out" / (fraction < 0.5 ? "train" : "valid"));
    const auto one = documents_of(folder.path() / "out" / (fraction < 0.5 ? "valid" : "train"));
    EXPECT_THAT(many, ElementsAre("first", "second"));
    EXPECT_THAT(one, ElementsAre("third"));
  }
  const TemporaryFolder folder;
  write_bytes(folder.path() / "a.jsonl", json_lines({"alone"}));
  PrepareConfig config = small_config({folder.path() / "a.jsonl"}, folder.path() / "out");
  config.valid_fraction = 0.5;
  EXPECT_THAT(prepare_error(config), HasSubstr("only one document"));
}

TEST(Prepare, BrokenDocumentsAreNamedAndLeftOut) {
  const TemporaryFolder folder;
  const fs::path in = folder.path() / "in";
  write_bytes(in / "a.jsonl", json_lines({"good"}) + "{\"text\": \n" + "{\"other\": 1}\n" + "{\"text\": 7}\n" +
                                  "[1]\n{\"text\": \"\xff\"}\n{\"text\": \"\"}\n" + json_lines({"last"}));
  write_bytes(in / "b.txt", "line\nbad \xc3\x28\n");
  write_bytes(in / "c.txt", "");
  // Broken only in a late piece: the pieces before it are taken back.
  write_bytes(in / "d.txt", generated_text(4'000'000, 3) + "\n\xff");
  write_bytes(in / "e.txt", "end");
  std::vector<std::string> skipped;
  PrepareListener listener;
  listener.skipped = [&](const std::string& text) { skipped.push_back(text.substr(in.string().size() + 1)); };
  const PrepareResult result = prepare_bytes(small_config({in}, folder.path() / "out"), listener);
  EXPECT_THAT(documents_of(folder.path() / "out"), ElementsAre("good", "last", "end"));
  EXPECT_EQ(result.num_skipped, 9);
  ASSERT_EQ(skipped.size(), 9U);
  EXPECT_THAT(skipped[0], AllOf(HasSubstr("a.jsonl:2:"), HasSubstr("not valid JSON")));
  EXPECT_EQ(skipped[1], "a.jsonl:3: no field \"text\"");
  EXPECT_EQ(skipped[2], "a.jsonl:4: field \"text\" is no string");
  EXPECT_EQ(skipped[3], "a.jsonl:5: no JSON object");
  EXPECT_EQ(skipped[4], "a.jsonl:6: invalid UTF-8 at byte 11 of the line");
  EXPECT_EQ(skipped[5], "a.jsonl:7: field \"text\" is empty");
  EXPECT_EQ(skipped[6], "b.txt:2: invalid UTF-8 at byte 5 of the line");
  EXPECT_EQ(skipped[7], "c.txt:1: the file is empty");
  const std::string long_text = generated_text(4'000'000, 3);
  const auto line = std::count(long_text.begin(), long_text.end(), '\n') + 2;
  EXPECT_EQ(skipped[8], "d.txt:" + std::to_string(line) + ": invalid UTF-8 at byte 1 of the line");
  const std::string log = read_file(folder.path() / "out/skipped.log");
  EXPECT_EQ(std::count(log.begin(), log.end(), '\n'), 9);
  const DatasetManifest manifest = TokenDataset(folder.path() / "out").manifest();
  EXPECT_EQ(manifest.sources.at(0).num_documents, 2);
  EXPECT_EQ(manifest.sources.at(0).num_skipped, 6);

  PrepareConfig strict = small_config({in}, folder.path() / "strict");
  strict.strict = true;
  EXPECT_THAT(prepare_error(strict), AllOf(HasSubstr("a.jsonl:2:"), HasSubstr("strict")));
  strict.out = folder.path() / "out";  // finished, without it
  EXPECT_THAT(prepare_error(strict), AllOf(HasSubstr("strict"), HasSubstr("9 documents")));
}

TEST(Prepare, AByteOrderMarkIsNoText) {
  const TemporaryFolder folder;
  const std::string mark = "\xEF\xBB\xBF";
  const std::string text = generated_text(3'000'000, 4);
  write_bytes(folder.path() / "1/a.txt", mark + text);
  write_bytes(folder.path() / "1/b.jsonl", mark + "\r\n" + mark + R"({"text": "line", "n": 1e999})" + "\r\n");
  write_bytes(folder.path() / "1/c.md.gz", gzip_compressed(mark));
  write_bytes(folder.path() / "2/a.txt", text);
  write_bytes(folder.path() / "2/b.jsonl", json_lines({"line"}));
  std::vector<std::string> skipped;
  PrepareListener listener;
  listener.skipped = [&](const std::string& reason) { skipped.push_back(reason); };
  prepare_bytes(small_config({folder.path() / "1"}, folder.path() / "out1"), listener);
  prepare_bytes(small_config({folder.path() / "2"}, folder.path() / "out2"));
  EXPECT_TRUE(documents_of(folder.path() / "out1") == (std::vector<std::string>{text, "line"}));
  EXPECT_EQ(read_file(folder.path() / "out1/documents.bin"), read_file(folder.path() / "out2/documents.bin"));
  EXPECT_THAT(skipped, ElementsAre(HasSubstr("c.md.gz:1: the file is empty")));
}

TEST(Prepare, NamesThatAreNoUtf8) {
  const TemporaryFolder folder;
  const fs::path in = folder.path() / "in\xff";
  write_bytes(in / "gr\xf6\xdf"
                   "e.txt",
              "text");
  write_bytes(in / "broken\xfe.txt", "\xff");
  std::vector<std::string> skipped;
  PrepareListener listener;
  listener.skipped = [&](const std::string& reason) { skipped.push_back(reason); };
  const PrepareConfig config = small_config({in}, folder.path() / "out\xff");
  prepare_bytes(config, listener);
  EXPECT_THAT(skipped, ElementsAre(HasSubstr("broken\xfe.txt:1: ")));
  EXPECT_TRUE(prepare_bytes(config).already_done);
  EXPECT_THAT(documents_of(config.out), ElementsAre("text"));
  EXPECT_EQ(TokenDataset(config.out).manifest().sources.at(1).path, (in / "gr\xf6\xdf"
                                                                          "e.txt")
                                                                        .string());
  // Another file whose name looks the same is another.
  fs::rename(in / "broken\xfe.txt", in / "broken\xff.txt");
  EXPECT_THAT(prepare_error(config), HasSubstr("another command"));
}

TEST(Prepare, NamesDamagedCompressedFiles) {
  const TemporaryFolder folder;
  const std::string text = generated_text(300'000, 4);
  int run = 0;
  const auto error_with = [&](const char* name, const std::string& content) {
    write_bytes(folder.path() / name, content);
    return prepare_error(small_config({folder.path() / name}, folder.path() / std::to_string(run++)));
  };
  const std::string zstd = zstd_compressed(text), gzip = gzip_compressed(text);
  for (const std::size_t size : {std::size_t{3}, zstd.size() / 2, zstd.size() - 1}) {
    EXPECT_THAT(error_with("a.txt.zst", zstd.substr(0, size)), AllOf(HasSubstr("a.txt.zst"), HasSubstr("truncated")));
  }
  for (const std::size_t size : {std::size_t{3}, gzip.size() / 2, gzip.size() - 1}) {
    EXPECT_THAT(error_with("a.txt.gz", gzip.substr(0, size)), AllOf(HasSubstr("a.txt.gz"), HasSubstr("truncated")));
  }
  EXPECT_THAT(error_with("b.txt.zst", text), AllOf(HasSubstr("b.txt.zst"), HasSubstr("corrupt")));
  EXPECT_THAT(error_with("b.txt.gz", text), AllOf(HasSubstr("b.txt.gz"), HasSubstr("corrupt")));
  EXPECT_THAT(error_with("c.txt.zst", ""), HasSubstr("is empty"));
  EXPECT_THAT(error_with("c.txt.gz", ""), HasSubstr("is empty"));
}

TEST(Prepare, RefusesBadInputs) {
  const TemporaryFolder folder;
  const fs::path& base = folder.path();
  write_bytes(base / "empty.txt", "");
  write_bytes(base / "blank.jsonl", "\n\n");
  write_bytes(base / "a.pdf", "x");
  write_bytes(base / "a.txt", "x");
  fs::create_directories(base / "nothing");
  const auto error_of = [&](const std::vector<fs::path>& inputs, const char* out) {
    return prepare_error(small_config(inputs, base / out));
  };
  EXPECT_THAT(error_of({base / "empty.txt", base / "blank.jsonl"}, "o1"), HasSubstr("no documents"));
  EXPECT_EQ(error_of({base / "a.txt"}, "o1"), "(no error)");  // nothing is lost with what that left
  EXPECT_THAT(error_of({base / "a.pdf"}, "o2"), HasSubstr(".jsonl"));
  EXPECT_THAT(error_of({base / "no.txt"}, "o2"), HasSubstr("no such file"));
  EXPECT_THAT(error_of({base / "nothing"}, "o2"), HasSubstr("no inputs"));
  EXPECT_THAT(error_of({base / "a.txt", base / "." / "a.txt"}, "o2"), HasSubstr("twice"));
  EXPECT_THAT(error_of({base / "a.txt"}, "a.pdf"), HasSubstr("a.pdf"));
  EXPECT_THAT(error_of({base / "a.txt"}, "nothing/.."), HasSubstr("did not write"));
  EXPECT_EQ(read_file(base / "a.txt"), "x");
}

TEST(Prepare, AFinishedOrUnfinishedFolderIsKept) {
  const TemporaryFolder folder;
  write_bytes(folder.path() / "a.txt", "first");
  write_bytes(folder.path() / "b.txt", "second");
  PrepareConfig config = small_config({folder.path() / "a.txt", folder.path() / "b.txt"}, folder.path() / "out");
  EXPECT_TRUE(prepare_bytes(config, StopAfterOneBlock().listener).interrupted);
  EXPECT_THROW(TokenDataset(config.out), std::exception);
  PrepareConfig other = config;
  other.inputs.pop_back();
  EXPECT_THAT(prepare_error(other), AllOf(HasSubstr("unfinished"), HasSubstr("(force)")));
  EXPECT_FALSE(prepare_bytes(config).already_done);
  const std::string content = content_of(config.out);
  EXPECT_TRUE(prepare_bytes(config).already_done);
  EXPECT_EQ(content_of(config.out), content);
  EXPECT_THAT(prepare_error(other), AllOf(HasSubstr("finished"), HasSubstr("(force)")));
  other.valid_fraction = 0.0;
  other.force = true;
  prepare_bytes(other);
  EXPECT_THAT(documents_of(config.out), ElementsAre("first"));
  write_bytes(folder.path() / "a.txt", "changed");
  other.force = false;
  EXPECT_THAT(prepare_error(other), HasSubstr("a.txt"));
}

TEST(Prepare, StoppedAfterEveryBlockTheResultIsTheSame) {
  const TemporaryFolder folder;
  const fs::path in = folder.path() / "in";
  write_bytes(in / "a.txt", generated_text(2'500'000, 8) + "\xff");
  write_bytes(in / "b.txt.zst", zstd_compressed(generated_text(2'500'000, 9)));
  std::vector<std::string> texts;
  for (int i = 0; i < 200; ++i) texts.push_back(generated_text(20'000, static_cast<std::uint64_t>(i)));
  write_bytes(in / "c.jsonl.gz", gzip_compressed(json_lines(texts) + "broken\n"));
  PrepareConfig config = small_config({in}, folder.path() / "whole");
  config.valid_fraction = 0.1;
  prepare_bytes(config);
  config.out = folder.path() / "stopped";
  int runs = 1;
  while (prepare_bytes(config, StopAfterOneBlock().listener).interrupted) ASSERT_LT(++runs, 100);
  EXPECT_GT(runs, 8);
  EXPECT_TRUE(content_of(folder.path() / "stopped") == content_of(folder.path() / "whole"));
}

}  // namespace
}  // namespace lookback
