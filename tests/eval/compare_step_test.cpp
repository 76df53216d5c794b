#include "eval/compare_step.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/error.h"

namespace lookback {
namespace {

using testing::HasSubstr;
using testing::ThrowsMessage;

// Every field has a value of its own, and paths need not be UTF-8.
const std::vector<std::pair<const char*, CompareStep>> steps = {
    {R"({"step": "train", "config": "c", "data": "d", "valid": "v", "seed": 7, "out": "o",
         "device": "cuda:1", "threads": 3, "quiet": true})",
     {TrainStep{"c", "d", "v", 7, "o"}, "cuda:1", 3, true}},
    {R"({"step": "perplexity", "model": "m\u0000ff", "data": "d", "context": "1K,full", "max_tokens": "2K",
         "max_document_tokens": "3K", "device": "", "threads": 0, "quiet": false})",
     {PerplexityStep{"m\xff", "d", "1K,full", "2K", "3K"}, "", 0, false}},
    {R"({"step": "speed", "model": "m", "prompt_ids": "p", "max_new_tokens": 5, "device": "cpu", "threads": 1,
         "quiet": false})",
     {SpeedStep{"m", "p", 5}, "cpu", 1, false}},
    {R"({"step": "finetune", "model": "m", "out": "o", "task": "multi", "steps": 6, "lr": 0.25, "batch_size": 2,
         "length": "1K", "device": "", "threads": 1, "quiet": false})",
     {FinetuneStep{"m", "o", "multi", "1K", 6, 0.25, 2}, "", 1, false}},
    {R"({"step": "needles", "model": "m", "task": "single", "lengths": "1K,4K", "samples": 9, "device": "",
         "threads": 1, "quiet": false})",
     {NeedlesStep{"m", "single", "1K,4K", 9}, "", 1, false}}};

TEST(CompareStep, IsWhatItsFileSays) {
  for (const auto& [text, step] : steps) {
    const Json json = parse_json(text, "steps");
    EXPECT_EQ(step_name(step), json.at("step").get<std::string>());
    // Without regard to the order of keys.
    EXPECT_EQ(nlohmann::json::parse(to_json(step).dump()), nlohmann::json::parse(text));
    EXPECT_EQ(to_json(parse_compare_step(json, "steps")), to_json(step)) << text;
  }
  const CompareStep read = parse_compare_step(to_json(steps[1].second), "steps");
  EXPECT_EQ(std::get<PerplexityStep>(read.work).model, "m\xff");
}

TEST(CompareStep, FilesThatAreBrokenAreNamed) {
  for (const auto& [text, step] : steps) {
    const Json json = parse_json(text, "steps");
    for (const auto& [key, value] : json.items()) {
      Json broken = json;
      broken.erase(key);
      EXPECT_THAT([&] { parse_compare_step(broken, "x.json"); },
                  ThrowsMessage<Error>(testing::AllOf(HasSubstr("x.json"), HasSubstr(key))));
    }
  }
  EXPECT_THAT([] { parse_compare_step({{"step", "sing"}}, "x.json"); },
              ThrowsMessage<Error>(testing::AllOf(HasSubstr("x.json"), HasSubstr("sing"))));
  EXPECT_THAT([] { parse_compare_step(Json::array(), "x.json"); }, ThrowsMessage<Error>(HasSubstr("x.json")));
}

TEST(CompareStep, SettingsAreWhatDecidesTheResult) {
  for (const auto& [text, step] : steps) {
    CompareStep other = step;
    other.device = "elsewhere";
    other.threads = 64;
    EXPECT_TRUE(has_settings(step, settings_of(other)));
  }
  CompareStep perplexity = steps[1].second;
  std::get<PerplexityStep>(perplexity.work).max_tokens = "4K";
  EXPECT_FALSE(has_settings(steps[1].second, settings_of(perplexity)));
}

}  // namespace
}  // namespace lookback
