#include "data/summary_batches.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zstd.h>

#include <algorithm>
#include <string>

#include "core/error.h"
#include "data/corpus_batches.h"
#include "data/dataset_folder.h"
#include "text/bytes_tokenizer.h"

namespace lookback {
namespace {

using testing::AllOf;
using testing::HasSubstr;

const BytesTokenizer bytes;
const std::vector<SummaryPair> pairs = {
    {"A long document about cats.", "Cats."}, {"Dogs bark.", "Of dogs."}, {"x", "y"}};

template <typename Work>
std::string message_of(Work work) {
  try {
    work();
  } catch (const Error& error) {
    return error.what();
  }
  return "no Error was thrown";
}

TEST(SummaryPairs, ReadsLinesAlsoCompressed) {
  const TemporaryFolder folder;
  const std::string lines =
      "{\"document\": \"d\\u00e9\", \"summary\": \"s\", \"id\": 3}\n{\"summary\": \"t\", \"document\": \"e\"}";
  write_bytes(folder.path() / "pairs.jsonl", lines);
  std::string compressed(ZSTD_compressBound(lines.size()), '\0');
  compressed.resize(ZSTD_compress(compressed.data(), compressed.size(), lines.data(), lines.size(), 3));
  write_bytes(folder.path() / "pairs.jsonl.zst", compressed);
  for (const char* name : {"pairs.jsonl", "pairs.jsonl.zst"}) {
    const std::vector<SummaryPair> read = read_summary_pairs(folder.path() / name);
    ASSERT_EQ(read.size(), 2U) << name;
    EXPECT_EQ(read[0].document, "d\xc3\xa9");
    EXPECT_EQ(read[0].summary, "s");
    EXPECT_EQ(read[1].document, "e");
  }
}

TEST(SummaryPairs, LongFilesAreReadInBlocks) {
  const TemporaryFolder folder;
  std::string lines;
  for (int i = 0; i < 300; ++i) {
    lines += "{\"document\": \"" + std::string(9'999 + i, 'd') + "\", \"summary\": \"" + std::to_string(i) + "\"}\n";
  }
  write_bytes(folder.path() / "pairs.jsonl", lines);
  const std::vector<SummaryPair> read = read_summary_pairs(folder.path() / "pairs.jsonl");
  ASSERT_EQ(read.size(), 300U);
  for (std::size_t i = 0; i < read.size(); ++i) {
    EXPECT_EQ(read[i].document.size(), 9'999 + i);
    EXPECT_EQ(read[i].summary, std::to_string(i));
  }
}

TEST(SummaryPairs, BadLinesAreNamed) {
  const TemporaryFolder folder;
  const std::filesystem::path path = folder.path() / "pairs.jsonl";
  const std::string good = "{\"document\": \"d\", \"summary\": \"s\"}\n";
  const auto error_of_line = [&](const std::string& line) {
    write_bytes(path, good + line + "\n" + good);
    return message_of([&] { read_summary_pairs(path); });
  };
  for (const char* line :
       {"{\"document\": \"d\"", "[1]", "{\"document\": \"d\"}", "{\"document\": 3, \"summary\": \"s\"}",
        "{\"document\": \"\", \"summary\": \"s\"}", "{\"document\": \"d\", \"summary\": \"\"}",
        "{\"document\": \"\xff\", \"summary\": \"s\"}"}) {
    EXPECT_THAT(error_of_line(line), HasSubstr(path.string() + ", line 2: ")) << line;
  }
  EXPECT_THAT(error_of_line("{\"document\": \"d\"}"), HasSubstr("\"summary\""));
  // Blank lines are no pairs, but lines.
  EXPECT_THAT(error_of_line("\n \t\r\n[1]"), HasSubstr(path.string() + ", line 4: "));
  write_bytes(path,
              "\xEF\xBB\xBF\r\n\xEF\xBB\xBF" + good + "\n{\"n\": -1e999, \"document\": \"e\", \"summary\": \"\"}\r\n");
  EXPECT_THAT(message_of([&] { read_summary_pairs(path); }),
              HasSubstr(path.string() + ", line 4: the summary is empty"));
  const std::vector<SummaryPair> to_judge = read_summary_pairs(path, true);
  ASSERT_EQ(to_judge.size(), 2U);
  EXPECT_EQ(to_judge[0].document, "d");
  EXPECT_EQ(to_judge[1].source, path.string() + ", line 4");
  write_bytes(path, "");
  EXPECT_THAT(message_of([&] { read_summary_pairs(path); }), HasSubstr(path.string()));
  EXPECT_THAT(message_of([&] { read_summary_pairs(folder.path() / "nowhere.jsonl"); }), HasSubstr("nowhere.jsonl"));
}

// The definition in words, row by row.
void expect_row(const TokenBatch& batch, std::int64_t row, const std::string& document, const std::string& summary) {
  const std::string prompt = document + "\n\nTL;DR:\n";
  std::vector<std::int64_t> ids;
  for (const char byte : prompt + summary) ids.push_back(static_cast<unsigned char>(byte));
  ids.push_back(bytes.end_of_text_id());
  ASSERT_LE(static_cast<std::int64_t>(ids.size()) - 1, batch.length);
  for (std::int64_t i = 0; i < batch.length; ++i) {
    const auto at = static_cast<std::size_t>(i);
    const std::size_t flat = static_cast<std::size_t>(row * batch.length) + at;
    EXPECT_EQ(batch.input_ids[flat], at + 1 < ids.size() ? ids[at] : padding_id) << at;
    EXPECT_EQ(batch.labels[flat], at + 1 >= prompt.size() && at + 1 < ids.size() ? ids[at + 1] : ignored_label) << at;
  }
}

TEST(SummaryBatches, LabelsAreTheSummaryAndItsEnd) {
  const TokenBatch batch = make_summary_batches({pairs[1]}, "f", bytes, {.length = 100})->next();
  EXPECT_EQ(batch.num_sequences, 1);
  EXPECT_EQ(batch.length, 10 + 9 + 8);
  EXPECT_TRUE(batch.loss_weights.empty());
  expect_row(batch, 0, "Dogs bark.", "Of dogs.");
  const TokenBatch all = make_summary_batches(pairs, "f", bytes, {.length = 100, .batch_size = 3})->next();
  for (std::int64_t row = 0; row < 3; ++row) {
    const std::int64_t first = all.input_ids[static_cast<std::size_t>(row * all.length)];
    const auto pair = std::ranges::find_if(pairs, [&](const SummaryPair& one) { return one.document[0] == first; });
    ASSERT_NE(pair, pairs.end());
    expect_row(all, row, pair->document, pair->summary);
  }
}

TEST(SummaryBatches, DocumentsAreCutAtTheirEnds) {
  const TokenBatch batch = make_summary_batches({pairs[0]}, "f", bytes, {.length = 21})->next();
  EXPECT_EQ(batch.length, 20);
  expect_row(batch, 0, "A long", "Cats.");
  EXPECT_NO_THROW(make_summary_batches({pairs[0]}, "f", bytes, {.length = 16}));
  SummaryPair second = pairs[0];
  second.source = "f.jsonl, line 2";
  EXPECT_THAT(message_of([&] { make_summary_batches({pairs[2], second}, "f.jsonl", bytes, {.length = 15}); }),
              AllOf(HasSubstr("f.jsonl, line 2"), HasSubstr("5 tokens")));
}

TEST(SummaryBatches, TextWeightMakesEveryTokenALabel) {
  const TokenBatch batch =
      make_summary_batches(pairs, "f", bytes, {.length = 100, .batch_size = 3, .text_loss_weight = 0.5})->next();
  double sum = 0;
  for (std::size_t i = 0; i < batch.labels.size(); ++i) {
    EXPECT_EQ(batch.labels[i] == ignored_label, batch.input_ids[i] == padding_id);
    if (batch.labels[i] == ignored_label) {
      EXPECT_EQ(batch.loss_weights[i], 0);
    }
    sum += batch.loss_weights[i];
  }
  EXPECT_NEAR(sum, 1.5, 1e-5);
}

TEST(SummaryBatches, EachEpochHasEveryPairOnce) {
  std::vector<SummaryPair> many;
  for (int i = 0; i < 10; ++i) many.push_back({std::string(1, static_cast<char>('a' + i)), "s"});
  const auto source = make_summary_batches(many, "f", bytes, {.length = 30, .batch_size = 4});
  std::vector<std::string> epochs(4);
  for (int batch_index = 0, drawn = 0; batch_index < 10; ++batch_index) {
    const TokenBatch batch = source->next();
    for (std::int64_t row = 0; row < 4; ++row, ++drawn) {
      epochs[static_cast<std::size_t>(drawn / 10)] +=
          static_cast<char>(batch.input_ids[static_cast<std::size_t>(row * batch.length)]);
    }
  }
  EXPECT_NE(epochs[0], epochs[1]);
  for (std::string& epoch : epochs) {
    std::ranges::sort(epoch);
    EXPECT_EQ(epoch, "abcdefghij");
  }
}

TEST(SummaryBatches, StateRestoresExactly) {
  const SummaryBatchesConfig config{.length = 100, .batch_size = 2, .seed = 5};
  const auto original = make_summary_batches(pairs, "f", bytes, config);
  for (int i = 0; i < 7; ++i) original->next();
  const auto restored = make_summary_batches(pairs, "f", bytes, config);
  restored->restore(parse_json(original->state().dump(), "state"));
  for (int i = 0; i < 8; ++i) {
    const TokenBatch one = original->next();
    const TokenBatch other = restored->next();
    EXPECT_EQ(other.input_ids, one.input_ids);
    EXPECT_EQ(other.labels, one.labels);
  }
  EXPECT_EQ(restored->state(), original->state());

  EXPECT_THROW(restored->restore(Json::object()), Error);
  const auto shorter = make_summary_batches({pairs[0]}, "f", bytes, config);
  EXPECT_THROW(restored->restore(shorter->state()), Error);
  Json state = original->state();
  state["position"] = 4;
  EXPECT_THROW(restored->restore(state), Error);
}

}  // namespace
}  // namespace lookback
