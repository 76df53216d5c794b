#include "data/needle_batches.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>

#include "core/error.h"
#include "data/needle_sequence.h"
#include "text/bytes_tokenizer.h"

namespace lookback {
namespace {

const BytesTokenizer bytes;

std::vector<std::int64_t> sentences() {
  Random random(1);
  const std::string text = make_sentences(20'000, random);
  return {text.begin(), text.end()};
}

NeedleTask task(NeedleKind kind, std::int64_t length) {
  return {.kind = kind, .chunk_size = 32, .length = length, .num_needles = 3, .num_empty_chunks = 1};
}

std::string text_of(const std::vector<std::int64_t>& ids, std::int64_t begin, std::int64_t count) {
  return {ids.begin() + begin, ids.begin() + begin + count};
}

// The task in words: what follows the question is the value of its needle, and nothing else is a label.
TEST(NeedleBatches, LabelsAreTheAnswersAndNothingElse) {
  const auto source =
      make_needle_batches({.tasks = {task(NeedleKind::recipe, 400)}, .batch_size = 4, .seed = 3}, sentences(), bytes);
  for (int i = 0; i < 5; ++i) {
    const TokenBatch batch = source->next();
    EXPECT_EQ(batch.num_sequences, 4);
    EXPECT_EQ(batch.answer_length, 5);
    EXPECT_TRUE(batch.loss_weights.empty());
    ASSERT_EQ(batch.input_ids.size(), static_cast<std::size_t>(4 * batch.length));
    ASSERT_EQ(batch.labels.size(), batch.input_ids.size());
    ASSERT_EQ(batch.answer_positions.size(), 20U);
    std::set<std::int64_t> labelled;
    for (std::size_t at = 0; at < batch.labels.size(); ++at) {
      if (batch.labels[at] != ignored_label) labelled.insert(static_cast<std::int64_t>(at));
    }
    EXPECT_EQ(labelled, std::set<std::int64_t>(batch.answer_positions.begin(), batch.answer_positions.end()));
    for (std::int64_t row = 0; row < 4; ++row) {
      const std::string text = text_of(batch.input_ids, row * batch.length, batch.length);
      // The last digit is a label only.
      const std::size_t question = text.rfind("|What is key ");
      ASSERT_NE(question, std::string::npos);
      const std::size_t key_begin = question + 13;
      const std::string key = text.substr(key_begin, text.find('?', key_begin) - key_begin);
      const std::size_t needle = text.find("|key " + key + " is ");
      ASSERT_NE(needle, std::string::npos) << key;
      const std::string value = text.substr(needle + 9 + key.size(), 5);
      const std::int64_t first = batch.answer_positions[static_cast<std::size_t>(row * 5)];
      EXPECT_EQ(text_of(batch.labels, first, 5), value);
      EXPECT_EQ(first, (row + 1) * batch.length - 5);
      EXPECT_EQ((first - row * batch.length) % 32, 0) << "the question's last token opens a chunk";
    }
  }
}

TEST(NeedleBatches, TextWeightMakesEveryTokenALabel) {
  NeedleBatchesConfig config{.tasks = {task(NeedleKind::single, 512)}, .batch_size = 2, .text_loss_weight = 0.25};
  const TokenBatch batch = make_needle_batches(config, sentences(), bytes)->next();
  EXPECT_EQ(std::count(batch.labels.begin(), batch.labels.end(), ignored_label), 0);
  ASSERT_EQ(batch.loss_weights.size(), batch.labels.size());
  const double text_weight = 0.25 / static_cast<double>(batch.labels.size());
  double sum = 0;
  for (std::size_t at = 0; at < batch.labels.size(); ++at) {
    const bool is_answer =
        std::ranges::find(batch.answer_positions, static_cast<std::int64_t>(at)) != batch.answer_positions.end();
    EXPECT_NEAR(batch.loss_weights[at], text_weight + (is_answer ? 1.0 / 20 : 0), 1e-7);
    sum += batch.loss_weights[at];
  }
  EXPECT_NEAR(sum, 1.25, 1e-5);
}

TEST(NeedleBatches, TasksAndLengthsAreDrawnEvenly) {
  NeedleBatchesConfig config{
      .tasks = {task(NeedleKind::single, 512), task(NeedleKind::multi_hop, 512), task(NeedleKind::recipe, 1024)}};
  const auto source = make_needle_batches(config, sentences(), bytes);
  std::map<std::int64_t, int> counts;  // by the length of the answers
  for (int i = 0; i < 300; ++i) {
    const TokenBatch batch = source->next();
    ++counts[batch.answer_length];
    EXPECT_EQ(batch.length / 512, batch.answer_length == 5 ? 1 : 0);
  }
  ASSERT_EQ(counts.size(), 3U);
  for (const auto& [answer_length, count] : counts) EXPECT_NEAR(count, 100, 30) << answer_length;
}

TEST(NeedleBatches, StateRestoresExactly) {
  const NeedleBatchesConfig config{.tasks = {task(NeedleKind::single, 512), task(NeedleKind::recipe, 512)}, .seed = 4};
  const auto original = make_needle_batches(config, sentences(), bytes);
  for (int i = 0; i < 7; ++i) original->next();
  const auto restored = make_needle_batches(config, sentences(), bytes);
  restored->restore(parse_json(original->state().dump(), "state"));
  for (int i = 0; i < 5; ++i) {
    const TokenBatch one = original->next();
    const TokenBatch other = restored->next();
    EXPECT_EQ(other.input_ids, one.input_ids);
    EXPECT_EQ(other.labels, one.labels);
    EXPECT_EQ(other.answer_positions, one.answer_positions);
  }
  EXPECT_EQ(restored->state(), original->state());
}

TEST(NeedleBatches, HeldOutSamplesAreOthers) {
  NeedleBatchesConfig config{.tasks = {task(NeedleKind::single, 512)}, .seed = 4};
  const auto trained = make_needle_batches(config, sentences(), bytes);
  config.held_out = true;
  const auto held_out = make_needle_batches(config, sentences(), bytes);
  EXPECT_NE(held_out->next().labels, trained->next().labels);
}

TEST(NeedleBatches, RefusesForeignStatesAndBadSettings) {
  const NeedleBatchesConfig config{.tasks = {task(NeedleKind::single, 512)}, .seed = 4};
  const auto source = make_needle_batches(config, sentences(), bytes);
  EXPECT_THROW(source->restore(Json::object()), Error);
  NeedleBatchesConfig other = config;
  other.seed = 5;
  EXPECT_THROW(source->restore(make_needle_batches(other, sentences(), bytes)->state()), Error);
  other = config;
  other.tasks[0].length = 544;
  EXPECT_THROW(source->restore(make_needle_batches(other, sentences(), bytes)->state()), Error);
  std::vector<std::int64_t> text = sentences();
  text[5] = 'q';
  EXPECT_THROW(source->restore(make_needle_batches(config, text, bytes)->state()), Error);
  EXPECT_THROW(make_needle_batches({}, sentences(), bytes), Error);
  other = config;
  other.batch_size = 0;
  EXPECT_THROW(make_needle_batches(other, sentences(), bytes), Error);
  other = config;
  other.tasks[0].length = 64;
  EXPECT_THROW(make_needle_batches(other, sentences(), bytes), Error);
}

}  // namespace
}  // namespace lookback
