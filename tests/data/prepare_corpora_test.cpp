#include "data/prepare_corpora.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "core/error.h"
#include "core/files.h"
#include "data/dataset_folder.h"
#include "data/prepare_runs.h"
#include "data/token_dataset.h"
#include "lookback/stop.h"
#include "text/bytes_tokenizer.h"

namespace lookback {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;

class PrepareCorpora : public ::testing::Test {
 protected:
  PrepareCorpora() {
    // 10 and 20 tokens with the end of text; then four documents of 5.
    write_bytes(folder_.path() / "code/a.txt", "code-no-1");
    write_bytes(folder_.path() / "code/b.txt", "code-no-2 is longer");
    write_bytes(folder_.path() / "books.jsonl",
                "{\"text\": \"b--1\"}\n{\"text\": \"b--2\"}\nbroken\n{\"text\": \"b--3\"}\n{\"text\": \"b--4\"}\n");
    config_.prepare = small_config({}, folder_.path() / "out");
    config_.corpora = {{"code", {folder_.path() / "code"}, 1.0}, {"books", {folder_.path() / "books.jsonl"}, 2.0}};
  }

  std::string error_of(const CorporaConfig& config) const {
    try {
      prepare_corpora(config, BytesTokenizer(), {});
    } catch (const Error& error) {
      return error.what();
    }
    return "(no error)";
  }

  std::map<std::string, int> counted_documents(const fs::path& folder) const {
    std::map<std::string, int> counts;
    for (const std::string& text : documents_of(folder)) ++counts[text];
    return counts;
  }

  TemporaryFolder folder_;
  CorporaConfig config_;
};

// By hand: code has 30 tokens, books 20. Shares 1 : 2 with every document: 30 of code, 60 of books, three times each.
TEST_F(PrepareCorpora, WeightsAreSharesOfTheTokens) {
  const PrepareResult result = prepare_corpora(config_, BytesTokenizer(), {});
  EXPECT_THAT(counted_documents(config_.prepare.out),
              UnorderedElementsAre(Pair("code-no-1", 1), Pair("code-no-2 is longer", 1), Pair("b--1", 3),
                                   Pair("b--2", 3), Pair("b--3", 3), Pair("b--4", 3)));
  const DatasetManifest manifest = TokenDataset(config_.prepare.out).manifest();
  EXPECT_EQ(manifest.num_tokens, 90);
  EXPECT_EQ(manifest.num_documents, 14);
  ASSERT_EQ(manifest.mixture.corpora.size(), 2U);
  const MixtureEntry& books = manifest.mixture.corpora[1];
  EXPECT_EQ(books.name, "books");
  EXPECT_EQ(books.weight, 2.0);
  EXPECT_THAT(
      (std::vector<std::int64_t>{books.num_documents, books.num_tokens, books.mixed_documents, books.mixed_tokens}),
      ElementsAre(4, 20, 12, 60));
  EXPECT_EQ(manifest.sources.size(), 3U);
  EXPECT_EQ(result.num_skipped, 1);
  EXPECT_EQ(result.num_inputs, 3);
  EXPECT_THAT(read_file(config_.prepare.out / "skipped.log"), HasSubstr("books.jsonl:3: "));
  EXPECT_FALSE(fs::exists(config_.prepare.out / "corpora"));
  const PrepareResult again = prepare_corpora(config_, BytesTokenizer(), {});
  EXPECT_TRUE(again.already_done);
  EXPECT_EQ(again.num_skipped, 1);
  EXPECT_EQ(again.mixture.corpora.size(), 2U);
}

TEST_F(PrepareCorpora, FewerTokensThanThereAre) {
  // 15 tokens: 5 of code (its smaller document has 10, and it gives one at least), 10 of books.
  config_.mixed_tokens = 15;
  prepare_corpora(config_, BytesTokenizer(), {});
  const DatasetManifest manifest = TokenDataset(config_.prepare.out).manifest();
  EXPECT_EQ(manifest.mixture.corpora[0].mixed_documents, 1);
  EXPECT_EQ(manifest.mixture.corpora[1].mixed_tokens, 10);
}

TEST_F(PrepareCorpora, WithoutWeightsEveryDocumentOnce) {
  for (Corpus& corpus : config_.corpora) corpus.weight.reset();
  prepare_corpora(config_, BytesTokenizer(), {});
  for (const auto& [text, count] : counted_documents(config_.prepare.out)) EXPECT_EQ(count, 1) << text;
  EXPECT_EQ(TokenDataset(config_.prepare.out).num_documents(), 6);
}

TEST_F(PrepareCorpora, ValidationHoldsItsDocumentsOnce) {
  config_.prepare.valid_fraction = 0.4;
  prepare_corpora(config_, BytesTokenizer(), {});
  const auto valid = counted_documents(config_.prepare.out / "valid");
  const auto train = counted_documents(config_.prepare.out / "train");
  EXPECT_EQ(valid.size() + train.size(), 6U);
  for (const auto& [text, count] : valid) {
    EXPECT_EQ(count, 1) << text;
    EXPECT_EQ(train.count(text), 0U) << text;
  }
  EXPECT_TRUE(TokenDataset(config_.prepare.out / "valid").manifest().mixture.corpora.empty());
  EXPECT_FALSE(TokenDataset(config_.prepare.out / "train").manifest().mixture.corpora.empty());
}

// Stopped at every call of the progress function: in each corpus, and while the documents are mixed.
TEST_F(PrepareCorpora, GoesOnWhereItWasStopped) {
  write_bytes(folder_.path() / "code/long.txt", generated_text(3'000'000, 1));
  for (Corpus& corpus : config_.corpora) corpus.weight.reset();
  prepare_corpora(config_, BytesTokenizer(), {});
  CorporaConfig stopped = config_;
  stopped.prepare.out = folder_.path() / "stopped";
  for (std::int64_t num_calls = 1;; ++num_calls) {
    ASSERT_LT(num_calls, 100);
    StopSource source;
    std::int64_t calls = 0;
    PrepareListener listener;
    listener.stop = source.token();
    listener.progress = [&](const PrepareProgress&) {
      if (++calls >= num_calls) source.request_stop();
    };
    if (!prepare_corpora(stopped, BytesTokenizer(), listener).interrupted) break;
    EXPECT_THROW(TokenDataset{stopped.prepare.out}, Error);
  }
  EXPECT_TRUE(content_of(stopped.prepare.out) == content_of(config_.prepare.out));
}

TEST_F(PrepareCorpora, AnotherMixtureIsAnotherCommand) {
  prepare_corpora(config_, BytesTokenizer(), {});
  CorporaConfig other = config_;
  other.corpora[0].weight = 3.0;
  EXPECT_THAT(error_of(other), AllOf(HasSubstr("another command"), HasSubstr("corpora")));
  other = config_;
  other.seed = 1;
  EXPECT_THAT(error_of(other), HasSubstr("seed was 0, now 1"));
  PrepareConfig single = config_.prepare;
  single.inputs = {folder_.path() / "code"};
  EXPECT_THAT(prepare_error(single), HasSubstr("another command"));
  other.prepare.force = true;
  EXPECT_EQ(error_of(other), "(no error)");
  EXPECT_EQ(TokenDataset(config_.prepare.out).manifest().mixture.seed, 1U);
}

TEST_F(PrepareCorpora, AnUnfinishedMixtureIsKept) {
  StopSource source;
  PrepareListener listener;
  listener.stop = source.token();
  listener.progress = [&](const PrepareProgress& progress) {
    if (progress.mixed_documents_total > 0) source.request_stop();
  };
  EXPECT_TRUE(prepare_corpora(config_, BytesTokenizer(), listener).interrupted);
  PrepareConfig single = config_.prepare;
  single.inputs = {folder_.path() / "code"};
  EXPECT_THAT(prepare_error(single), AllOf(HasSubstr("unfinished"), HasSubstr("another command")));
  single.force = true;
  EXPECT_EQ(prepare_error(single), "(no error)");
  EXPECT_FALSE(fs::exists(single.out / "corpora"));
}

TEST_F(PrepareCorpora, RefusesWhatIsNoMixture) {
  const auto error_with = [&](const auto& change) {
    CorporaConfig config = config_;
    change(config);
    return error_of(config);
  };
  EXPECT_THAT(error_with([](CorporaConfig& c) { c.corpora[0].weight = 0.0; }), HasSubstr("expected a number above 0"));
  EXPECT_THAT(error_with([](CorporaConfig& c) { c.corpora[1].weight.reset(); }), HasSubstr("to all or to none"));
  EXPECT_THAT(error_with([](CorporaConfig& c) { c.corpora[1].name = "code"; }), HasSubstr("named twice"));
  EXPECT_THAT(error_with([](CorporaConfig& c) { c.corpora[1].name = "../x"; }), HasSubstr("expected a name"));
  EXPECT_THAT(error_with([](CorporaConfig& c) { c.corpora[1].inputs.clear(); }), HasSubstr("no inputs"));
  EXPECT_THAT(error_with([](CorporaConfig& c) { c.corpora.clear(); }), HasSubstr("no corpora"));
  EXPECT_THAT(error_with([](CorporaConfig& c) { c.mixed_tokens = -1; }), HasSubstr("expected 1 or more"));
  EXPECT_THAT(error_with([](CorporaConfig& c) { c.prepare.strict = true; }), HasSubstr("books.jsonl:3: "));
}

}  // namespace
}  // namespace lookback
