#include "eval/compare_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "core/error.h"
#include "models/cost.h"

namespace lookback {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::ThrowsMessage;

Json small_plan() {
  return parse_json(R"({
    "compare": {"seeds": [4], "match_parameters": "drt", "contexts": "1K,full"},
    "model": {"hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 4, "slide_window": 32},
    "train": {"steps": 10, "batch_size": 2, "context_length": 100},
    "models": [
      {"name": "drt", "seeds": [0, 1], "model": {"lookback_model": "drt", "decoder_layers": [2, 1], "encoder_layers": 1,
       "enc_chunk_size": 31, "chunk_topk": 2}},
      {"name": "window", "model": {"lookback_model": "sliding-window", "num_hidden_layers": 5},
       "train": {"steps": 5, "batch_size": 4}}
    ]})",
                    "plan");
}

ComparePlan parse(const Json& value) { return parse_compare_plan(value, "compare.toml", VocabularyHint{256}); }

TEST(ComparePlan, ModelsShareKeysAndDifferInTheirOwn) {
  const ComparePlan plan = parse(small_plan());
  ASSERT_EQ(plan.models.size(), 2U);
  EXPECT_THAT(plan.models[0].seeds, ElementsAre(0, 1));
  EXPECT_THAT(plan.models[1].seeds, ElementsAre(4));
  EXPECT_EQ(plan.models[1].kind, "sliding-window");
  EXPECT_EQ(plan.models[1].run.at("model").at("hidden_size"), 64);
  EXPECT_EQ(plan.models[1].run.at("train").at("batch_size"), 4);
  EXPECT_EQ(plan.contexts, "1K,full");
  EXPECT_EQ(plan.new_tokens, 256);
}

// No multiple of 8 would bring the parameters nearer to those wanted.
TEST(ComparePlan, WidthsMatchTheNumberOfParameters) {
  const ComparePlan plan = parse(small_plan());
  EXPECT_EQ(plan.models[0].run.at("model").at("intermediate_size"), 128);
  const auto distance = [&](std::int64_t width) {
    Json run = plan.models[1].run;
    run["model"]["intermediate_size"] = width;
    const RunConfig config = parse_run_config(run, "run", VocabularyHint{256});
    return std::abs(count_parameters(config.model) - plan.models[0].num_parameters);
  };
  const auto width = plan.models[1].run.at("model").at("intermediate_size").get<std::int64_t>();
  EXPECT_EQ(width % 8, 0);
  EXPECT_LE(distance(width), distance(width - 8));
  EXPECT_LE(distance(width), distance(width + 8));
  EXPECT_EQ(std::abs(plan.models[1].num_parameters - plan.models[0].num_parameters), distance(width));
  Json free = small_plan();
  free["compare"].erase("match_parameters");
  EXPECT_EQ(parse(free).models[1].run.at("model").at("intermediate_size"), 128);
}

TEST(ComparePlan, NeedlesAreAskedForOnlyWhereItSaysSo) {
  EXPECT_FALSE(parse(small_plan()).needles);
  Json with_needles = small_plan();
  with_needles["needles"] = {{"task", "multi-hop"}, {"steps", 7}};
  const ComparePlan plan = parse(with_needles);
  ASSERT_TRUE(plan.needles);
  EXPECT_EQ(plan.needles->task, "multi-hop");
  EXPECT_EQ(plan.needles->steps, 7);
  EXPECT_EQ(plan.needles->lengths, "1K,4K,16K");
  EXPECT_EQ(to_json(plan).at("needles").at("steps"), 7);
}

TEST(ComparePlan, MistakesAreNamed) {
  const auto expect = [](const std::string& pointer, const Json& value, const std::string& part) {
    Json plan = small_plan();
    plan[Json::json_pointer(pointer)] = value;
    EXPECT_THAT([&] { parse(plan); }, ThrowsMessage<Error>(HasSubstr(part))) << pointer;
  };
  expect("/compare/sedes", 1, "seeds");
  expect("/compare/match_parameters", "nobody", "no model \"nobody\"");
  expect("/compare/new_tokens", 1, "new_tokens");
  expect("/needles/task", "haystack", "haystack");
  expect("/needles/step", 4, "step");
  expect("/needles/samples", 0, "samples");
  expect("/models", Json::array(), "nothing to compare");
  expect("/models/1/name", "drt", "given twice");
  expect("/models/1/name", "../drt", "names files");
  expect("/models/1/seeds", {1, 1}, "seeds");
  expect("/models/1/seeds", Json::array(), "seeds");
  expect("/models/1/train/seed", 3, "seed");
  expect("/models/1/train/steps", 6, "trains on 2400 tokens");
  expect("/models/1/model/num_hidden_layers", 40, "fewer layers?");
  expect("/models/1/model/decoder_layer", 40, "decoder_layer");
  expect("/models/1/model/lookback_model", "mamba", "mamba");
}

}  // namespace
}  // namespace lookback
