#include <fmt/core.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "api/answer_json.h"
#include "cli/commands.h"
#include "cli/generate_output.h"
#include "cli/inference_flags.h"
#include "cli/memory_flags.h"
#include "core/error.h"
#include "core/files.h"
#include "core/interrupt.h"
#include "core/json_lines.h"
#include "core/progress.h"
#include "core/standard_streams.h"
#include "generate/reading_line.h"
#include "generate/sampling.h"
#include "generate/token_ids.h"
#include "lookback/session.h"

namespace lookback {
namespace {

struct GenerateFlags {
  InferenceFlags inference;
  std::string prompt, prompt_file, prompt_ids, prompts;
  MemoryFlags memory;
  std::string session;
  bool prompt_given = false;
  std::int64_t batch_size = 8;
  GenerateConfig config;
  bool ignore_end_of_text = false;
  bool json = false;
  bool quiet = false;
};

std::vector<std::int64_t> prompt_from_ids(const std::string& path) {
  const std::string source = input_name(path);
  auto sequences = parse_token_ids(parse_json(read_file_or_stdin(path), source), source);
  require(sequences.size() == 1, "{}: generate continues one sequence, found a batch of {}; --prompts takes many",
          source, sequences.size());
  require(!sequences.front().empty(), "{}: the list of ids is empty: give at least one token to start from", source);
  return std::move(sequences.front());
}

void require_tokenizer(const LanguageModel& model, const GenerateFlags& flags) {
  require(model.has_tokenizer(), "{}: this model folder has no tokenizer: give token ids with --prompt-ids",
          flags.inference.model);
}

// Nothing when no prompt is given.
std::vector<std::int64_t> read_prompt(const GenerateFlags& flags, const Session& session) {
  if (!flags.prompt_ids.empty()) {
    std::vector<std::int64_t> ids = prompt_from_ids(flags.prompt_ids);
    session.model().check_token_ids(ids, input_name(flags.prompt_ids));
    return ids;
  }
  if (!flags.prompt_given && flags.prompt_file.empty()) return {};
  const std::string words = flags.prompt_given ? flags.prompt : read_file_or_stdin(flags.prompt_file);
  require_tokenizer(session.model(), flags);
  return session.encode(words);
}

// {"prompt": "..."} or {"ids": [...]} a line.
std::vector<std::vector<std::int64_t>> read_prompts(const GenerateFlags& flags, const LanguageModel& model) {
  std::vector<std::vector<std::int64_t>> prompts;
  const auto add_prompt = [&](const Json& value, const std::string& source) {
    if (value.is_object() && value.contains("ids")) {
      prompts.push_back(json_field<std::vector<std::int64_t>>(value, "ids", source));
    } else {
      const auto words = json_field<std::string>(value, "prompt", source);
      require_tokenizer(model, flags);
      prompts.push_back(model.encode(words));
    }
    require(!prompts.back().empty(), "{}: the prompt is empty: give at least one token to start from", source);
    model.check_token_ids(prompts.back(), source);
  };
  visit_json_lines(read_file_or_stdin(flags.prompts), input_name(flags.prompts), add_prompt);
  require(!prompts.empty(), "{}: there are no prompts in it", input_name(flags.prompts));
  return prompts;
}

void print_now(std::string_view text) {
  write_output(text);
  flush_output();
}

// The session of flags.session, if there is such a file, or a new one.
Session open_session(const GenerateFlags& flags, const LanguageModel& model) {
  const auto memories = [&] { return Memories(model, flags.memory.files, flags.memory.options); };
  if (flags.session.empty() || !std::filesystem::exists(flags.session)) return Session(model, memories());
  if (flags.memory.files.empty()) return Session::open(flags.session, model, flags.memory.options);
  return Session::open(flags.session, model, memories());  // given anew: they have moved
}

void run_one(const GenerateFlags& flags, const LanguageModel& model, const StopToken& stop) {
  Session session = open_session(flags, model);
  const std::vector<std::int64_t> prompt_ids = read_prompt(flags, session);
  const auto num_unread = static_cast<double>(std::ssize(session.ids()) + std::ssize(prompt_ids) - session.num_read());
  ProgressLine progress(flags.quiet);
  GenerateListener listener;
  listener.stop = stop;
  listener.on_prompt_read = [&](std::int64_t num_read) {
    show_reading(progress, static_cast<double>(num_read), num_unread);
  };
  const bool with_text = model.has_tokenizer();
  if (!flags.json && with_text) listener.on_text = print_now;
  if (!flags.json && !with_text) listener.on_token = [](std::int64_t id) { print_now(fmt::format("{} ", id)); };

  const Answer answer = session.ask(prompt_ids, flags.config, listener);
  if (!flags.session.empty()) session.save(flags.session);
  if (flags.json) {
    Json json = to_json(answer, with_text);
    if (flags.config.explain) json["explain"] = to_json(answer.retrieved);
    if (!session.memories().search_qualities().empty()) json["search"] = search_json(session.memories());
    if (!flags.session.empty()) {
      json["session"] = flags.session;
      json["session_tokens"] = session.ids().size();
    }
    print_now(dump_line(json) + "\n");
  } else {
    print_now("\n" + sources_text(answer.retrieved));
    progress.finish(hypotheses_text(answer) + search_text(session.memories()) + summary(answer));
    if (!flags.session.empty()) {
      progress.finish(fmt::format("[saved in {}: {} tokens; the same --session goes on]", flags.session,
                                  format_count(static_cast<double>(session.ids().size()))));
    }
  }
}

void run_batches(const GenerateFlags& flags, const LanguageModel& model, const StopToken& stop) {
  require(flags.session.empty(), "--prompts: a session holds one text: leave out --session");
  const Memories memories(model, flags.memory.files, flags.memory.options);
  const std::vector<std::vector<std::int64_t>> prompts = read_prompts(flags, model);
  ProgressLine progress(flags.quiet);
  GenerateListener listener;
  listener.stop = stop;
  std::map<std::size_t, std::string> early;  // lines of prompts that ended before others that stand before them
  std::size_t num_printed = 0;
  std::size_t num_ended = 0;
  const auto on_answer = [&](std::size_t index, const Answer& answer) {
    Json json = {{"index", index}};
    json.update(to_json(answer, model.has_tokenizer()));
    if (flags.config.explain) json["explain"] = to_json(answer.retrieved);
    early.emplace(index, dump_line(json) + "\n");
    for (; early.contains(num_printed); ++num_printed) print_now(early.extract(num_printed).mapped());
    if (++num_ended < prompts.size() && progress.due()) {
      progress.show(fmt::format(
          "prompts: {} of {}, {} left", num_ended, prompts.size(),
          eta_text(static_cast<double>(num_ended), static_cast<double>(prompts.size()), progress.elapsed_seconds())));
    }
  };
  ask_all(model, memories, prompts, flags.config, static_cast<std::size_t>(flags.batch_size), listener, on_answer);
  // Interrupted: those before them were not begun.
  for (const auto& [index, line] : early) print_now(line);
  progress.finish();
}

bool has_prompt(const GenerateFlags& flags) {
  return flags.prompt_given || !flags.prompt_file.empty() || !flags.prompt_ids.empty() || !flags.prompts.empty();
}

void run_generate(GenerateFlags& flags) {
  if (!has_prompt(flags) && (flags.session.empty() || !std::filesystem::exists(flags.session))) {
    throw CLI::RequiredError("--prompt, --prompt-file, --prompt-ids or --prompts (or a --session that has a text)");
  }
  const StopToken stop = catch_interrupts();
  flags.config.stop.stop_at_end_of_text = !flags.ignore_end_of_text;
  check_sampling_config(flags.config.sampling);
  if (!flags.session.empty()) check_output_file(flags.session);
  const LanguageModel model = open_model(flags.inference);
  if (flags.prompts.empty()) {
    run_one(flags, model, stop);
  } else {
    run_batches(flags, model, stop);
  }
}

void add_prompt_flags(CLI::App& command, GenerateFlags& flags) {
  CLI::Option_group* prompt =
      command.add_option_group("Prompt", "at most one; none only to go on with a --session that has a text");
  prompt
      ->add_option_function<std::string>(
          "--prompt",
          [&flags](const std::string& text) {
            flags.prompt = text;
            flags.prompt_given = true;
          },
          "The text to continue; \"\" starts from the tokenizer's end-of-text token")
      ->type_name("TEXT");
  prompt->add_option("--prompt-file", flags.prompt_file, "A file with the text; - is standard input")->type_name("F");
  prompt
      ->add_option("--prompt-ids", flags.prompt_ids,
                   "JSON: a list of token ids, or {\"ids\": [...]}; needs no tokenizer; - is standard input")
      ->type_name("F.json");
  prompt
      ->add_option("--prompts", flags.prompts,
                   "Many: {\"prompt\": \"...\"} or {\"ids\": [...]} a line; prints a line of JSON for each")
      ->type_name("F.jsonl");
  prompt->require_option(0, 1);
  command.add_option("--batch-size", flags.batch_size, "Of --prompts continued side by side")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  add_memory_flags(command, flags.memory);
  command
      .add_option("--session", flags.session,
                  "Go on with the text in this file, and save it there: prompt, answer, prompt, ...; made if missing")
      ->type_name("FILE");
}

void add_decoding_flags(CLI::App& command, GenerateFlags& flags) {
  command.add_option("--max-new-tokens", flags.config.stop.max_new_tokens, "Tokens to add at most")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  SamplingConfig& sampling = flags.config.sampling;
  command.add_flag("--greedy", sampling.greedy, "Always the most probable token instead of a random draw");
  command.add_option("--temperature", sampling.temperature, "Below 1: bolder; above 1: more varied")
      ->capture_default_str();
  command.add_option("--top-k", sampling.top_k, "Draw from the K most probable tokens; 0: all")->capture_default_str();
  command.add_option("--top-p", sampling.top_p, "Draw from the fewest tokens that reach probability P together")
      ->capture_default_str();
  command.add_option("--min-p", sampling.min_p, "Draw from tokens at least P times as probable as the best")
      ->capture_default_str();
  command
      .add_option("--repetition-penalty", sampling.repetition_penalty,
                  "Above 1: tokens already in the text become less probable")
      ->capture_default_str();
  command.add_option("--seed", flags.config.seed, "Of the draws: same seed, same text")->capture_default_str();
  command
      .add_option("--num-beams", flags.config.num_beams,
                  "Above 1: beam search, the most probable text that so many candidates lead to; draws nothing")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command
      .add_option("--length-penalty", flags.config.length_penalty,
                  "Beams are compared by log-probability / length^P: above 0 favours longer texts")
      ->capture_default_str();
  command.add_option("--stop", flags.config.stop.stop_strings, "End before this string; may be given several times")
      ->type_name("TEXT")
      ->allow_extra_args(false);
  command.add_flag("--ignore-end-of-text", flags.ignore_end_of_text, "Go on after an end-of-text token");
  command.add_option("--segment-tokens", flags.config.segment_tokens, "Prompt tokens read in one step")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
}

}  // namespace

void add_generate_command(CLI::App& app) {
  const auto flags = std::make_shared<GenerateFlags>();
  CLI::App* command = app.add_subcommand("generate", "Continue a prompt of any length");
  add_inference_flags(*command, flags->inference);
  add_prompt_flags(*command, *flags);
  add_decoding_flags(*command, *flags);
  command->add_flag("--explain", flags->config.explain,
                    "For each chunk of new tokens: what was retrieved, from where, with which weight");
  command->add_flag("--json", flags->json, "One line of JSON: ids, text, stop_reason, tokens per second, bytes");
  command->add_flag("--quiet", flags->quiet, "No progress and no summary on standard error");
  command->footer(
      "Examples:\n"
      "  lookback generate --model runs/books --prompt \"It was a dark\" --max-new-tokens 200 --temperature "
      "0.8\n"
      "  lookback generate --model runs/books --prompt-file book.txt --greedy --stop $'\\n\\n'\n"
      "  cat book.txt | lookback generate --model runs/books --prompt-file - --top-p 0.95 --seed 7\n"
      "  lookback generate --model runs/books --memory books.memory --prompt \"Who is Ahab?\"\n"
      "  lookback generate --model runs/books --session talk.session --prompt \"And who is Starbuck?\"\n"
      "  lookback generate --model runs/books --prompt \"Call me\" --num-beams 4 --max-new-tokens 20\n"
      "  lookback generate --model runs/books --prompts questions.jsonl --batch-size 16\n"
      "  lookback generate --model tests/fixtures/golden/drt-one-hop --prompt-ids ids.json --greedy --json");
  command->callback([flags] { run_generate(*flags); });
}

}  // namespace lookback
