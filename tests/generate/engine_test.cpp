// Requests that come and go, beside others: each gets what it gets by itself.
#include "generate/engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <ostream>
#include <string>
#include <thread>

#include "core/error.h"
#include "generate/generator.h"
#include "generate/random_archive.h"
#include "generate/scripted_model.h"
#include "generate/small_models.h"

namespace lookback {

// How GoogleTest shows a failed case's parameter.
static void PrintTo(const SmallModelCase& small, std::ostream* out) { *out << small.name; }

namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

GenerateConfig config_of(std::size_t i) {
  GenerateConfig config;
  config.stop.max_new_tokens = 5 + static_cast<std::int64_t>(i * 7 % 20);
  config.sampling.greedy = i % 3 == 0;
  config.num_beams = i % 5 == 4 ? 3 : 1;
  config.seed = 3;
  config.stream = i;
  config.explain = i % 2 == 0 && config.num_beams == 1;
  return config;
}

std::string message_of(const std::exception_ptr& error) {
  try {
    if (error) std::rethrow_exception(error);
  } catch (const std::exception& exception) {
    return exception.what();
  }
  return "";
}

class EngineTest : public ::testing::TestWithParam<SmallModelCase> {
 protected:
  std::vector<std::int64_t> prompt_of(std::size_t i) const {
    const std::int64_t length = std::vector<std::int64_t>{3, 170, 40, 41, 7, 1, 90, 16}[i % 8];
    const at::Tensor ids = random_ids(model_->config(), 1, length, i);
    return {ids.const_data_ptr<std::int64_t>(), ids.const_data_ptr<std::int64_t>() + length};
  }
  GenerateResult alone(std::size_t i) const { return generate(*model_, nullptr, prompt_of(i), config_of(i)); }
  Request request(std::size_t i) {
    Request request;
    request.prompt_ids = prompt_of(i);
    request.config = config_of(i);
    request.on_finished = [this, i](Finished finished) { finished_[i] = std::move(finished); };
    return request;
  }

  const std::unique_ptr<Model> model_ = make_small_model(GetParam().config);
  std::map<std::size_t, Finished> finished_;
};

TEST_P(EngineTest, WhatARequestGetsDoesNotDependOnWhatRunsBesideIt) {
  constexpr std::size_t num_requests = 16;
  Engine engine(*model_, nullptr, {.segment_tokens = 24, .max_running = 5});
  Random random(1);
  for (std::size_t next = 0; engine.step() || next < num_requests;) {
    for (std::uint64_t n = random.below(3); n > 0 && next < num_requests; --n) engine.submit(request(next++));
  }
  ASSERT_EQ(finished_.size(), num_requests);
  for (std::size_t i = 0; i < num_requests; ++i) {
    const GenerateResult expected = alone(i);
    EXPECT_EQ(message_of(finished_[i].error), "");
    EXPECT_EQ(finished_[i].result.ids, expected.ids) << i;
    EXPECT_EQ(finished_[i].result.hypotheses.size(), expected.hypotheses.size()) << i;
    EXPECT_EQ(finished_[i].result.explanations.size(), expected.explanations.size()) << i;
    EXPECT_EQ(finished_[i].text.ids.size(), prompt_of(i).size() + expected.ids.size());
  }
}

// While a long prompt is read, a text that is continued gets a token in every step.
TEST_P(EngineTest, NobodyWaitsLongerThanASegment) {
  Engine engine(*model_, nullptr, {.segment_tokens = 16});
  Request fast = request(0);
  fast.config.stop.max_new_tokens = 60;
  std::int64_t num_tokens = 0;
  fast.listener.on_token = [&](std::int64_t) { ++num_tokens; };
  engine.submit(std::move(fast));
  while (num_tokens == 0) engine.step();
  Request slow = request(1);  // of 170 tokens
  std::vector<std::int64_t> read;
  slow.listener.on_prompt_read = [&](std::int64_t count) { read.push_back(count); };
  engine.submit(std::move(slow));
  for (std::int64_t step = 1; step <= 11; ++step) {
    engine.step();
    EXPECT_EQ(num_tokens, 1 + step);
    EXPECT_EQ(read.back(), std::min<std::int64_t>(170, 16 * step));
  }
}

// What is in effect for the first new token can be asked for when the prompt is read and nothing is said.
TEST_P(EngineTest, TheSequenceIsShownBeforeTheFirstToken) {
  Engine engine(*model_, nullptr, {.segment_tokens = 16});
  std::map<std::size_t, std::vector<Retrieval>> shown;
  std::map<std::size_t, std::int64_t> num_said;
  for (const std::size_t i : {1, 6, 2}) {
    Request asking = request(i);
    asking.listener.on_token = [&num_said, i](std::int64_t) { ++num_said[i]; };
    asking.before_first_token = [&, i](const Sequence& sequence) {
      EXPECT_EQ(sequence.num_tokens(), std::ssize(prompt_of(i)));
      EXPECT_EQ(num_said[i], 0);
      EXPECT_FALSE(shown.contains(i));
      shown[i] = sequence.current_retrievals();
    };
    engine.submit(std::move(asking));
  }
  while (engine.step()) {
  }
  ASSERT_EQ(shown.size(), 3U);
  for (const auto& [i, retrievals] : shown) {
    const std::vector<std::int64_t> prompt = prompt_of(i);
    const auto sequence = model_->new_sequence(at::kFloat);
    const Piece piece{sequence.get(), prompt, std::ssize(prompt) - 1};
    model_->step({&piece, 1});
    const std::vector<Retrieval> expected = sequence->current_retrievals();
    ASSERT_EQ(retrievals.size(), expected.size());
    for (std::size_t group = 0; group < expected.size(); ++group) {
      EXPECT_TRUE(retrievals[group].indices.equal(expected[group].indices)) << i;
    }
  }
}

TEST_P(EngineTest, CancelledAndFailingRequestsLeaveTheOthersAlone) {
  Engine engine(*model_, nullptr, {.segment_tokens = 16});
  engine.submit(request(0));
  const Engine::Ticket reading = engine.submit(request(1));
  const Engine::Ticket talking = engine.submit(request(3));
  Request failing = request(2);
  failing.listener.on_token = [](std::int64_t) { throw Error("its client is gone"); };
  engine.submit(std::move(failing));
  engine.step();
  engine.cancel(reading);
  engine.cancel(engine.submit(request(6)));  // before it began
  while (engine.step()) engine.cancel(talking);
  ASSERT_EQ(finished_.size(), 5U);
  EXPECT_EQ(finished_[0].result.ids, alone(0).ids);
  EXPECT_EQ(message_of(finished_[1].error), "interrupted");
  EXPECT_EQ(message_of(finished_[6].error), "interrupted");
  EXPECT_EQ(message_of(finished_[2].error), "its client is gone");
  // Cancelled while it was read, or as soon as it had said something.
  EXPECT_TRUE(finished_[3].error || finished_[3].result.stop_reason == StopReason::interrupted);
}

TEST_P(EngineTest, ATextIsContinuedAgain) {
  Engine engine(*model_, nullptr, {.segment_tokens = 16});
  engine.submit(request(2));
  while (engine.step()) {
  }
  Request again = request(5);
  again.text = std::move(finished_[2].text);
  engine.submit(std::move(again));
  while (engine.step()) {
  }
  std::vector<std::int64_t> ids = prompt_of(2);
  const std::vector<std::int64_t> said = alone(2).ids;
  ids.insert(ids.end(), said.begin(), said.end());
  const std::vector<std::int64_t> asked = prompt_of(5);
  ids.insert(ids.end(), asked.begin(), asked.end());
  EXPECT_EQ(finished_[5].result.ids, generate(*model_, nullptr, ids, config_of(5)).ids);
}

// Requests come from other threads than the one that steps.
TEST_P(EngineTest, AnyThreadMaySubmit) {
  Engine engine(*model_, nullptr, {.segment_tokens = 24});
  constexpr std::size_t a_thread = 4;
  std::vector<std::thread> clients;
  for (std::size_t t = 0; t < 3; ++t) {
    clients.emplace_back([this, &engine, t] {
      for (std::size_t i = 0; i < a_thread; ++i) engine.submit(request(t * a_thread + i));
    });
  }
  while (finished_.size() < 3 * a_thread) engine.step();
  for (std::thread& client : clients) client.join();
  for (std::size_t i = 0; i < 3 * a_thread; ++i) EXPECT_EQ(finished_[i].result.ids, alone(i).ids) << i;
}

INSTANTIATE_TEST_SUITE_P(SmallModels, EngineTest, ::testing::ValuesIn(small_model_cases()),
                         [](const auto& info) { return info.param.name; });

// What was retrieved, in the order of explanation.
std::vector<std::int64_t> chunks_of(const GenerateResult& result) {
  std::vector<std::int64_t> chunks;
  for (const Explanation& explanation : result.explanations) {
    for (const RetrievalSource& source : explanation.sources) {
      chunks.push_back(1000 * static_cast<std::int64_t>(source.place.archive) + source.place.chunk);
    }
  }
  return chunks;
}

// Texts with memories beside texts with others and with none.
TEST(Engine, EachTextHasItsOwnMemories) {
  const ModelConfig model_config = small_model_cases().at(1).config;
  const auto model = make_small_model(model_config);
  std::vector<std::shared_ptr<const MemorySet>> memories = {nullptr};
  for (const std::int64_t num_chunks : {60, 200}) {
    memories.push_back(
        make_memory_set({search_exactly(std::make_shared<RandomArchive>(model_config, num_chunks), at::kCPU)}));
  }
  const at::Tensor ids = random_ids(model_config, 1, 60, 5);
  const std::vector<std::int64_t> prompt(ids.const_data_ptr<std::int64_t>(), ids.const_data_ptr<std::int64_t>() + 60);
  GenerateConfig config = config_of(0);
  config.stop.max_new_tokens = 30;
  std::map<std::size_t, GenerateResult> together;
  Engine engine(*model, nullptr, {.segment_tokens = 16});
  for (std::size_t i = 0; i < 6; ++i) {
    Request request;
    request.text.memories = memories[i % 3];
    request.prompt_ids = prompt;
    request.config = config;
    request.on_finished = [&together, i](Finished finished) { together[i] = finished.result; };
    engine.submit(std::move(request));
  }
  while (engine.step()) {
  }
  for (std::size_t i = 0; i < 6; ++i) {
    TextSession text = new_text_session(*model, at::kFloat, memories[i % 3]);
    const GenerateResult alone = generate(*model, nullptr, text, prompt, config);
    EXPECT_EQ(together[i].ids, alone.ids) << i;
    EXPECT_EQ(chunks_of(together[i]), chunks_of(alone)) << i;
  }
  EXPECT_NE(chunks_of(together[0]), chunks_of(together[1]));
  EXPECT_NE(chunks_of(together[1]), chunks_of(together[2]));
}

TEST(Engine, WhatCannotBeAskedForIsRefusedAtTheDoor) {
  ScriptedModel model({'a'}, 258, "drt");
  EXPECT_THAT([&] { Engine(model, nullptr, {.segment_tokens = 0}); },
              ThrowsMessage<Error>(HasSubstr("segment-tokens")));
  EXPECT_THAT([&] { Engine(model, nullptr, {.max_running = 0}); },
              ThrowsMessage<Error>(HasSubstr("at least one text")));
  Engine engine(model, nullptr, {});
  EXPECT_THAT([&] { engine.submit({}); }, ThrowsMessage<Error>(HasSubstr("prompt is empty")));
  Request unknown;
  unknown.prompt_ids = {999};
  EXPECT_THAT([&] { engine.submit(std::move(unknown)); }, ThrowsMessage<Error>(HasSubstr("token 0 has the id 999")));
  EXPECT_FALSE(engine.step());
}

}  // namespace
}  // namespace lookback
