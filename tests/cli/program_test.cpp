// The program itself, as a user starts it: one small text from preparation to a continued prompt, then what users get
// wrong. That the numbers are right is the other tests' matter; here the commands must fit together.
#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <set>
#include <sstream>
#include <string>

#include "core/files.h"
#include "core/json.h"

namespace lookback {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::Not;

constexpr int exit_failed = 1;
constexpr int exit_misuse = 2;

constexpr const char* run_config = R"(
[model]
hidden_size = 16
intermediate_size = 32
num_attention_heads = 2
enc_chunk_size = 8
chunk_topk = 2
slide_window = 16
encoder_layers = 1
decoder_layers = [1, 1]

[train]
steps = 3
batch_size = 2
context_length = 64
lr = 1e-2
validate_every = 2
validation_windows = 2
)";

constexpr const char* compare_config = R"(
[compare]
match_parameters = "drt"
contexts = "32,full"
max_tokens = "1K"
prompt_tokens = "30"
new_tokens = 4

[needles]
task = "single"
steps = 1
batch_size = 1
train_lengths = "512"
lengths = "512"
samples = 1

[model]
hidden_size = 16
intermediate_size = 32
num_attention_heads = 2
slide_window = 16

[train]
steps = 2
batch_size = 2
context_length = 64
lr = 1e-2
threads = 1

[[models]]
name = "drt"
model = {lookback_model = "drt", enc_chunk_size = 8, chunk_topk = 2, encoder_layers = 1, decoder_layers = [1, 1]}

[[models]]
name = "window"
model = {lookback_model = "sliding-window", num_hidden_layers = 4}
)";

class ProgramTest : public testing::Test {
 protected:
  struct Outcome {
    int code = -1;
    std::string out, err;
  };

  static void SetUpTestSuite() {
    folder = fs::temp_directory_path() / fmt::format("lookback-program-{}", ::getpid());
    fs::create_directories(folder / "texts");
    std::string text;
    for (int i = 0; i < 300; ++i) text += fmt::format("Line {} of the text.\n", i * i);
    write_file_atomic(folder / "texts/long.txt", text);
    write_file_atomic(folder / "texts/short.md", "# A title\nand a line");
    write_file_atomic(folder / "run.toml", run_config);
    write_file_atomic(folder / "ids.json", "[5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]");
  }
  static void TearDownTestSuite() { fs::remove_all(folder); }

  // Runs `lookback <arguments>` in the test's folder, its standard output going to `output`.
  static Outcome lookback(const std::string& arguments, const std::string& input = "",
                          const std::string& output = "out") {
    write_file_atomic(folder / "in", input);
    const int status = std::system(  // NOLINT(bugprone-command-processor): as users start it
        fmt::format("cd '{}' && '{}/lookback' {} <in >{} 2>err", folder.string(), LOOKBACK_BINARY_DIR, arguments,
                    output)
            .c_str());
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, read_file(folder / "out"), read_file(folder / "err")};
  }

  // The same with standard output where the shell's `target` says: "/dev/full", "&9".
  static Outcome lookback_to(const std::string& target, const std::string& arguments, const std::string& input = "") {
    write_file_atomic(folder / "in", input);
    const int status = std::system(  // NOLINT(bugprone-command-processor): as users start it
        fmt::format("cd '{}' && '{}/lookback' {} <in >{} 2>err", folder.string(), LOOKBACK_BINARY_DIR, arguments,
                    target)
            .c_str());
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, "", read_file(folder / "err")};
  }

  static Json json_of(const std::string& arguments, const std::string& input = "") {
    const Outcome outcome = lookback(arguments, input);
    EXPECT_EQ(outcome.code, 0) << arguments << "\n" << outcome.err;
    return parse_json(outcome.out, arguments);
  }

  // Prepared text and a trained model, made by the first test that asks.
  static void make_run() {
    if (fs::exists(folder / "run/last")) return;
    ASSERT_EQ(json_of("prepare texts --tokenizer bytes --out data --valid-fraction 0.5 --json").at("num_inputs"), 2);
    const Json trained = json_of("train --config run.toml --data data --out run --threads 1 --json");
    ASSERT_EQ(trained.at("steps"), 3);
  }

  static fs::path folder;
};

fs::path ProgramTest::folder;

// OpenMP's runtime itself says how its threads wait. (A sanitized program stays as it was started.)
#ifndef __SANITIZE_ADDRESS__
TEST_F(ProgramTest, IdleThreadsSleepUnlessTheEnvironmentSaysOtherwise) {
  const auto settings = [](const std::string& environment) {
    const std::string command =
        fmt::format("cd '{}' && env -u OMP_WAIT_POLICY -u GOMP_SPINCOUNT OMP_DISPLAY_ENV=VERBOSE {} '{}/lookback' {}",
                    folder.string(), environment, LOOKBACK_BINARY_DIR, "--version >out 2>err");
    EXPECT_EQ(std::system(command.c_str()), 0);  // NOLINT(bugprone-command-processor): as users start it
    return read_file(folder / "err");
  };
  EXPECT_THAT(settings(""), HasSubstr("GOMP_SPINCOUNT = '0'"));
  EXPECT_THAT(settings("OMP_WAIT_POLICY=active"), HasSubstr("OMP_WAIT_POLICY = 'ACTIVE'"));
  EXPECT_THAT(settings("GOMP_SPINCOUNT=7"), HasSubstr("GOMP_SPINCOUNT = '7'"));
}
#endif

TEST_F(ProgramTest, EveryCommandHasHelpWithExamples) {
  EXPECT_EQ(lookback("--version").code, 0);
  const Outcome all = lookback("--help");
  EXPECT_EQ(all.code, 0);
  for (const char* command :
       {"tokenizer train", "tokenize",       "detokenize",   "prepare",    "demo",         "eval perplexity",
        "eval needle",     "eval summarize", "generate",     "score",      "train",        "finetune",
        "estimate",        "compare",        "memory build", "memory add", "memory merge", "memory index",
        "memory info",     "memory verify",  "memory remove"}) {
    const Outcome help = lookback(std::string(command) + " --help");
    EXPECT_EQ(help.code, 0) << command;
    EXPECT_THAT(help.out, HasSubstr("Examples:")) << command;
    EXPECT_THAT(help.out, HasSubstr("  lookback " + std::string(command))) << command;
    EXPECT_THAT(all.out, HasSubstr(std::string(command).substr(0, 4))) << command;
  }
}

TEST_F(ProgramTest, TokensAndBack) {
  EXPECT_EQ(lookback("tokenize --tokenizer bytes", "ab\n").out, "97 98 10\n");
  EXPECT_EQ(lookback("detokenize --tokenizer bytes", "97 98 10\n").out, "ab\n");
  EXPECT_EQ(lookback("tokenize --tokenizer bytes --jsonl", "{\"text\": \"ab\"}\n{\"text\": \"\"}\n").out,
            "{\"ids\":[97,98]}\n{\"ids\":[]}\n");
}

TEST_F(ProgramTest, LearnsATokenizerAndMixesCorpora) {
  const Json learned = json_of("tokenizer train texts --vocab-size 300 --out learned --json");
  EXPECT_EQ(learned.at("vocab_size"), 300);
  EXPECT_EQ(lookback("detokenize --tokenizer learned", lookback("tokenize --tokenizer learned", "any text\n").out).out,
            "any text\n");
  const Json mixed =
      json_of("prepare --corpus a=texts --corpus b=texts --weights a=1,b=3 --tokenizer learned --out mixed --json");
  EXPECT_EQ(mixed.at("mixture").at(1).at("mixed_tokens"), 3 * mixed.at("mixture").at(0).at("mixed_tokens").get<int>());
  EXPECT_EQ(lookback("prepare texts --corpus a=texts --tokenizer bytes --out mixed2").code, exit_misuse);
  EXPECT_EQ(lookback("prepare --tokenizer bytes --out mixed2").code, exit_misuse);
  EXPECT_EQ(lookback("tokenizer train texts --vocab-size 300 --kind words --out learned2").code, exit_misuse);
}

TEST_F(ProgramTest, FromTextToAContinuedPrompt) {
  make_run();
  const Json estimate = json_of("estimate --config run.toml --data data --threads 1 --json");
  EXPECT_GT(estimate.at("num_parameters"), 1000);
  const Json perplexity = json_of("eval perplexity --model run --data data/valid --context 64 --stride 32 --json");
  EXPECT_GT(perplexity.at("results").at(0).at("perplexity"), 1);
  EXPECT_EQ(perplexity.at("results").at(0).at("num_tokens"), 19);  // all but the first of the short text
  const Json needle = json_of(
      "eval needle --model run --haystack data/train --task single --lengths 512 --depths 0,50 --samples 2 --json");
  EXPECT_EQ(needle.at("cells").size(), 2U);
  const std::string generate =
      "generate --model run --prompt 'Line 4' --max-new-tokens 20 --seed 3 --ignore-end-of-text";
  const Json generated = json_of(generate + " --json");
  EXPECT_EQ(generated.at("ids").size(), 20U);
  EXPECT_EQ(json_of(generate + " --json").at("ids"), generated.at("ids"));
  EXPECT_EQ(lookback(generate).code, 0);
  EXPECT_EQ(json_of("generate --model run --prompt-ids - --greedy --max-new-tokens 2 --json", "[1, 2, 3]")
                .at("prompt_tokens"),
            3);
}

TEST_F(ProgramTest, ReadsAMemoryAndAsksIt) {
  make_run();
  const Json built = json_of("memory build --model run texts --out a.memory --elements int8 --json");
  EXPECT_EQ(built.at("num_documents"), 2);
  EXPECT_EQ(json_of("memory build --model run texts --out a.memory --elements int8 --json").at("num_known"), 2);
  const Json info = json_of("memory info a.memory --json");
  EXPECT_EQ(info.at("documents").at(1).at("name"), "texts/short.md");
  EXPECT_EQ(info.at("num_tokens"), built.at("num_tokens"));
  EXPECT_EQ(info.at("file_bytes").get<std::uintmax_t>(), fs::file_size(folder / "a.memory"));
  EXPECT_TRUE(info.at("file_bytes").is_number_unsigned());
  write_file_atomic(folder / "later.txt", "What was written later.");
  const Json added = json_of("memory add a.memory --model run later.txt --json");
  EXPECT_EQ(added.at("num_documents"), 1);
  EXPECT_EQ(added.at("num_tokens"), 23);
  const Outcome nowhere = lookback("memory add nowhere.memory --model run later.txt");
  EXPECT_EQ(nowhere.code, exit_failed);
  EXPECT_THAT(nowhere.err, HasSubstr("nowhere.memory"));
  EXPECT_FALSE(fs::exists(folder / "nowhere.memory"));
  EXPECT_EQ(json_of("memory info a.memory --json").at("documents").size(), 3U);
  EXPECT_EQ(lookback("memory remove a.memory later.txt").code, 0);
  EXPECT_EQ(lookback("memory verify a.memory").code, 0);
  const std::string ask = "generate --model run --memory a.memory --prompt 'Line 4 of' --max-new-tokens 9 --explain";
  const Json answer = json_of(ask + " --json");
  const Json& retrieved = answer.at("explain").at(0).at("retrieved");
  ASSERT_EQ(retrieved.size(), 2U);
  EXPECT_EQ(retrieved.at(0).at("memory"), "a.memory");
  EXPECT_THAT(lookback(ask).out, HasSubstr("from new token 0 on:"));
  EXPECT_EQ(json_of(ask + " --json --ram-budget 0").at("ids"), answer.at("ids"));
  const Outcome no_index = lookback(ask + " --search approximate");
  EXPECT_EQ(no_index.code, exit_failed);
  EXPECT_THAT(no_index.err, HasSubstr("`lookback memory index a.memory`"));
  const Outcome removed = lookback("memory remove a.memory texts/short.md");
  EXPECT_EQ(removed.code, 0) << removed.err;
  EXPECT_EQ(json_of("memory info a.memory --json").at("documents").size(), 1U);
  const Outcome missing = lookback("memory remove a.memory texts/short.md");
  EXPECT_EQ(missing.code, exit_failed);
  EXPECT_THAT(missing.err, HasSubstr("holds no document \"texts/short.md\""));
}

TEST_F(ProgramTest, BatchesDoNotDecideWhatAPromptGets) {
  make_run();
  std::string prompts;
  for (int i = 0; i < 12; ++i)
    prompts += i % 3 == 2 ? "{\"prompt\": \"Another line\"}\n\n" : "{\"prompt\": \"Line 4\"}\n";
  const auto texts = [&](int batch_size) {
    const Outcome outcome = lookback(
        fmt::format("generate --model run --prompts - --batch-size {} --max-new-tokens 12 --seed 4", batch_size),
        prompts);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    std::vector<Json> ids;
    std::istringstream lines(outcome.out);
    for (std::string line; std::getline(lines, line);) ids.push_back(parse_json(line, "answers").at("ids"));
    return ids;
  };
  const std::vector<Json> together = texts(12);
  EXPECT_EQ(together.size(), 12U);
  EXPECT_EQ(std::set<Json>(together.begin(), together.end()).size(), 12U) << "each has draws of its own";
  EXPECT_EQ(texts(4), together);
  EXPECT_EQ(texts(1), together);
}

TEST_F(ProgramTest, ASessionIsSavedWhereverItsTextGoes) {
  make_run();
  const std::string ask =
      "generate --model run --session talk --prompt 'Line 4' --max-new-tokens 50 --ignore-end-of-text";
  const Outcome full = lookback(ask, "", "/dev/full");
  EXPECT_EQ(full.code, exit_failed);
  EXPECT_THAT(full.err, HasSubstr("standard output"));
  const auto first_tokens = [&] {
    return json_of("generate --model run --session talk --max-new-tokens 0 --json").at("session_tokens").get<int>();
  };
  // The prompt and what was drawn before anybody knew.
  const int after_full = first_tokens();
  EXPECT_GE(after_full, 7);
  EXPECT_LT(after_full, 56);
  const Outcome closed = lookback(ask, "", "&-");
  EXPECT_EQ(closed.code, exit_failed);
  EXPECT_GE(first_tokens(), after_full + 7);
}

TEST_F(ProgramTest, ScoresAgree) {
  make_run();
  const Json whole = json_of("score --model run --ids ids.json --json").at("logprobs");
  const Json stepped = json_of("score --model run --ids ids.json --incremental --json").at("logprobs");
  ASSERT_EQ(whole.size(), 11U);
  EXPECT_TRUE(whole[0].is_null());
  for (std::size_t i = 1; i < whole.size(); ++i) {
    EXPECT_NEAR(whole[i].get<double>(), stepped[i].get<double>(), 2e-4) << i;
  }
  EXPECT_EQ(json_of("memory build --model run texts/short.md --out scores.memory --json").at("num_documents"), 1);
  const Json remembering = json_of("score --model run --ids ids.json --memory scores.memory --json").at("logprobs");
  EXPECT_EQ(remembering[7], whole[7]) << "the first chunk has retrieved nothing yet";
  EXPECT_NE(remembering[9], whole[9]);
}

TEST_F(ProgramTest, ComparesModelsAndGoesOn) {
  make_run();
  write_file_atomic(folder / "compare.toml", std::string(compare_config));
  const std::string command = "compare --config compare.toml --data data --out compare --threads 1";
  const Outcome plan = lookback(command + " --plan");
  EXPECT_EQ(plan.code, 0) << plan.err;
  EXPECT_THAT(plan.err, HasSubstr("window"));
  EXPECT_FALSE(fs::exists(folder / "compare"));
  const Json result = json_of(command + " --json");
  EXPECT_TRUE(result.at("complete"));
  ASSERT_EQ(result.at("results").size(), 2U);
  for (const Json& one : result.at("results")) {
    EXPECT_EQ(one.at("perplexity").at("output").at("results").at(0).at("num_tokens"), 19);
    EXPECT_EQ(one.at("speed").at("output").at("new_tokens"), 4);
    EXPECT_EQ(one.at("needles").at("output").at("by_length").at(0).at("num_samples"), 5);
    EXPECT_EQ(one.at("train").at("output").at("steps"), 2);
    // What the commands say of the same model.
    const std::string run = "compare/runs/" + one.at("model").get<std::string>() + "-seed0";
    Json perplexity = json_of("eval perplexity --model " + run +
                              " --data data/valid --context 32,full --max-tokens 1K --threads 1 --json");
    Json compared = one.at("perplexity").at("output");
    for (Json* results : {&perplexity, &compared}) {
      for (Json& context : results->at("results")) context.erase("seconds");
    }
    EXPECT_EQ(compared, perplexity);
    const Json generated = json_of("generate --model " + run +
                                   " --prompt-ids compare/prompt-21.json --max-new-tokens 4 --greedy "
                                   "--ignore-end-of-text --threads 1 --json");
    for (const char* key : {"ids", "text", "stop_reason", "prompt_tokens", "memory_bytes", "window_bytes"}) {
      EXPECT_EQ(one.at("speed").at("output").at(key), generated.at(key)) << key;
    }
    const std::string finetuned = "compare/finetuned/" + one.at("model").get<std::string>() + "-seed0";
    EXPECT_EQ(one.at("needles").at("output"), json_of("eval needle --model " + finetuned +
                                                      " --task single --lengths 512 --samples 1 --threads 1 --json"));
    const Json again = json_of("finetune --model " + run +
                               " --task single --steps 1 --lr 5e-4 --batch-size 1 --length 512 --out again-" +
                               one.at("model").get<std::string>() + " --json");
    EXPECT_EQ(again.at("loss"), one.at("finetune").at("output").at("loss"));
  }
  EXPECT_EQ(json_of(command + " --json").at("results"), result.at("results"));
  for (const char* report : {"report.html", "report.md", "report.csv", "report.json"}) {
    EXPECT_TRUE(fs::exists(folder / "compare" / report)) << report;
  }
  EXPECT_THAT(lookback(command).out, HasSubstr("training tokens/s"));
  // A step by hand; what is done of training stays as it is.
  EXPECT_EQ(json_of("compare --step compare/steps/drt-seed0.needles.json"),
            result.at("results").at(0).at("needles").at("output"));
  EXPECT_EQ(json_of("compare --step compare/steps/drt-seed0.train.json").at("steps"), 2);
  EXPECT_EQ(lookback("compare --step compare/steps/drt-seed0.train.json --out compare").code, exit_misuse);
  const Outcome broken = lookback("compare --step compare/compare.json");
  EXPECT_EQ(broken.code, exit_failed);
  EXPECT_THAT(broken.err, HasSubstr("compare.json"));
}

TEST_F(ProgramTest, ARunGoesOnForMoreStepsWhenItsDataHasMoved) {
  ASSERT_EQ(json_of("prepare texts --tokenizer bytes --out moving --valid-fraction 0.5 --json").at("num_inputs"), 2);
  ASSERT_EQ(json_of("train --config run.toml --data moving --out going --threads 1 --json").at("steps"), 3);
  fs::rename(folder / "moving", folder / "moved");
  const Outcome lost = lookback("train --out going --resume");
  EXPECT_EQ(lost.code, exit_failed);
  EXPECT_THAT(lost.err, HasSubstr("as data"));
  const Json longer = json_of("train --out going --resume --data moved --steps 5 --json");
  EXPECT_EQ(longer.at("steps"), 5);
  EXPECT_TRUE(longer.contains("validation_loss"));
  const std::string config = read_file(folder / "going/config.toml");
  EXPECT_THAT(config, HasSubstr("moved/valid"));
  EXPECT_THAT(config, HasSubstr("schedule_steps = 3"));
  const Outcome shorter = lookback("train --out going --resume --steps 4");
  EXPECT_EQ(shorter.code, exit_failed);
  EXPECT_THAT(shorter.err, HasSubstr("train.steps"));
  write_file_atomic(folder / "going/last/optimizer.safetensors", "");
  const Outcome broken = lookback("train --out going --resume");
  EXPECT_EQ(broken.code, exit_failed);
  EXPECT_THAT(broken.err, HasSubstr("from-step 4"));
  EXPECT_EQ(json_of("train --out going --resume --from-step 4 --json").at("loss"), longer.at("loss"));
}

TEST_F(ProgramTest, TrainsByStagesAndGoesOn) {
  make_run();
  std::string config = run_config;
  config.replace(config.find("steps = 3"), 9, "seed = 3\n");
  write_file_atomic(folder / "stages.toml", config + R"(
[[stages]]
steps = 2
data = [{kind = "self-copies", length = [10, 20]}]

[[stages]]
steps = 2
context_length = 80
data = [{kind = "text"}]
)");
  EXPECT_EQ(json_of("train --config stages.toml --data data --out stages --threads 1 --json").at("steps"), 4);
  EXPECT_EQ(json_of("train --out stages --resume --steps 6 --json").at("steps"), 6);
  std::istringstream metrics(read_file(folder / "stages/metrics.jsonl"));
  std::vector<int> stages;
  for (std::string line; std::getline(metrics, line);) stages.push_back(Json::parse(line).at("stage"));
  EXPECT_EQ(stages, (std::vector<int>{1, 1, 2, 2, 2, 2}));
  const Outcome other = lookback("train --out stages --resume --config stages.toml --context 40");
  EXPECT_EQ(other.code, exit_failed);
  EXPECT_THAT(other.err, HasSubstr("[[stages]] 1: context_length"));
  const Outcome fewer = lookback("train --config stages.toml --data data --out fewer --steps 3");
  EXPECT_EQ(fewer.code, exit_failed);
  EXPECT_THAT(fewer.err, HasSubstr("[[stages]] have 4"));
}

TEST_F(ProgramTest, FinetunesOnNeedlesAndGoesOn) {
  make_run();
  const std::string task =
      "finetune --model run --task single,multi-hop --length 160,240 --data data --threads 1 --batch-size 2 "
      "--steps 4 --checkpoint-every 2 --validation-windows 4 --seed 5 --json ";
  const Json whole = json_of(task + "--out needles");
  EXPECT_EQ(whole.at("steps"), 4);
  EXPECT_TRUE(whole.contains("validation_loss"));
  // As a run that ended after two steps and goes on.
  ASSERT_EQ(json_of(task + "--out again").at("steps"), 4);
  fs::remove_all(folder / "again/checkpoints/step-00000004");
  fs::remove(folder / "again/best");
  fs::remove(folder / "again/last");
  fs::create_directory_symlink("checkpoints/step-00000002", folder / "again/last");
  EXPECT_EQ(json_of("finetune --out again --resume --json").at("loss"), whole.at("loss"));
  for (const char* file : {"model.safetensors", "optimizer.safetensors", "trainer.json"}) {
    EXPECT_EQ(read_file(folder / "again/last" / file), read_file(folder / "needles/last" / file)) << file;
  }
  EXPECT_NE(read_file(folder / "needles/last/model.safetensors"), read_file(folder / "run/last/model.safetensors"));
  EXPECT_EQ(json_of("eval needle --model needles --task single --lengths 240 --depths 50 --samples 1 --json")
                .at("cells")
                .size(),
            1U);
}

TEST_F(ProgramTest, FinetunesOnSummariesAndScoresThem) {
  make_run();
  std::string pairs;
  for (int i = 0; i < 6; ++i) {
    pairs += fmt::format("{{\"document\": \"Line {0} of a document, and more.\", \"summary\": \"Line {0}.\"}}\n", i);
  }
  write_file_atomic(folder / "pairs.jsonl", pairs);
  const Json trained = json_of(
      "finetune --model run --task summarize --data pairs.jsonl --valid pairs.jsonl --length 64 --steps 3 --batch-size "
      "4 "
      "--threads 1 --out summaries --json");
  EXPECT_EQ(trained.at("steps"), 3);
  EXPECT_TRUE(trained.contains("validation_loss"));
  const Json scores = json_of(
      "eval summarize --model summaries --data pairs.jsonl --max-samples 5 --max-new-tokens 8 --out predicted.jsonl "
      "--json");
  EXPECT_EQ(scores.at("num_pairs"), 5);
  EXPECT_LE(scores.at("rougeL").at("f1"), 1);
  EXPECT_EQ(json_of("eval summarize --predictions predicted.jsonl --json").at("rouge1"), scores.at("rouge1"));
  EXPECT_EQ(
      json_of("eval summarize --model summaries --data pairs.jsonl --max-samples 1 --max-new-tokens 4 --num-beams 2 "
              "--json")
          .at("num_pairs"),
      1);
  write_file_atomic(folder / "scored.jsonl",
                    "{\"summary\": \"The skies fell\", \"prediction\": \"the sky falling\"}\n");
  const Outcome table = lookback("eval summarize --predictions scored.jsonl");
  EXPECT_EQ(table.code, 0) << table.err;
  EXPECT_THAT(table.out, HasSubstr("ROUGE-1  0.6667"));
  EXPECT_THAT(table.out, HasSubstr("ROUGE-2  0.5000"));
}

TEST_F(ProgramTest, OutputThatCannotBeWrittenFailsEveryCommand) {
  make_run();
  ASSERT_EQ(lookback("memory build --model run texts/short.md --out full.memory").code, 0);
  write_file_atomic(folder / "full.jsonl", "{\"summary\": \"The skies\", \"prediction\": \"the sky\"}\n");
  const std::string eval_needle =
      "eval needle --model run --haystack data/train --task single --lengths 512 --depths 0 --samples 1";
  for (const std::string& command :
       {std::string("--help"),
        std::string("--version"),
        std::string("tokenize --tokenizer bytes"),
        std::string("tokenize --tokenizer bytes --jsonl"),
        std::string("prepare texts --tokenizer bytes --out data-full"),
        std::string("prepare texts --tokenizer bytes --out data-full --json"),
        std::string("estimate --config run.toml --data data"),
        std::string("estimate --config run.toml --data data --json"),
        std::string("train --config run.toml --data data --out run-full --threads 1"),
        std::string("train --config run.toml --data data --out run-full-json --threads 1 --json"),
        std::string("score --model run --ids ids.json"),
        std::string("score --model run --ids ids.json --json"),
        std::string("generate --model run --prompt a --max-new-tokens 2"),
        std::string("generate --model run --prompt a --max-new-tokens 2 --json"),
        std::string("eval perplexity --model run --data data/valid --context 64"),
        std::string("eval perplexity --model run --data data/valid --context 64 --json"),
        eval_needle,
        eval_needle + " --json",
        std::string("eval summarize --predictions full.jsonl"),
        std::string("eval summarize --predictions full.jsonl --json"),
        std::string("memory info full.memory"),
        std::string("memory info full.memory --json"),
        std::string("memory verify full.memory"),
        std::string("memory merge full.memory --out merged.memory"),
        std::string("memory build --model run texts/short.md --out full.memory"),
        std::string("memory build --model run texts/short.md --out full.memory --json"),
        std::string("memory remove full.memory texts/short.md")}) {
    const Outcome outcome = lookback_to("/dev/full", command, "{\"text\": \"ab\"}\n");
    EXPECT_EQ(outcome.code, exit_failed) << command;
    EXPECT_THAT(outcome.err, HasSubstr("cannot write standard output: No space left on device")) << command;
  }
  EXPECT_EQ(lookback_to("/dev/full", "detokenize --tokenizer bytes", "97 98").code, exit_failed);
  EXPECT_EQ(lookback_to("&-", "score --model run --ids ids.json --json").code, exit_failed);
}

// Nobody reads what is printed, as behind `| head -1`: ends quietly, and what was generated is kept.
TEST_F(ProgramTest, ASessionIsSavedWhenItsReaderIsGone) {
  make_run();
  constexpr int exit_reader_gone = 141;
  constexpr int writer = 9;  // one digit: all that some shells can redirect to
  std::array<int, 2> pipe{};
  ASSERT_EQ(::pipe(pipe.data()), 0);
  ASSERT_EQ(::dup2(pipe[1], writer), writer);
  ::close(pipe[0]);
  ::close(pipe[1]);
  const std::string session = "generate --model run --session gone.session --seed 3 --ignore-end-of-text ";
  const Outcome outcome = lookback_to("&9", session + "--prompt 'Line 4' --max-new-tokens 500 --quiet");
  const Outcome endless = lookback_to("&9", "tokenize --tokenizer bytes", std::string(4'000'000, 'a'));
  ::close(writer);
  EXPECT_EQ(outcome.code, exit_reader_gone) << outcome.err;
  EXPECT_THAT(outcome.err, Not(HasSubstr("error"))) << outcome.err;
  EXPECT_EQ(endless.code, exit_reader_gone) << endless.err;
  EXPECT_EQ(endless.err, "");
  const Json next = json_of(session + "--prompt ' and' --max-new-tokens 1 --json");
  EXPECT_GT(next.at("session_tokens"), 6 + 4 + 1);
  EXPECT_LT(next.at("session_tokens"), 500);
}

TEST_F(ProgramTest, MistakesAreNamedInOneLine) {
  make_run();
  const auto expect = [](const std::string& arguments, int code, const std::string& part,
                         const std::string& input = "") {
    const Outcome outcome = lookback(arguments, input);
    EXPECT_EQ(outcome.code, code) << arguments << "\n" << outcome.err;
    EXPECT_THAT(outcome.err, HasSubstr(part)) << arguments;
    if (code == exit_failed) {
      EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
    }
  };
  expect("", exit_misuse, "command is required");
  expect("nonsense", exit_misuse, "nonsense");
  expect("generate --model run", exit_misuse, "--prompt");
  expect("generate --model nowhere --prompt a", exit_failed, "nowhere");
  expect("generate --model texts --prompt a", exit_failed, "texts");
  expect("generate --model run --prompt-ids - --json", exit_failed, "999", "[1, 999]");
  expect("generate --model run --prompt-ids -", exit_failed, "empty", "[]");
  expect("score --model run --ids -", exit_failed, "standard input", "[1, ");
  expect("tokenize --tokenizer nowhere.json", exit_failed, "nowhere.json");
  expect("prepare nowhere --tokenizer bytes --out data2", exit_failed, "nowhere");
  expect("estimate --config run.toml", exit_failed, "vocab_size");
  expect("train --config nowhere.toml --data data --out run2", exit_failed, "nowhere.toml");
  expect("train --config run.toml --data data --out run2 --steps -3", exit_failed, "steps");
  expect("train --config run.toml --data data --out run2 --device cuda", exit_failed, "CUDA");
  expect("eval perplexity --model run --data nowhere --context 64", exit_failed, "nowhere");
  expect("compare --config run.toml", exit_misuse, "--data");
  expect("finetune --out run3", exit_failed, "--model");
  expect("finetune --model run --task summarise --out run3", exit_failed, "summarise");
  expect("finetune --model run --task summarize --out run3", exit_failed, "--data");
  expect("finetune --model run --task summarize --data ids.json --out run3", exit_failed, "ids.json, line 1");
  expect("finetune --model run --task single --length 64 --data texts/long.txt --out run3", exit_failed, "no room");
  expect("finetune --out run --resume", exit_failed, "`lookback train`");
  expect("eval summarize --model run", exit_failed, "--predictions");
  expect("eval summarize --predictions ids.json", exit_failed, "ids.json, line 1");
}

}  // namespace
}  // namespace lookback
