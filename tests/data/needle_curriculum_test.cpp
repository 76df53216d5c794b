#include "data/needle_curriculum.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <regex>
#include <set>

#include "core/error.h"
#include "data/needle_sequence.h"

namespace lookback {
namespace {

using testing::ElementsAre;

std::string row_text(const TokenBatch& batch, std::int64_t row) {
  std::string text;
  for (std::int64_t i = 0; i < batch.length; ++i) text += static_cast<char>(batch.input_ids[row * batch.length + i]);
  return text;
}

TEST(NeedleCurriculum, BatchesHaveTheRecipesShapes) {
  NeedleCurriculum curriculum({.seed = 3});
  const std::int64_t expected[][4]{{16, 6, 1, 2}, {12, 8, 2, 2}, {8, 12, 4, 3}, {6, 16, 6, 5}};
  for (const auto& [sequences, chunks, needles, questions] : expected) {
    const TokenBatch batch = curriculum.next();
    EXPECT_EQ(batch.num_sequences, sequences);
    EXPECT_EQ(batch.length, chunks * 31);
    EXPECT_EQ(batch.input_ids.size(), batch.labels.size());
    EXPECT_EQ(batch.answer_positions.size(), static_cast<std::size_t>(sequences * questions * 5));
    EXPECT_EQ(batch.answer_length, 5);
    for (int i = 0; i < 40; ++i) curriculum.observe(1);
  }
}

// The definition in words: each question's answer is the value of the needle with its key, found by searching
// the text.
TEST(NeedleCurriculum, EveryQuestionIsAnsweredByItsNeedle) {
  NeedleCurriculum curriculum({.stages = {{16, 6, 5}}, .seed = 5});
  const TokenBatch batch = curriculum.next();
  const std::regex needle("\\|key ([a-z]+) is ([0-9]{5})\\|");
  const std::regex question("\\|What is key ([a-z]+)\\? It is ([0-9]{5})\\|");
  for (std::int64_t row = 0; row < batch.num_sequences; ++row) {
    const std::string text = row_text(batch, row);
    std::map<std::string, std::string> values;
    for (std::sregex_iterator it(text.begin(), text.end(), needle), end; it != end; ++it) {
      EXPECT_TRUE(values.emplace((*it)[1], (*it)[2]).second) << "key twice: " << (*it)[1];
      EXPECT_EQ(it->position() / 31, (it->position() + it->length() - 1) / 31) << "a needle crosses a chunk's end";
    }
    EXPECT_EQ(values.size(), 6U);
    std::set<std::string> asked;
    std::int64_t num_questions = 0;
    for (std::sregex_iterator it(text.begin(), text.end(), question), end; it != end; ++it, ++num_questions) {
      EXPECT_EQ(values.at((*it)[1]), (*it)[2]);
      asked.insert((*it)[1]);
      EXPECT_EQ((it->position(2) - 1) % 31, 0) << "the answer's blank opens a chunk";
      const std::size_t group = static_cast<std::size_t>(row * 5 + num_questions) * 5;
      for (std::int64_t digit = 0; digit < 5; ++digit) {
        const std::int64_t position = batch.answer_positions[group + digit];
        EXPECT_EQ(position, row * batch.length + it->position(2) + digit - 1);
        EXPECT_EQ(batch.labels[position], (*it)[2].str()[digit]);
      }
    }
    EXPECT_EQ(num_questions, 5);
    EXPECT_EQ(asked.size(), 5U) << "a needle was asked for twice";
  }
}

TEST(NeedleCurriculum, LossWeightsAreTwoMeans) {
  NeedleCurriculum curriculum({.seed = 1});
  const TokenBatch batch = curriculum.next();
  EXPECT_NEAR(std::accumulate(batch.loss_weights.begin(), batch.loss_weights.end(), 0.0), 1.5, 1e-4);
  const double text_weight = 0.5 / static_cast<double>(batch.num_sequences * (batch.length - 1));
  const double answer_weight = 1.0 / static_cast<double>(batch.num_sequences * 2 * 6);
  std::int64_t num_answer_tokens = 0;
  for (std::size_t i = 0; i < batch.labels.size(); ++i) {
    const bool last = static_cast<std::int64_t>(i) % batch.length == batch.length - 1;
    EXPECT_EQ(batch.labels[i], last ? ignored_label : batch.input_ids[i + 1]);
    if (last) {
      EXPECT_EQ(batch.loss_weights[i], 0);
    } else if (batch.loss_weights[i] > 2 * text_weight) {
      ++num_answer_tokens;
      EXPECT_NEAR(batch.loss_weights[i], text_weight + answer_weight, 1e-7);
    } else {
      EXPECT_NEAR(batch.loss_weights[i], text_weight, 1e-9);
    }
  }
  EXPECT_EQ(num_answer_tokens, batch.num_sequences * 2 * 6);
}

TEST(NeedleCurriculum, NextStageWhenTheRunningMeanPasses) {
  NeedleCurriculum curriculum({.seed = 1});
  double mean = 0;
  std::int64_t batches = 0;
  while (mean <= 0.6) {
    EXPECT_EQ(curriculum.next().length, 6 * 31);
    mean = 0.9 * mean + 0.1 * 0.9;
    curriculum.observe(0.9);
    ++batches;
  }
  curriculum.observe(std::nan(""));  // a batch without answers changes nothing
  EXPECT_EQ(curriculum.next().length, 8 * 31);
  EXPECT_THAT(curriculum.stage_starts(), ElementsAre(0, batches));
  curriculum.observe(1);  // the mean began again at 0
  EXPECT_EQ(curriculum.next().length, 8 * 31);
}

TEST(NeedleCurriculum, AScheduleReplaysAnotherRun) {
  NeedleCurriculum adaptive({.seed = 7});
  std::vector<TokenBatch> first;
  for (int i = 0; i < 30; ++i) {
    first.push_back(adaptive.next());
    adaptive.observe(1);
  }
  ASSERT_EQ(adaptive.stage_starts().size(), 4U);
  NeedleCurriculum replay({.seed = 7, .scheduled_starts = adaptive.stage_starts()});
  for (const TokenBatch& batch : first) {
    const TokenBatch again = replay.next();
    EXPECT_EQ(again.input_ids, batch.input_ids);
    EXPECT_EQ(again.loss_weights, batch.loss_weights);
    replay.observe(0);
  }
}

TEST(NeedleCurriculum, StateRestoresExactly) {
  NeedleCurriculum original({.seed = 11});
  for (int i = 0; i < 13; ++i) {
    original.next();
    original.observe(i % 2 == 0 ? 1 : 0.8);
  }
  NeedleCurriculum restored({.seed = 11});
  restored.restore(parse_json(original.state().dump(), "state"));
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(restored.next().input_ids, original.next().input_ids);
    restored.observe(0.9);
    original.observe(0.9);
  }
  EXPECT_EQ(restored.state(), original.state());
}

TEST(NeedleCurriculum, RefusesForeignStates) {
  NeedleCurriculum curriculum({.seed = 11});
  EXPECT_THROW(curriculum.restore(Json::object()), Error);
  EXPECT_THROW(curriculum.restore(NeedleCurriculum({.seed = 12}).state()), Error);
  Json state = curriculum.state();
  state["stage_starts"] = {0, 1, 2, 3, 4};
  EXPECT_THROW(curriculum.restore(state), Error);
  state["stage_starts"] = Json::array();
  EXPECT_THROW(curriculum.restore(state), Error);
}

TEST(NeedleCurriculum, RefusesStagesWithoutRoom) {
  EXPECT_THROW(NeedleCurriculum({.stages = {{6, 3, 2}}}), Error);
  EXPECT_THROW(NeedleCurriculum({.chunk_size = 20}), Error);
  EXPECT_THROW(NeedleCurriculum({.stages = {}}), Error);
}

TEST(NeedleSequence, DepthAndEmptyChunks) {
  const std::vector<std::int64_t> haystack(5000, 'x');
  const NeedleSequenceShape shape{
      .chunk_size = 31, .num_chunks = 40, .num_needles = 6, .num_questions = 1, .num_empty_chunks = 6};
  for (const double depth : {0.0, 0.25, 0.5, 1.0, -1.0}) {
    for (std::uint64_t seed = 0; seed < 50; ++seed) {
      Random random(seed);
      NeedleSequenceShape deep = shape;
      deep.depth = depth;
      const NeedleSequence sequence = make_needle_sequence(haystack, deep, random);
      std::string text(sequence.ids.begin(), sequence.ids.end());
      const std::int64_t chunk = sequence.needle_begins[0] / 31;
      if (depth >= 0) {
        EXPECT_EQ(chunk, std::lround(depth * 31));  // chunks 0 to 31 may hold needles
      }
      EXPECT_EQ(text.substr(static_cast<std::size_t>(sequence.needle_begins[0]), 5), "|key ");
      EXPECT_EQ(sequence.answer_begins[0], 39 * 31 + 1);
      const std::string empty = text.substr(std::size_t{32} * 31, std::size_t{6} * 31);
      EXPECT_EQ(empty, std::string(empty.size(), 'x'));
      std::size_t num_needles = 0;
      for (std::size_t at = text.find("|key "); at != std::string::npos; at = text.find("|key ", at + 1)) ++num_needles;
      EXPECT_EQ(num_needles, 6U);
    }
  }
}

TEST(NeedleSequence, SentencesFollowTheWordRanks) {
  Random random(1);
  const std::string text = make_sentences(2'000'000, random);
  EXPECT_EQ(text.size(), 2'000'000U);
  std::map<std::string, int> counts;
  int num_words = 0;
  const std::regex word("[A-Za-z]+");
  for (std::sregex_iterator it(text.begin(), text.end(), word), end; it != end; ++it, ++num_words) {
    std::string lower = it->str();
    lower[0] = static_cast<char>(lower[0] | 0x20);
    ++counts[lower];
  }
  // "the" has rank 0: 1/8 against 1/9 for "of" and 1/10 for "and".
  EXPECT_NEAR(static_cast<double>(counts["of"]) / counts["the"], 8.0 / 9, 0.06);
  EXPECT_NEAR(static_cast<double>(counts["and"]) / counts["the"], 0.8, 0.06);
}

}  // namespace
}  // namespace lookback
