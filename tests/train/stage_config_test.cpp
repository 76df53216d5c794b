// [[stages]] of a run's configuration: what they say, what they may not, and what a resumed run may change of them.
#include "train/stage_config.h"

#include <gmock/gmock.h>

#include "models/cost.h"
#include "train/estimate.h"
#include "train/run_config.h"
#include "train/schedule.h"
#include "train/step_line.h"
#include "train/toml.h"
#include "train/train_helpers.h"
#include "train/training_threads.h"

namespace lookback {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr const char* model_and_train = R"([model]
hidden_size = 16
intermediate_size = 24
num_attention_heads = 2
slide_window = 12
decoder_layers = [1, 1]
encoder_layers = 1
enc_chunk_size = 8
chunk_topk = 2

[train]
lr = 1e-3
batch_size = 3
context_length = 80
)";

constexpr const char* three_stages = R"(
[[stages]]
steps = 40
batch_size = 5
context_length = 48
lr = 2e-3
data = [{kind = "self-copies", length = [8, 20], gap = [0, 4], copy_weight = 2.5}]

[[stages]]
steps = 60
data = [
  {kind = "text", far_repeat_weight = 4},
  {kind = "self-copies", of = "text", length = [8, 30], weight = 2},
  {kind = "needles", tasks = ["single"], weight = 0.5},
]

[[stages]]
steps = 100
lr = 5e-4
min_lr = 2e-4
warmup_steps = 7
data = [{kind = "text"}]
)";

RunConfig parse(const std::string& text) {
  return parse_run_config(parse_toml(text, "run.toml"), "run.toml", VocabularyHint{257});
}

RunConfig parse_stages_of(const std::string& stages) { return parse(model_and_train + stages); }

TEST(StageConfig, WhatStagesDoNotSayFollowsTheRest) {
  const RunConfig config = parse_stages_of(three_stages);
  EXPECT_EQ(config.train.steps, 200);
  EXPECT_EQ(config.train.warmup_steps, 4) << "2% of all";
  ASSERT_EQ(config.stages.size(), 3U);
  ASSERT_EQ(config.train.stages.size(), 3U);
  EXPECT_EQ(config.stages[0].batch_size, 5);
  EXPECT_EQ(config.stages[0].context_length, 48);
  EXPECT_EQ(config.stages[1].batch_size, 3);
  EXPECT_EQ(config.stages[1].context_length, 80);

  const auto& copies = std::get<StageSelfCopies>(config.stages[0].data[0].data);
  EXPECT_EQ(copies.of, "random");
  EXPECT_EQ(copies.alphabet, 64);
  EXPECT_EQ(copies.copy_weight, 2.5);
  const auto& text = std::get<StageText>(config.stages[1].data[0].data);
  EXPECT_EQ(text.near_tokens, 12) << "the model's window";
  EXPECT_EQ(text.min_match, 12);
  EXPECT_EQ(config.stages[1].data[0].weight, 1);
  const auto& of_text = std::get<StageSelfCopies>(config.stages[1].data[1].data);
  EXPECT_THAT(of_text.gap, ElementsAre(0, 0));
  const auto& needles = std::get<FinetuneConfig>(config.stages[1].data[2].data);
  EXPECT_THAT(needles.lengths, ElementsAre(80));
  EXPECT_EQ(needles.text_weight, default_needle_text_weight);

  ASSERT_TRUE(config.train.stages[0].schedule);
  EXPECT_EQ(config.train.stages[0].schedule->min_lr, 2e-3 / 5);
  EXPECT_EQ(config.train.stages[0].schedule->warmup_steps, 1) << "2% of the stage's 40";
  EXPECT_EQ(config.train.stages[0].schedule->steps, 40);
  EXPECT_FALSE(config.train.stages[1].schedule);
}

TEST(StageConfig, TheLargestStageDecidesTheThreads) {
  RunConfig config = parse_stages_of(three_stages);
  config.model.hidden_size = 512;
  config.model.intermediate_size = 2048;
  RunConfig without = config;
  without.stages.clear();
  config.stages[0].batch_size = 1;
  config.stages[0].context_length = 1;
  EXPECT_EQ(training_threads(config), training_threads(without));
}

TEST(StageConfig, TheRateIsTheStagesOwnOrTheRuns) {
  const RunConfig config = parse_stages_of(three_stages);
  RunConfig without = config;
  without.train.stages.clear();
  TrainConfig third;
  third.steps = 100;
  third.lr = 5e-4;
  third.min_lr = 2e-4;
  third.warmup_steps = 7;
  EXPECT_DOUBLE_EQ(learning_rate(config.train, 0), 2e-3) << "warm after one step";
  EXPECT_NEAR(learning_rate(config.train, 20), (2e-3 + 4e-4) / 2, 1e-12) << "half-way through the first stage";
  for (const std::int64_t step : {40, 41, 99}) {
    EXPECT_EQ(learning_rate(config.train, step), learning_rate(without.train, step)) << step;
  }
  for (const std::int64_t step : {0, 3, 50, 99}) {
    EXPECT_EQ(learning_rate(config.train, 100 + step), learning_rate(third, step)) << step;
  }
}

TEST(StageConfig, ResolvedTomlGivesTheSameConfigBack) {
  const Json resolved = to_json(parse_stages_of(three_stages));
  const std::string written = dump_toml(resolved);
  EXPECT_THAT(written, HasSubstr("[[stages]]\nsteps = 40\n"));
  EXPECT_EQ(to_json(parse(written)), resolved);
}

TEST(StageConfig, MistakesAreNamed) {
  const auto error_of_stages = [](const std::string& stages) { return error_of([&] { parse_stages_of(stages); }); };
  const auto error_of_second = [&](const std::string& keys) {
    return error_of_stages("[[stages]]\nsteps = 3\ndata = [{kind = \"text\"}]\n[[stages]]\n" + keys);
  };
  const auto error_of_data = [&](const std::string& source) {
    return error_of_second("steps = 3\ndata = [{kind = \"text\"}, {" + source + "}]\n");
  };
  EXPECT_THAT(error_of_second("step = 3\ndata = [{kind = \"text\"}]"), HasSubstr("run.toml [[stages]] 2: steps"));
  EXPECT_THAT(error_of_second("steps = 3\nbatchsize = 3\ndata = [{kind = \"text\"}]"),
              HasSubstr("[[stages]] 2: unknown key \"batchsize\"; did you mean \"batch_size\""));
  EXPECT_THAT(error_of_second("steps = 0\ndata = [{kind = \"text\"}]"), HasSubstr("at least 1, found 0"));
  EXPECT_THAT(error_of_second("steps = 1.5"), HasSubstr("[[stages]] 2: steps: expected a whole number"));
  EXPECT_THAT(error_of_second("steps = 3"), HasSubstr("[[stages]] 2: data"));
  EXPECT_THAT(error_of_second("steps = 3\ndata = []"), HasSubstr("[[stages]] 2: data"));
  EXPECT_THAT(error_of_second("steps = 3\ndata = [3]"), HasSubstr("[[stages]] 2: data 1: expected a table"));
  EXPECT_THAT(error_of_second("steps = 3\nbatch_size = 0\ndata = [{kind = \"text\"}]"), HasSubstr("batch_size"));
  EXPECT_THAT(error_of_second("steps = 3\ncontext_length = 0\ndata = [{kind = \"text\"}]"),
              HasSubstr("[[stages]] 2: context_length"));
  EXPECT_THAT(error_of_second("steps = 3\nmin_lr = 1e-4\ndata = [{kind = \"text\"}]"),
              HasSubstr("[[stages]] 2: min_lr without lr"));
  EXPECT_THAT(error_of_second("steps = 3\nlr = 1e-4\nmin_lr = 1e-3\ndata = [{kind = \"text\"}]"),
              HasSubstr("[[stages]] 2: min_lr 0.001 is above lr 0.0001"));
  EXPECT_THAT(error_of_second("steps = 3\ndata = [{kind = \"text\", weight = 0}]"), HasSubstr("all 0"));

  EXPECT_THAT(error_of_data("weight = 1"), HasSubstr("[[stages]] 2: data 2: no kind"));
  EXPECT_THAT(error_of_data("kind = \"texts\""), HasSubstr("there are text, self-copies and needles"));
  EXPECT_THAT(error_of_data("kind = \"text\", wieght = 1"), HasSubstr("did you mean \"weight\""));
  EXPECT_THAT(error_of_data("kind = \"text\", copy_weight = 1"), HasSubstr("unknown key \"copy_weight\""));
  EXPECT_THAT(error_of_data("kind = \"text\", weight = -1"), HasSubstr("[[stages]] 2: data 2: weight"));
  EXPECT_THAT(error_of_data("kind = \"text\", far_repeat_weight = -1"), HasSubstr("far_repeat_weight"));
  EXPECT_THAT(error_of_data("kind = \"text\", far_repeat_weight = nan"), HasSubstr("far_repeat_weight"));
  EXPECT_THAT(error_of_data("kind = \"text\", near_tokens = -1"), HasSubstr("near_tokens"));
  EXPECT_THAT(error_of_data("kind = \"text\", min_match = 0"), HasSubstr("min_match"));

  EXPECT_THAT(error_of_data("kind = \"self-copies\""), HasSubstr("data 2: length: expected two numbers"));
  EXPECT_THAT(error_of_data("kind = \"self-copies\", length = [5]"), HasSubstr("found [5]"));
  EXPECT_THAT(error_of_data("kind = \"self-copies\", length = [0, 5]"), HasSubstr("length"));
  EXPECT_THAT(error_of_data("kind = \"self-copies\", length = [6, 5]"), HasSubstr("length"));
  EXPECT_THAT(error_of_data("kind = \"self-copies\", length = [5, 5], gap = [-1, 2]"), HasSubstr("gap"));
  EXPECT_THAT(error_of_data("kind = \"self-copies\", length = [5, 39], gap = [0, 4]"),
              HasSubstr("twice a length of 39 with a gap of 4 does not fit into a context_length of 80"));
  EXPECT_NO_THROW(
      parse_stages_of("[[stages]]\nsteps = 3\ndata = [{kind = \"self-copies\", length = [5, 39], gap = [0, 3]}]"));
  EXPECT_THAT(error_of_data("kind = \"self-copies\", length = [5, 9223372036854775807]"), HasSubstr("does not fit"));
  EXPECT_THAT(error_of_data("kind = \"self-copies\", length = [5, 5], of = \"noise\""),
              HasSubstr("there are random and text"));
  EXPECT_THAT(error_of_data("kind = \"self-copies\", length = [5, 5], alphabet = 1"), HasSubstr("alphabet"));
  EXPECT_THAT(error_of_data("kind = \"self-copies\", length = [5, 5], of = \"text\", alphabet = 9"),
              HasSubstr("unknown key \"alphabet\""));
  EXPECT_THAT(error_of_data("kind = \"self-copies\", length = [5, 5], copy_weight = -0.5"), HasSubstr("copy_weight"));

  EXPECT_THAT(error_of_data("kind = \"needles\""), HasSubstr("[[stages]] 2: data 2: tasks: name at least one"));
  EXPECT_THAT(error_of_data("kind = \"needles\", tasks = [\"singel\"]"),
              HasSubstr("[[stages]] 2: data 2: tasks: needle task \"singel\""));
  EXPECT_THAT(error_of_data("kind = \"needles\", tasks = [\"summarize\"]"), HasSubstr("finetune"));
  EXPECT_THAT(error_of_data("kind = \"needles\", tasks = [\"single\"], lengths = [81]"),
              HasSubstr("a length of 81 does not fit into a context_length of 80"));

  EXPECT_THAT(error_of_stages("steps = 7\n[[stages]]\nsteps = 3\ndata = [{kind = \"text\"}]"),
              HasSubstr("steps is 7, but [[stages]] have 3 in all"));
  EXPECT_NO_THROW(parse_stages_of("steps = 3\n[[stages]]\nsteps = 3\ndata = [{kind = \"text\"}]"));
  EXPECT_THAT(error_of([] { parse(std::string("stages = 3\n") + model_and_train); }), HasSubstr("[[stages]]"));
  EXPECT_THAT(error_of([] { parse(std::string("stages = []\n") + model_and_train); }), HasSubstr("[[stages]]"));
  EXPECT_THAT(error_of_stages("[[stages]]\nsteps = 3\ndata = [{kind = \"text\"}]\n"
                              "[finetune]\ntasks = [\"single\"]\nlengths = [100]"),
              HasSubstr("[finetune]"));
}

// 10 steps of 1, 4 of 5: behind 10 steps a third of the work is done.
TEST(StepLine, CountsTheWorkOfEachStage) {
  const std::vector<StageWork> stages = {{10, 1}, {4, 5}};
  EXPECT_EQ(work_until(stages, 0), 0);
  EXPECT_EQ(work_until(stages, 7), 7);
  EXPECT_EQ(work_until(stages, 10), 10);
  EXPECT_EQ(work_until(stages, 12), 20);
  EXPECT_EQ(work_until(stages, 14), 30);
}

// So large that nothing is tried.
TEST(Estimate, StagesAddUp) {
  RunConfig config = parse_stages_of(three_stages);
  config.model.hidden_size = 1024;
  config.model.intermediate_size = 4096;
  config.train.grad_accumulation_steps = 2;
  for (StageConfig& stage : config.stages) stage.context_length *= 1000;
  const TrainingEstimate estimate = estimate_training(config);
  EXPECT_FALSE(estimate.measured);
  ASSERT_EQ(estimate.stages.size(), 3U);
  double seconds = 0;
  double tokens = 0;
  for (std::size_t i = 0; i < 3; ++i) {
    const TrainingEstimate& stage = estimate.stages[i];
    const auto batch = static_cast<double>(config.stages[i].batch_size);
    const auto steps = static_cast<double>(config.train.stages[i].steps);
    const double flops = 2 * steps * batch * training_flops(config.model, config.stages[i].context_length);
    EXPECT_NEAR(stage.seconds * stage.machine_peak_flops * stage.utilisation / flops, 1, 1e-12) << i;
    EXPECT_EQ(stage.tokens_per_step, 2 * batch * static_cast<double>(config.stages[i].context_length));
    EXPECT_LE(stage.activation_bytes, estimate.activation_bytes);
    seconds += stage.seconds;
    tokens += steps * stage.tokens_per_step;
  }
  EXPECT_NEAR(estimate.seconds / seconds, 1, 1e-12);
  EXPECT_NEAR(estimate.seconds_per_step * 200 / seconds, 1, 1e-12);
  EXPECT_NEAR(estimate.tokens_per_step * 200 / tokens, 1, 1e-12);
  EXPECT_EQ(estimate.activation_bytes,
            std::max({estimate.stages[0].activation_bytes, estimate.stages[1].activation_bytes,
                      estimate.stages[2].activation_bytes}));
  const Json json = to_json(estimate, config);
  EXPECT_EQ(json.at("stages").size(), 3U);
  EXPECT_EQ(json["stages"][1]["steps"], 60);
  EXPECT_EQ(json["stages"][1]["seconds"], estimate.stages[1].seconds);
}

// A resumed run's complete object, and what it would be with other stages given.
Json resumed_with(const Json& before, const Json& given) {
  Json after = overlay(before, given);
  follow_stages(given, "run.toml", after);
  keep_schedule(before, after);
  return to_json(parse_run_config(after, "run.toml", VocabularyHint{257}));
}

TEST(StageConfig, AlteredStagesAreNamed) {
  // As a file gives it: keys in another order.
  const Json before = parse_toml(dump_toml(to_json(parse_stages_of(three_stages))), "config.toml");
  EXPECT_TRUE(altering_differences(before, resumed_with(before, Json::object())).empty());
  const auto changed = [&](const auto& change) {
    Json stages = before["stages"];
    change(stages);
    return altering_differences(before, resumed_with(before, {{"stages", stages}}));
  };
  EXPECT_TRUE(changed([](Json&) {}).empty());
  EXPECT_THAT(changed([](Json& stages) { stages[1]["data"][1]["weight"] = 3; }), ElementsAre("[[stages]] 2: data"));
  EXPECT_THAT(changed([](Json& stages) { stages[0]["lr"] = 1e-3; }), ElementsAre("[[stages]] 1: lr"));
  EXPECT_THAT(changed([](Json& stages) { stages[2]["context_length"] = 90; }),
              ElementsAre("[[stages]] 3: context_length"));
  EXPECT_THAT(changed([](Json& stages) {
                stages[2].erase("lr"), stages[2].erase("min_lr"), stages[2].erase("warmup_steps"),
                    stages[2].erase("schedule_steps");
              }),
              ElementsAre("[[stages]] 3: lr", "[[stages]] 3: min_lr", "[[stages]] 3: schedule_steps",
                          "[[stages]] 3: warmup_steps"));
  EXPECT_THAT(changed([](Json& stages) { stages[0]["steps"] = 41; }), ElementsAre("[[stages]] 1: steps"));
  EXPECT_THAT(changed([](Json& stages) { stages[2]["steps"] = 99; }),
              ElementsAre("train.steps", "[[stages]] 3: steps"));
  EXPECT_THAT(changed([](Json& stages) { stages.erase(2); }), ElementsAre("train.steps", "[[stages]] 3"));

  Json without = before;
  without.erase("stages");
  EXPECT_THAT(altering_differences(without, before), ElementsAre("[[stages]]"));
  EXPECT_THAT(altering_differences(before, without), ElementsAre("[[stages]]"));
}

TEST(StageConfig, MoreStepsAndStagesAtTheEndAreNoAlteration) {
  const Json before = to_json(parse_stages_of(three_stages));
  const TrainConfig train_before = parse_run_config(before, "config.toml", VocabularyHint{257}).train;
  const auto expect_same_course = [&](const Json& given, std::int64_t steps) {
    const Json after = resumed_with(before, given);
    EXPECT_TRUE(altering_differences(before, after).empty()) << given;
    const TrainConfig train = parse_run_config(after, "config.toml", VocabularyHint{257}).train;
    EXPECT_EQ(train.steps, steps);
    for (std::int64_t step = 0; step < train_before.steps; ++step) {
      EXPECT_EQ(learning_rate(train, step), learning_rate(train_before, step)) << given << ", step " << step;
    }
  };
  // More steps alone are the last stage's.
  expect_same_course({{"train", {{"steps", 230}}}}, 230);
  EXPECT_EQ(resumed_with(before, {{"train", {{"steps", 230}}}})["stages"][2]["steps"], 130);
  Json stages = parse_toml(three_stages, "stages")["stages"];
  stages[2]["steps"] = 140;
  expect_same_course({{"stages", stages}}, 240);
  stages[2].erase("min_lr");  // and nothing says anew what it was
  stages[2].erase("warmup_steps");
  expect_same_course({{"stages", stages}}, 240);
  stages.push_back({{"steps", 10}, {"data", {{{"kind", "text"}}}}});
  expect_same_course({{"stages", stages}}, 250);
  EXPECT_THAT(error_of([&] { resumed_with(before, {{"train", {{"steps", 150}}}}); }),
              HasSubstr("steps is 150, but [[stages]] have 200"));
}

}  // namespace
}  // namespace lookback
