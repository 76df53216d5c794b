#include "train/run_config.h"

#include <gmock/gmock.h>

#include <cmath>
#include <limits>

#include "ops/parallel.h"
#include "train/known_keys.h"
#include "train/toml.h"
#include "train/train_helpers.h"
#include "train/training_threads.h"

namespace lookback {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr const char* small_run = R"([model]
hidden_size = 16
intermediate_size = 24
num_attention_heads = 2
slide_window = 12
decoder_layers = [1, 1]
encoder_layers = 1
enc_chunk_size = 8
chunk_topk = 2

[train]
steps = 100
lr = 1e-3
betas = [0.8, 0.9]
)";

RunConfig parse(const std::string& text) {
  return parse_run_config(parse_toml(text, "run.toml"), "run.toml", VocabularyHint{257});
}

TEST(Toml, NumbersThatAreNoneStayWhatTheyAre) {
  const double infinity = std::numeric_limits<double>::infinity();
  const Json value = {{"train", {{"lr", std::nan("")}, {"min_lr", -infinity}, {"eps", infinity}}}};
  const Json read = parse_toml(dump_toml(value), "text")["train"];
  EXPECT_TRUE(std::isnan(read["lr"].get<double>()));
  EXPECT_EQ(read["min_lr"].get<double>(), -infinity);
  EXPECT_EQ(read["eps"].get<double>(), infinity);
}

TEST(Toml, ArraysOfTablesAreReadAsTheyWereWritten) {
  const Json value =
      parse_toml("[a]\nx = 1\n[[b]]\ny = \"q\\\"]\"\nlist = [{z = 1.0, w = [1, 2]}, {}]\n[[b]]\n[c]\n", "text");
  EXPECT_EQ(value["b"].size(), 2U);
  EXPECT_EQ(value["b"][0]["list"][0]["w"][1], 2);
  const std::string written = dump_toml(value);
  EXPECT_THAT(written, HasSubstr("[[b]]\nlist = [{w = [1, 2], z = 1.0}, {}]\n"));
  EXPECT_EQ(parse_toml(written, "written"), value);
}

TEST(RunConfig, SmallModelsTrainOnOneThread) {
  RunConfig config = parse(small_run);
  EXPECT_EQ(training_threads(config), 1);
  config.model.hidden_size = 1024;
  config.model.intermediate_size = 4096;
  EXPECT_EQ(training_threads(config), default_threads());
}

TEST(RunConfig, TakesDefaultsFromTokenizerRateAndSteps) {
  const RunConfig config = parse(small_run);
  EXPECT_EQ(config.model.kind, "drt");
  EXPECT_EQ(config.model.vocab_size, 258);
  EXPECT_EQ(config.model.landmark_id, 257);
  EXPECT_DOUBLE_EQ(config.train.lr, 1e-3);
  EXPECT_DOUBLE_EQ(config.train.min_lr, 2e-4);
  EXPECT_EQ(config.train.warmup_steps, 2);
  EXPECT_DOUBLE_EQ(config.train.beta1, 0.8);
  EXPECT_DOUBLE_EQ(config.train.beta2, 0.9);
}

TEST(RunConfig, SlidingWindowHasNoLandmark) {
  const RunConfig config = parse(
      "[model]\nhidden_size = 16\nintermediate_size = 24\nnum_attention_heads = 2\nslide_window = "
      "12\nnum_hidden_layers = 3\n");
  EXPECT_EQ(config.model.kind, "sliding-window");
  EXPECT_EQ(config.model.vocab_size, 257);
}

TEST(RunConfig, WindowsHaveThePositionsThatTheModelNames) {
  const std::string stack =
      "[model]\nhidden_size = 16\nintermediate_size = 24\nnum_attention_heads = 2\nslide_window = 12\n"
      "num_hidden_layers = 3\n";
  EXPECT_EQ(parse(stack).model.window_positions, WindowPositions::alibi);
  const RunConfig rotary = parse(stack + "window_positions = \"rope\"\nrope_theta = 500\n");
  EXPECT_EQ(rotary.model.window_positions, WindowPositions::rope);
  EXPECT_EQ(rotary.model.rope_theta, 500);
  EXPECT_EQ(to_json(parse(dump_toml(to_json(rotary)))), to_json(rotary));
  const auto error = [](const std::string& text) { return error_of([&] { parse(text); }); };
  EXPECT_THAT(error(stack + "rope_theta = 500\n"), HasSubstr("unknown key \"rope_theta\""));
  EXPECT_THAT(error(stack + "window_positions = \"none\"\nrope_theta = 500\n"),
              HasSubstr("unknown key \"rope_theta\""));
  EXPECT_THAT(error(stack + "window_positions = \"roPE\"\n"),
              HasSubstr("window_positions \"roPE\": there are alibi, rope and none"));
  EXPECT_THAT(error(stack + "lookback_model = \"landmark\"\nwindow_positions = \"rope\"\n"),
              HasSubstr("unknown key \"window_positions\""));
}

TEST(RunConfig, ResolvedTomlGivesTheSameConfigBack) {
  const Json resolved = to_json(parse(small_run));
  EXPECT_EQ(to_json(parse(dump_toml(resolved))), resolved);
}

TEST(RunConfig, RefusesWhatItDoesNotKnowByName) {
  const auto error = [](const std::string& text) { return error_of([&] { parse(text); }); };
  EXPECT_THAT(error(std::string(small_run) + "warmup_step = 3\n"),
              HasSubstr("\"warmup_step\"; did you mean \"warmup_steps\""));
  EXPECT_THAT(error(std::string("[modle]\n")), HasSubstr("did you mean \"model\""));
  EXPECT_THAT(error("[model]\nhiden_size = 3\ndecoder_layers = [1, 1]\n"), HasSubstr("did you mean \"hidden_size\""));
  EXPECT_THAT(error(std::string(small_run) + "weight_decay = \"much\"\n"),
              HasSubstr("weight_decay: expected a number, found \"much\""));
  EXPECT_THAT(error(std::string(small_run) + "batch_size = 1.5\n"), HasSubstr("batch_size: expected a whole number"));
  EXPECT_THAT(error(std::string(small_run) + "seed = -1\n"), HasSubstr("seed must not be negative"));
  EXPECT_THAT(error(std::string(small_run) + "dtype = \"float8\"\n"), HasSubstr("float8"));
  EXPECT_THAT(error(std::string(small_run) + "min_lr = 1\n"), HasSubstr("min_lr 1 is above lr 0.001"));
  EXPECT_THAT(error("steps = 3\n"), HasSubstr("\"steps\""));
  EXPECT_THAT(error("[train]\nsteps = 3\n"), HasSubstr("[model]"));
  EXPECT_THAT(error("[train\n"), HasSubstr("line 1"));
  EXPECT_THAT(error(std::string("[model]\nvocab_size = 200\n") + (std::strchr(small_run, '\n') + 1)),
              HasSubstr("vocab_size 200 cannot hold the tokenizer's 257 ids and the landmark"));
}

TEST(RunConfig, NamesTheChangesThatAlterTheCourse) {
  const Json before = to_json(parse(small_run));
  const Json after =
      overlay(before, {{"train", {{"lr", 2e-3}, {"checkpoint_every", 7}}}, {"model", {{"hidden_size", 32}}}});
  EXPECT_THAT(altering_differences(before, after), ElementsAre("model.hidden_size", "train.lr"));
  EXPECT_TRUE(altering_differences(before, before).empty());
  Json on_card = before;
  on_card["train"]["device"] = "cuda:0";
  EXPECT_THAT(altering_differences(before, on_card), ElementsAre("train.device"));
  Json on_other_card = on_card;
  on_other_card["train"]["device"] = "cuda:1";
  EXPECT_TRUE(altering_differences(on_card, on_other_card).empty());
  // A run of a version that did not know a key yet goes on with what it was without it.
  Json old = before;
  old["train"].erase("retriever_embeddings");
  EXPECT_TRUE(altering_differences(old, before).empty());
  Json with_embeddings = before;
  with_embeddings["train"]["retriever_embeddings"] = "vectors.safetensors";
  EXPECT_THAT(altering_differences(old, with_embeddings), ElementsAre("train.retriever_embeddings"));
  Json longer = overlay(before, {{"train", {{"steps", before["train"]["steps"].get<int>() + 10}}}});
  EXPECT_THAT(altering_differences(before, longer), ElementsAre("train.steps"));
  keep_schedule(before, longer);
  EXPECT_TRUE(altering_differences(before, longer).empty());
  EXPECT_EQ(longer["train"]["schedule_steps"], before["train"]["steps"]);
  Json still_longer = overlay(longer, {{"train", {{"steps", longer["train"]["steps"].get<int>() + 10}}}});
  keep_schedule(longer, still_longer);
  EXPECT_EQ(still_longer["train"]["schedule_steps"], before["train"]["steps"]);
  EXPECT_TRUE(altering_differences(longer, still_longer).empty());
  EXPECT_THAT(altering_differences(longer, before), ElementsAre("train.steps", "train.schedule_steps"));
  old["train"].erase("lr");
  EXPECT_THAT(altering_differences(old, before), ElementsAre("train.lr"));
}

TEST(NearestKey, GivesNothingForWordsFarFromAll) {
  EXPECT_EQ(nearest_key("leaning_rate", {"lr", "learning_rate", "steps"}), "learning_rate");
  EXPECT_EQ(nearest_key("zzzzzzzz", {"lr", "steps"}), "");
}

constexpr const char* finetuned = R"(
[finetune]
tasks = ["single", "multi-hop"]
lengths = [1024, 4096]
text_weight = 0.5
)";

TEST(RunConfig, FinetuningIsASectionOfItsOwn) {
  EXPECT_FALSE(to_json(parse(small_run)).contains("finetune"));
  const RunConfig config = parse(std::string(small_run) + finetuned);
  EXPECT_THAT(config.finetune.tasks, ElementsAre("single", "multi-hop"));
  EXPECT_THAT(config.finetune.lengths, ElementsAre(1024, 4096));
  EXPECT_FALSE(config.finetune.summarizes());
  const Json resolved = to_json(config);
  EXPECT_EQ(to_json(parse(dump_toml(resolved))), resolved);
  Json other = resolved;
  other["finetune"]["lengths"] = {1024};
  EXPECT_THAT(altering_differences(resolved, other), ElementsAre("finetune.lengths"));
}

TEST(RunConfig, FinetuningMistakesAreNamed) {
  const auto error_with = [](const std::string& keys) {
    return error_of([&] { parse(std::string(small_run) + "[finetune]\n" + keys); });
  };
  EXPECT_THAT(error_with("lengths = [100]"), HasSubstr("tasks"));
  EXPECT_THAT(error_with("tasks = [\"single\"]"), HasSubstr("lengths"));
  EXPECT_THAT(error_with("tasks = [\"singel\"]\nlengths = [100]"), HasSubstr("singel"));
  EXPECT_THAT(error_with("tasks = [\"single\", \"summarize\"]\nlengths = [100]"), HasSubstr("mixed"));
  EXPECT_THAT(error_with("tasks = [\"summarize\"]\nlengths = [100, 200]"), HasSubstr("lengths"));
  EXPECT_THAT(error_with("tasks = [\"single\"]\nlengths = [1.5]"), HasSubstr("whole numbers"));
  EXPECT_THAT(error_with("tasks = [\"single\"]\nlengths = [100]\ntext_weight = -1.0"), HasSubstr("text_weight"));
  EXPECT_THAT(error_with("task = [\"single\"]"), HasSubstr("tasks"));
}

}  // namespace
}  // namespace lookback
