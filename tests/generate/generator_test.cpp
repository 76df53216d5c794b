#include "generate/generator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "core/error.h"
#include "core/stop.h"
#include "core/worker_threads.h"
#include "generate/scripted_model.h"
#include "generate/small_models.h"

namespace lookback {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr std::int64_t end_of_text = 256;
constexpr std::int64_t landmark = 257;

std::vector<std::int64_t> bytes_of(const std::string& text) {
  std::vector<std::int64_t> ids;
  for (const char byte : text) ids.push_back(static_cast<unsigned char>(byte));
  return ids;
}

GenerateConfig greedy(std::int64_t max_new_tokens) {
  GenerateConfig config;
  config.sampling.greedy = true;
  config.stop.max_new_tokens = max_new_tokens;
  return config;
}

// What a model whose script is `script` says after a prompt of one token.
struct Story {
  GenerateResult result;
  std::vector<std::string> shown;
  std::vector<std::int64_t> tokens;
  std::vector<std::int64_t> given;
};
Story run(const std::vector<std::int64_t>& script, const GenerateConfig& config) {
  ScriptedModel model(script, 258, "drt");
  const ByteTokenizer tokenizer;
  Story run;
  GenerateListener listener;
  listener.on_text = [&](std::string_view text) { run.shown.emplace_back(text); };
  listener.on_token = [&](std::int64_t id) { run.tokens.push_back(id); };
  run.result = generate(model, &tokenizer, std::vector<std::int64_t>{65}, config, listener);
  run.given = model.seen_ids;
  std::string joined;
  for (const std::string& piece : run.shown) joined += piece;
  EXPECT_EQ(joined, run.result.text);
  EXPECT_EQ(run.tokens, run.result.ids);
  return run;
}

// All at once; in the order of the prompts.
std::vector<GenerateResult> generate_batch(const Model& model, const Tokenizer* tokenizer,
                                           const std::vector<std::vector<std::int64_t>>& prompts,
                                           const std::shared_ptr<const MemorySet>& memories,
                                           const GenerateConfig& config) {
  std::vector<GenerateResult> results(prompts.size());
  generate_all(model, tokenizer, prompts, memories, config, prompts.size(), {},
               [&](std::size_t i, GenerateResult result) { results[i] = std::move(result); });
  return results;
}

std::string message_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(Generator, StopsAtTheNumberOfTokens) {
  const Story four = run(bytes_of("hello"), greedy(4));
  EXPECT_EQ(four.result.text, "hell");
  EXPECT_EQ(four.result.ids, bytes_of("hell"));
  EXPECT_EQ(four.result.stop_reason, StopReason::max_new_tokens);
  EXPECT_EQ(four.result.prompt_tokens, 1);
  // The last token is not read: nothing comes after it.
  EXPECT_EQ(four.result.num_decode_steps, 3);
  EXPECT_EQ(four.given, bytes_of("Ahel"));
  EXPECT_EQ(four.result.memory_bytes, 400);
  EXPECT_EQ(four.result.window_bytes, 7);
  EXPECT_THAT(run(bytes_of("hello"), greedy(0)).result.ids, ElementsAre());
}

TEST(Generator, StopsAtEndOfText) {
  const Story stopped = run({'a', 'b', end_of_text, 'c'}, greedy(9));
  EXPECT_EQ(stopped.result.text, "ab");
  EXPECT_THAT(stopped.result.ids, ElementsAre('a', 'b', end_of_text));
  EXPECT_EQ(stopped.result.stop_reason, StopReason::end_of_text);
  GenerateConfig on = greedy(4);
  on.stop.stop_at_end_of_text = false;
  EXPECT_EQ(run({'a', 'b', end_of_text, 'c'}, on).result.text, "abc");
}

TEST(Generator, StopStringsSpanTokensAndAreNotShown) {
  GenerateConfig config = greedy(30);
  config.stop.stop_strings = {"\n\n", "END"};
  const Story stopped = run(bytes_of("a\nEN b END c"), config);
  EXPECT_EQ(stopped.result.text, "a\nEN b ");
  EXPECT_EQ(stopped.result.ids, bytes_of("a\nEN b END"));
  EXPECT_EQ(stopped.result.stop_reason, StopReason::stop_string);
  EXPECT_EQ(std::string_view("stop_string"), stop_reason_name(stopped.result.stop_reason));
  // What is held back when the tokens run out is shown after all.
  config.stop.max_new_tokens = 9;
  EXPECT_EQ(run(bytes_of("a\nEN b EN"), config).result.text, "a\nEN b EN");
}

TEST(Generator, ShowsWholeCharactersOnly) {
  const Story run_of_accents = run(bytes_of("\xC3\xA9\xE2\x82\xAC!"), greedy(6));
  EXPECT_THAT(run_of_accents.shown, ElementsAre("\xC3\xA9", "\xE2\x82\xAC", "!"));
  // Cut in the middle of a character: the replacement character, so that the text is valid UTF-8.
  EXPECT_EQ(run(bytes_of("x\xE2\x82"), greedy(3)).result.text, "x\xEF\xBF\xBD");
}

TEST(Generator, NeverSamplesTheLandmark) {
  // The second best after the landmark does not exist, so nothing but 0 logits is left: the lowest id.
  EXPECT_THAT(run({landmark}, greedy(1)).result.ids, ElementsAre(0));
  // Without a landmark id the last row is only beyond the tokenizer, and sampled when there is none.
  ScriptedModel model({landmark}, 258, "sliding-window");
  const std::vector<std::int64_t> prompt = {1};
  EXPECT_THAT(generate(model, nullptr, prompt, greedy(1)).ids, ElementsAre(landmark));
  const ByteTokenizer tokenizer;
  EXPECT_THAT(generate(model, &tokenizer, prompt, greedy(1)).ids, ElementsAre(0));
}

TEST(Generator, ForbidsWhatTheTokenizerDoesNotKnow) {
  ModelConfig config;
  config.kind = "drt";
  config.vocab_size = 260;
  config.landmark_id = 258;
  const ByteTokenizer tokenizer;
  EXPECT_THAT(forbidden_ids(config, &tokenizer), ElementsAre(257, 258, 259));
  EXPECT_THAT(forbidden_ids(config, nullptr), ElementsAre(258));
  config.kind = "sliding-window";
  EXPECT_THAT(forbidden_ids(config, nullptr), ElementsAre());
}

TEST(Generator, SameSeedSameText) {
  GenerateConfig config;
  config.stop.max_new_tokens = 40;
  config.sampling.temperature = 30;
  const auto ids = [&](std::uint64_t seed) {
    config.seed = seed;
    return run(bytes_of("hello"), config).result.ids;
  };
  EXPECT_EQ(ids(1), ids(1));
  EXPECT_NE(ids(1), ids(2));
}

TEST(Generator, RepetitionPenaltyCountsPromptAndNewTokens) {
  // The script says 'a' with logit 20 and 'b' with 10: after one 'a' it says 'b', after both 'a' again.
  GenerateConfig config = greedy(3);
  config.sampling.repetition_penalty = 3;
  EXPECT_EQ(run({'a'}, config).result.text, "aba");
  EXPECT_EQ(run({'A'}, config).result.text, "BAA");  // 'A' is the prompt
}

TEST(Generator, StopsWhenAsked) {
  ScriptedModel model(bytes_of("hello"), 258, "drt");
  const ByteTokenizer tokenizer;
  const std::vector<std::int64_t> prompt(20, 65);
  GenerateConfig config = greedy(100);
  config.segment_tokens = 4;  // chunks hold 8
  std::vector<std::int64_t> read;
  int num_tokens = 0;
  GenerateListener listener;
  listener.on_prompt_read = [&](std::int64_t count) { read.push_back(count); };
  StopSource stop;
  listener.on_token = [&](std::int64_t) {
    if (++num_tokens == 3) stop.request_stop();
  };
  listener.stop = stop.token();
  const GenerateResult result = generate(model, &tokenizer, prompt, config, listener);
  EXPECT_THAT(read, ElementsAre(8, 16, 20));
  EXPECT_EQ(result.ids.size(), 3U);
  EXPECT_EQ(result.stop_reason, StopReason::interrupted);
  EXPECT_THROW(generate(model, &tokenizer, prompt, config, listener), Interrupted) << "before anything is said";
}

TEST(Generator, RefusesWhatItCannotContinue) {
  ScriptedModel model(bytes_of("hello"), 258, "drt");
  const auto message = [&](std::vector<std::int64_t> prompt, const GenerateConfig& config) {
    return message_of([&] { generate(model, nullptr, prompt, config); });
  };
  EXPECT_THAT(message({}, greedy(1)), HasSubstr("prompt is empty"));
  EXPECT_THAT(message({1, 258}, greedy(1)), HasSubstr("token 1 has the id 258; the model knows ids from 0 to 257"));
  EXPECT_THAT(message({-1}, greedy(1)), HasSubstr("token 0 has the id -1"));
  EXPECT_THAT(message({1, landmark}, greedy(1)), HasSubstr("landmark"));
  GenerateConfig config = greedy(1);
  config.stop.stop_strings = {"x"};
  EXPECT_THAT(message({1}, config), HasSubstr("stop strings need a tokenizer"));
  EXPECT_THAT(message({1}, greedy(-1)), HasSubstr("max-new-tokens -1"));
}

TEST(Generator, GreedyDecodingOfADrtFollowsTheWholeForward) {
  const ModelConfig config = small_model_cases().at(1).config;
  const auto model = make_small_model(config);
  const at::Tensor ids = random_ids(config, 1, 101, 3);
  std::vector<std::int64_t> text(ids.const_data_ptr<std::int64_t>(), ids.const_data_ptr<std::int64_t>() + 101);
  GenerateConfig settings = greedy(20);
  settings.segment_tokens = 16;
  const GenerateResult result = generate(*model, nullptr, text, settings);
  EXPECT_EQ(result.text, "");
  for (const std::int64_t id : result.ids) {
    const at::Tensor logits = whole_logits(*model, at::tensor(text, at::kLong).unsqueeze(0))
                                  .select(1, static_cast<std::int64_t>(text.size()) - 1);
    EXPECT_EQ(id, logits.narrow(1, 0, config.landmark_id).argmax().item<std::int64_t>());
    text.push_back(id);
  }
}

TEST(Generator, ExplainsWithWhatTheWholeForwardRetrieves) {
  for (const SmallModelCase& small : small_model_cases()) {
    if (small.config.kind != "drt") continue;
    SCOPED_TRACE(small.name);
    const std::unique_ptr<Model> model = make_small_model(small.config);
    const at::Tensor prompt = random_ids(small.config, 1, 29, 4);
    const std::vector<std::int64_t> prompt_ids(prompt.const_data_ptr<std::int64_t>(),
                                               prompt.const_data_ptr<std::int64_t>() + 29);
    GenerateConfig config = greedy(20);
    config.explain = true;
    const GenerateResult result = generate(*model, nullptr, prompt_ids, config);
    std::vector<std::int64_t> all = prompt_ids;
    all.insert(all.end(), result.ids.begin(), result.ids.end());
    std::vector<Retrieval> retrievals;
    ForwardOptions options;
    options.retrievals = &retrievals;
    model->hidden_states(at::tensor(all, at::kLong).unsqueeze(0), options);

    // New token t has position 29 + t; chunks hold 8.
    ASSERT_EQ(result.explanations.size(), 4U);
    for (std::size_t i = 0; i < 4; ++i) {
      const std::int64_t first = std::vector<std::int64_t>{0, 3, 11, 19}[i];
      EXPECT_EQ(result.explanations[i].first_token, first);
      const std::int64_t asking_chunk = (29 + first) / 8 - 1;
      std::vector<RetrievalSource> wanted;
      for (std::size_t group = 0; group < retrievals.size(); ++group) {
        const at::Tensor indices = retrievals[group].indices[0][asking_chunk];
        for (std::int64_t k = 0; k < indices.numel(); ++k) {
          if (indices[k].item<std::int64_t>() < 0) continue;
          wanted.push_back({static_cast<std::int64_t>(group),
                            {0, indices[k].item<std::int64_t>()},
                            retrievals[group].weights[0][asking_chunk][k].item<double>()});
        }
      }
      ASSERT_EQ(result.explanations[i].sources.size(), wanted.size());
      for (std::size_t k = 0; k < wanted.size(); ++k) {
        EXPECT_EQ(result.explanations[i].sources[k].group, wanted[k].group);
        EXPECT_EQ(result.explanations[i].sources[k].place.chunk, wanted[k].place.chunk);
        EXPECT_NEAR(result.explanations[i].sources[k].weight, wanted[k].weight, 1e-5);
      }
    }
  }
}

// Prompts of different lengths side by side, of which some end early, give what each gives alone.
TEST(Generator, ABatchGivesWhatEachPromptGivesAlone) {
  for (const SmallModelCase& small : small_model_cases()) {
    SCOPED_TRACE(small.name);
    const auto model = make_small_model(small.config);
    std::vector<std::vector<std::int64_t>> prompts;
    for (const std::int64_t length : {3, 170, 40, 41, 7}) {
      const at::Tensor ids = random_ids(small.config, 1, length, 30 + static_cast<std::uint64_t>(length));
      prompts.emplace_back(ids.const_data_ptr<std::int64_t>(), ids.const_data_ptr<std::int64_t>() + length);
    }
    GenerateConfig config = greedy(25);
    config.segment_tokens = 16;
    config.explain = true;
    const std::vector<GenerateResult> results = generate_batch(*model, nullptr, prompts, {}, config);
    ASSERT_EQ(results.size(), prompts.size());
    for (std::size_t i = 0; i < prompts.size(); ++i) {
      const GenerateResult alone = generate(*model, nullptr, prompts[i], config);
      EXPECT_EQ(results[i].ids, alone.ids) << i;
      EXPECT_EQ(results[i].prompt_tokens, std::ssize(prompts[i]));
      ASSERT_EQ(results[i].explanations.size(), alone.explanations.size());
      for (std::size_t k = 0; k < alone.explanations.size(); ++k) {
        EXPECT_EQ(results[i].explanations[k].first_token, alone.explanations[k].first_token);
        EXPECT_EQ(results[i].explanations[k].sources.size(), alone.explanations[k].sources.size());
      }
    }
  }
}

TEST(Generator, SequencesThatEndLeaveTheBatch) {
  ScriptedModel model({'a', 'b', end_of_text, 'c', 'd', end_of_text}, 258, "drt");
  const ByteTokenizer tokenizer;
  const std::vector<GenerateResult> results =
      generate_batch(model, &tokenizer, {{65}, {65, 66}, {65, 66, 67, 68}}, {}, greedy(9));
  EXPECT_EQ(results[0].text, "ab");
  EXPECT_EQ(results[1].text, "b");
  EXPECT_EQ(results[2].text, "cd");
  EXPECT_EQ(results[1].stop_reason, StopReason::end_of_text);
  // Of prompts 7 tokens were read, of new ones 2, 1 and 2: the end of a text is not.
  EXPECT_EQ(model.seen_ids.size(), 12U);
  EXPECT_THAT(message_of([&] { generate_batch(model, &tokenizer, {{65}, {}}, {}, greedy(9)); }),
              HasSubstr("prompt 1 is empty"));
  EXPECT_THAT(message_of([&] { generate_batch(model, &tokenizer, {{65}, {65, 300}}, {}, greedy(9)); }),
              HasSubstr("prompt 1: token 1"));
}

TEST(Generator, EachPromptOfABatchHasDrawsOfItsOwn) {
  ScriptedModel model(bytes_of("hello"), 258, "drt");
  GenerateConfig config;
  config.stop.max_new_tokens = 40;
  config.sampling.temperature = 30;
  config.seed = 5;
  const std::vector<GenerateResult> results = generate_batch(model, nullptr, {{65}, {65}, {65}}, {}, config);
  EXPECT_EQ(results[0].ids, generate(model, nullptr, {65}, config).ids);
  EXPECT_NE(results[0].ids, results[1].ids);
  EXPECT_NE(results[1].ids, results[2].ids);
}

// Twelve prompts of all lengths, some of them equal, in batches of 1, 4 and 12: prompt i gets the same each time.
TEST(Generator, BatchesDoNotDecideWhatAPromptGets) {
  const SmallModelCase small = small_model_cases().at(1);
  const auto model = make_small_model(small.config);
  std::vector<std::vector<std::int64_t>> prompts;
  for (const std::int64_t length : {9, 9, 40, 3, 71, 9, 1, 17, 16, 9, 30, 2}) {
    const at::Tensor ids = random_ids(small.config, 1, length, 30 + static_cast<std::uint64_t>(length));
    prompts.emplace_back(ids.const_data_ptr<std::int64_t>(), ids.const_data_ptr<std::int64_t>() + length);
  }
  for (const bool greedily : {false, true}) {
    GenerateConfig config = greedy(12);
    config.sampling.greedy = greedily;
    config.seed = 4;
    std::vector<std::vector<std::int64_t>> alone;
    for (std::size_t i = 0; i < prompts.size(); ++i) {
      config.stream = i;
      alone.push_back(generate(*model, nullptr, prompts[i], config).ids);
    }
    EXPECT_EQ(alone[0] == alone[1], greedily) << "equal prompts have draws of their own";
    for (const std::size_t batch_size : {1U, 4U, 5U, 12U}) {
      for (std::size_t first = 0; first < prompts.size(); first += batch_size) {
        const auto begin = prompts.begin() + static_cast<std::ptrdiff_t>(first);
        const auto end = begin + static_cast<std::ptrdiff_t>(std::min(batch_size, prompts.size() - first));
        config.stream = first;
        const std::vector<GenerateResult> results = generate_batch(*model, nullptr, {begin, end}, {}, config);
        for (std::size_t i = 0; i < results.size(); ++i) EXPECT_EQ(results[i].ids, alone[first + i]) << first + i;
      }
    }
  }
}

// 'b' and 'c' are holes in its vocabulary.
class TokenizerWithHoles : public ByteTokenizer {
 public:
  std::vector<std::int32_t> unused_ids() const override { return {'b', 'c'}; }
};

TEST(Generator, NeverTakesIdsThatBelongToNothing) {
  // The likeliest tokens are holes; behind them nothing but equal logits is left, so that the lowest id is taken.
  const TokenizerWithHoles tokenizer;
  ScriptedModel model({'b'}, 258, "drt");
  EXPECT_THAT(generate(model, &tokenizer, {65}, greedy(2)).ids, ElementsAre(0, 0));
  GenerateConfig beams;
  beams.num_beams = 2;
  beams.stop.max_new_tokens = 2;
  for (const Hypothesis& one : generate(model, &tokenizer, {65}, beams).hypotheses) {
    for (const std::int64_t id : one.ids) EXPECT_TRUE(id != 'b' && id != 'c') << id;
  }
  GenerateConfig draws;
  draws.stop.max_new_tokens = 300;
  draws.sampling.temperature = 30;
  for (const std::int64_t id : generate(model, &tokenizer, {65}, draws).ids) {
    EXPECT_TRUE(id != 'b' && id != 'c' && id != landmark) << id;
  }
  EXPECT_THAT(forbidden_ids(model.config(), &tokenizer), ElementsAre('b', 'c', landmark));
}

// Puts a blank before a text, as SentencePiece does.
class BlankPuttingTokenizer : public ByteTokenizer {
 public:
  void encode(std::string_view text, std::vector<std::int32_t>& ids) const override {
    ids.push_back(' ');
    ByteTokenizer::encode(text, ids);
  }
  void encode_continuation(std::string_view text, std::vector<std::int32_t>& ids) const override {
    ByteTokenizer::encode(text, ids);
  }
  bool puts_blank_before_text() const override { return true; }
};

TEST(Generator, WhatIsSaidNextGoesOnWithTheText) {
  const BlankPuttingTokenizer tokenizer;
  TextSession text;
  EXPECT_EQ(encode_behind(text, "the won", tokenizer), bytes_of(" the won"));
  text.ids = bytes_of(" the won");
  EXPECT_EQ(encode_behind(text, "der", tokenizer), bytes_of("der"));
  text.ids.push_back(end_of_text);
  EXPECT_EQ(encode_behind(text, "der", tokenizer), bytes_of(" der"));
}

class SessionsInThreads : public ::testing::TestWithParam<SmallModelCase> {};

// Sessions of one model share its weights alone: what each gives is what it gives by itself, draws included.
TEST_P(SessionsInThreads, GiveWhatTheyGiveOneAfterAnother) {
  const std::unique_ptr<Model> model = make_small_model(GetParam().config);
  constexpr std::size_t num_sessions = 4;
  const auto run = [&](std::size_t i) {
    const at::Tensor ids = random_ids(model->config(), 1, 50 + 7 * static_cast<std::int64_t>(i), i);
    const std::vector<std::int64_t> prompt(ids.const_data_ptr<std::int64_t>(),
                                           ids.const_data_ptr<std::int64_t>() + ids.numel());
    GenerateConfig config;
    config.stop.max_new_tokens = 40;
    config.seed = 5;
    config.stream = i;
    config.segment_tokens = 16;
    return generate(*model, nullptr, prompt, config).ids;
  };
  std::vector<std::vector<std::int64_t>> alone(num_sessions);
  for (std::size_t i = 0; i < num_sessions; ++i) alone[i] = run(i);
  std::vector<std::vector<std::int64_t>> together(num_sessions);
  run_on_threads(2, num_sessions, [&](std::size_t i) { together[i] = run(i); });
  EXPECT_EQ(together, alone);
}

INSTANTIATE_TEST_SUITE_P(Models, SessionsInThreads, ::testing::ValuesIn(small_model_cases()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace lookback
