// Beam search against all texts there are, and against a plain search that computes every logit by the whole forward.
#include "generate/beam_search.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "core/stop.h"
#include "generate/generator.h"
#include "generate/score.h"
#include "generate/scripted_model.h"
#include "generate/small_models.h"

namespace lookback {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

GenerateConfig beams(std::int64_t num_beams, std::int64_t max_new_tokens) {
  GenerateConfig config;
  config.num_beams = num_beams;
  config.stop.max_new_tokens = max_new_tokens;
  config.segment_tokens = 16;
  return config;
}

std::vector<std::int64_t> some_ids(const ModelConfig& config, std::int64_t count) {
  const at::Tensor ids = random_ids(config, 1, count, 3);
  return {ids.const_data_ptr<std::int64_t>(), ids.const_data_ptr<std::int64_t>() + count};
}

struct Candidate {
  std::vector<std::int64_t> ids;
  double log_probability = 0;
};

// Log-probabilities [V] after prompt and ids, -infinity for the landmark.
at::Tensor next_log_probabilities(Model& model, std::vector<std::int64_t> prompt,
                                  const std::vector<std::int64_t>& ids) {
  prompt.insert(prompt.end(), ids.begin(), ids.end());
  const at::Tensor logits = whole_logits(model, at::tensor(prompt, at::kLong).unsqueeze(0));
  at::Tensor scores = at::log_softmax(logits[0][logits.size(1) - 1].to(at::kDouble), 0);
  if (model.config().has_landmarks()) scores[model.config().landmark_id] = -INFINITY;
  return scores;
}

// The `num_beams` best of all continuations of the candidates, for texts that do not end.
std::vector<Candidate> plain_step(Model& model, const std::vector<std::int64_t>& prompt,
                                  const std::vector<Candidate>& candidates, std::size_t num_beams) {
  std::vector<Candidate> next;
  for (const Candidate& candidate : candidates) {
    const at::Tensor scores = next_log_probabilities(model, prompt, candidate.ids);
    for (std::int64_t id = 0; id < scores.size(0); ++id) {
      next.push_back(candidate);
      next.back().ids.push_back(id);
      next.back().log_probability += scores[id].item<double>();
    }
  }
  std::ranges::stable_sort(next, std::ranges::greater{}, &Candidate::log_probability);
  next.resize(std::min(next.size(), num_beams));
  return next;
}

TEST(BeamSearch, FollowsAPlainSearchOverChunkEnds) {
  for (const SmallModelCase& small : small_model_cases()) {
    SCOPED_TRACE(small.name);
    const auto model = make_small_model(small.config);
    const std::vector<std::int64_t> prompt = some_ids(small.config, 45);
    std::vector<Candidate> candidates = {{}};
    for (int step = 0; step < 18; ++step) candidates = plain_step(*model, prompt, candidates, 3);
    const GenerateResult result = generate(*model, nullptr, prompt, beams(3, 18));
    ASSERT_EQ(result.hypotheses.size(), 3U);
    EXPECT_EQ(result.ids, candidates[0].ids);
    for (std::size_t i = 0; i < 3; ++i) {
      EXPECT_EQ(result.hypotheses[i].ids, candidates[i].ids);
      EXPECT_NEAR(result.hypotheses[i].log_probability, candidates[i].log_probability, 1e-3);
      EXPECT_NEAR(result.hypotheses[i].score, candidates[i].log_probability / 18, 1e-4);
    }
  }
}

TEST(BeamSearch, EnoughBeamsFindTheBestOfAllTexts) {
  const ModelConfig config = small_model_cases().at(0).config;
  const auto model = make_small_model(config);
  const std::vector<std::int64_t> prompt = some_ids(config, 23);
  // All texts of two tokens.
  std::vector<Candidate> all = plain_step(*model, prompt, plain_step(*model, prompt, {{}}, 41), 1);
  const GenerateResult wide = generate(*model, nullptr, prompt, beams(41, 2));
  EXPECT_EQ(wide.ids, all[0].ids);
  GenerateConfig greedy = beams(1, 2);
  greedy.sampling.greedy = true;
  EXPECT_EQ(generate(*model, nullptr, prompt, beams(2, 1)).ids,
            std::vector<std::int64_t>{plain_step(*model, prompt, {{}}, 1)[0].ids[0]});
  EXPECT_EQ(generate(*model, nullptr, prompt, greedy).ids[0], plain_step(*model, prompt, {{}}, 1)[0].ids[0]);
}

// Ids are bytes; the model says "ab" and the end of the text, whatever the beam; the second best are the bytes' next.
class ScriptedBeams : public ::testing::Test {
 protected:
  static GenerateResult run(const GenerateConfig& config, const GenerateListener& listener = {}) {
    ScriptedModel model({'a', 'b', 256, 'c', 'd'}, 258, "drt");
    const ByteTokenizer tokenizer;
    return generate(model, &tokenizer, std::vector<std::int64_t>{65}, config, listener);
  }
};

TEST_F(ScriptedBeams, TextsThatEndAreKeptByTheirScore) {
  const GenerateResult result = run(beams(2, 6));
  EXPECT_EQ(result.ids, (std::vector<std::int64_t>{'a', 'b', 256}));
  EXPECT_EQ(result.text, "ab");
  EXPECT_EQ(result.stop_reason, StopReason::end_of_text);
  // 20 and 10 are the logits that the script gives its best and second best, 0 all others: the second beam leaves the
  // script once.
  ASSERT_EQ(result.hypotheses.size(), 2U);
  const double sure = -std::log1p(std::exp(-10.0) + 256 * std::exp(-20.0));
  EXPECT_NEAR(result.hypotheses[0].log_probability, 3 * sure, 1e-6);
  EXPECT_NEAR(result.hypotheses[0].score, sure, 1e-6);
  EXPECT_NEAR(result.hypotheses[1].log_probability, 3 * sure - 10, 1e-4);
  // Both end with the third token, and nothing that goes on could be better.
  EXPECT_EQ(result.num_decode_steps, 2);
}

TEST_F(ScriptedBeams, LengthPenaltyChoosesBetweenShortAndLong) {
  // Ended texts of 3 tokens and those cut at 5 have about the same log-probability a token; without a penalty the
  // shorter wins, with a large one the longer.
  GenerateConfig config = beams(3, 5);
  config.length_penalty = 0;
  EXPECT_EQ(run(config).ids.size(), 3U);
  config.stop.stop_at_end_of_text = false;
  EXPECT_EQ(run(config).ids.size(), 5U);
}

TEST_F(ScriptedBeams, StopStringsEndBeams) {
  GenerateConfig config = beams(2, 6);
  config.stop.stop_strings = {"ab"};
  const GenerateResult result = run(config);
  EXPECT_EQ(result.ids, (std::vector<std::int64_t>{'a', 'b'}));
  EXPECT_EQ(result.text, "");
  EXPECT_EQ(result.stop_reason, StopReason::stop_string);
}

TEST_F(ScriptedBeams, TellsItsListener) {
  std::string text;
  std::vector<std::int64_t> ids;
  GenerateListener listener;
  listener.on_text = [&](std::string_view shown) { text += shown; };
  listener.on_token = [&](std::int64_t id) { ids.push_back(id); };
  EXPECT_EQ(run(beams(2, 6), listener).text, text);
  EXPECT_EQ(ids.size(), 3U);
  StopSource stop;
  stop.request_stop();
  listener.stop = stop.token();  // once the prompt is read there is a token
  const GenerateResult stopped = run(beams(2, 6), listener);
  EXPECT_EQ(stopped.stop_reason, StopReason::interrupted);
  EXPECT_EQ(stopped.ids.size(), 1U);
}

TEST_F(ScriptedBeams, RefusesWhatItDoesNotTake) {
  GenerateConfig config = beams(2, 6);
  config.sampling.temperature = 0.5;
  EXPECT_THAT([&] { run(config); }, ThrowsMessage<Error>(HasSubstr("leave out temperature")));
  config = beams(2, 6);
  config.explain = true;
  EXPECT_THAT([&] { run(config); }, ThrowsMessage<Error>(HasSubstr("leave out explain")));
  config = beams(2, 6);
  config.length_penalty = INFINITY;
  EXPECT_THAT([&] { run(config); }, ThrowsMessage<Error>(HasSubstr("length-penalty")));
  EXPECT_THAT([&] { run(beams(0, 6)); }, ThrowsMessage<Error>(HasSubstr("num-beams 0")));
}

}  // namespace
}  // namespace lookback
