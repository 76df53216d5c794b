#include "data/corpus_batches.h"

#include <gtest/gtest.h>

#include <map>
#include <numeric>
#include <set>

#include "core/error.h"
#include "data/dataset_folder.h"

namespace lookback {
namespace {

// One document of the ids 0 .. size - 1 (so that a token says where it stands), the end of text behind it.
std::shared_ptr<const TokenDataset> counting_dataset(const TemporaryFolder& folder, std::int64_t size) {
  std::vector<std::int64_t> ids(static_cast<std::size_t>(size));
  std::iota(ids.begin(), ids.end(), 0);
  for (std::int64_t& id : ids) id += id >= 256 ? 1 : 0;
  write_dataset(folder.path(), {ids}, 5000, 64);
  return std::make_shared<TokenDataset>(folder.path());
}

TEST(CorpusBatches, EveryTokenIsALabelOnceAnEpoch) {
  for (const std::int64_t size : {5, 16, 17, 33, 100, 500}) {
    const TemporaryFolder folder;
    const auto dataset = counting_dataset(folder, size);
    std::vector<std::int64_t> stream(static_cast<std::size_t>(dataset->num_tokens()));
    dataset->read(0, stream);
    const auto source = make_corpus_batches(dataset, 16, 1, 7);
    std::map<std::int64_t, std::map<std::int64_t, int>> labels_of_epoch;
    std::set<std::int64_t> first_tokens;
    while (source->state().at("epoch") < 4) {
      const TokenBatch batch = source->next();
      const std::int64_t epoch = source->state().at("epoch");
      ASSERT_EQ(batch.input_ids.size(), 16U);
      ASSERT_EQ(batch.labels.size(), 16U);
      first_tokens.insert(batch.input_ids[0]);
      for (std::size_t i = 0; i < 16; ++i) {
        if (batch.labels[i] == ignored_label) continue;
        ++labels_of_epoch[epoch][batch.labels[i]];
        const auto at = std::find(stream.begin(), stream.end(), batch.input_ids[i]) - stream.begin();
        EXPECT_EQ(batch.labels[i], stream.at(static_cast<std::size_t>(at + 1)));
        if (i > 0) {
          EXPECT_EQ(batch.input_ids[i - 1], stream.at(static_cast<std::size_t>(at - 1)));
        }
      }
    }
    for (std::int64_t epoch = 0; epoch < 3; ++epoch) {
      EXPECT_EQ(labels_of_epoch[epoch].size(), stream.size() - 1) << size << " tokens, epoch " << epoch;
      for (const auto& [label, count] : labels_of_epoch[epoch]) EXPECT_EQ(count, 1) << "label " << label;
    }
    // Other cuts in other epochs.
    if (size == 500) {
      EXPECT_GT(first_tokens.size(), 500U / 16 + 10);
    }
  }
}

TEST(CorpusBatches, ResumesExactly) {
  const TemporaryFolder folder;
  const auto dataset = counting_dataset(folder, 300);
  for (const int steps : {0, 1, 6, 7, 40}) {
    const auto source = make_corpus_batches(dataset, 16, 3, 11);
    for (int i = 0; i < steps; ++i) source->next();
    const Json state = parse_json(source->state().dump(), "state");
    const auto resumed = make_corpus_batches(dataset, 16, 3, 11);
    resumed->restore(state);
    for (int i = 0; i < 30; ++i) {
      const TokenBatch expected = source->next();
      const TokenBatch found = resumed->next();
      ASSERT_EQ(found.input_ids, expected.input_ids);
      ASSERT_EQ(found.labels, expected.labels);
    }
  }
}

TEST(CorpusBatches, OrderDependsOnTheSeed) {
  const TemporaryFolder folder;
  const auto dataset = counting_dataset(folder, 300);
  EXPECT_NE(make_corpus_batches(dataset, 16, 4, 1)->next().input_ids,
            make_corpus_batches(dataset, 16, 4, 2)->next().input_ids);
}

TEST(CorpusBatches, PadsADatasetShorterThanASequence) {
  const TemporaryFolder folder;
  const auto dataset = counting_dataset(folder, 3);
  const TokenBatch batch = make_corpus_batches(dataset, 6, 2, 1)->next();
  const std::vector<std::int64_t> row = {0, 1, 2, 256, -1, -1};
  const std::vector<std::int64_t> labels = {1, 2, 256, ignored_label, ignored_label, ignored_label};
  for (std::size_t i = 0; i < 12; ++i) {
    EXPECT_EQ(batch.input_ids[i], row[i % 6]);
    EXPECT_EQ(batch.labels[i], labels[i % 6]);
  }
}

TEST(CorpusBatches, RefusesAnotherRunsState) {
  const TemporaryFolder folder;
  const TemporaryFolder other;
  const auto dataset = counting_dataset(folder, 300);
  const Json state = make_corpus_batches(dataset, 16, 3, 11)->state();
  EXPECT_THROW(make_corpus_batches(dataset, 16, 3, 12)->restore(state), Error);
  EXPECT_THROW(make_corpus_batches(dataset, 32, 3, 11)->restore(state), Error);
  EXPECT_THROW(make_corpus_batches(counting_dataset(other, 200), 16, 3, 11)->restore(state), Error);
  Json beyond = state;
  beyond["position"] = 1000;
  EXPECT_THROW(make_corpus_batches(dataset, 16, 3, 11)->restore(beyond), Error);
  EXPECT_THROW(make_corpus_batches(dataset, 0, 3, 11), Error);
  EXPECT_THROW(make_corpus_batches(dataset, 16, 0, 11), Error);
}

}  // namespace
}  // namespace lookback
