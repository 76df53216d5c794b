#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "cli/commands.h"
#include "cli/inference_flags.h"
#include "core/error.h"
#include "core/interrupt.h"
#include "core/json.h"
#include "core/progress.h"
#include "generate/generator.h"
#include "generate/token_ids.h"
#include "ingest/open_memory.h"
#include "text/utf8_stream.h"

namespace lookback {
namespace {

struct GenerateFlags {
  InferenceFlags inference;
  std::string prompt, prompt_file, prompt_ids;
  std::vector<std::string> memories;
  std::vector<std::shared_ptr<const StoredMemory>> opened_memories;
  bool prompt_given = false;
  GenerateConfig config;
  bool ignore_end_of_text = false;
  bool json = false;
  bool quiet = false;
};

std::vector<std::int64_t> prompt_from_ids(const std::string& path) {
  const std::string source = input_name(path);
  auto sequences = parse_token_ids(parse_json(read_file_or_stdin(path), source), source);
  require(sequences.size() == 1, "{}: generate continues one sequence, found a batch of {}", source, sequences.size());
  require(!sequences.front().empty(), "{}: the list of ids is empty: give at least one token to start from", source);
  return std::move(sequences.front());
}

std::vector<std::int64_t> prompt_from_text(const std::string& text, const InferenceModel& opened,
                                           const std::string& model_path) {
  require(opened.tokenizer != nullptr, "{}: this model folder has no tokenizer: give token ids with --prompt-ids",
          model_path);
  const std::vector<std::int32_t> ids = opened.tokenizer->encode(text);
  if (ids.empty()) return {opened.tokenizer->end_of_text_id()};
  return {ids.begin(), ids.end()};
}

std::vector<std::int64_t> read_prompt(const GenerateFlags& flags, const InferenceModel& opened) {
  if (!flags.prompt_ids.empty()) {
    std::vector<std::int64_t> ids = prompt_from_ids(flags.prompt_ids);
    check_token_ids(ids, opened.model->config(), input_name(flags.prompt_ids));
    return ids;
  }
  const std::string text = flags.prompt_given ? flags.prompt : read_file_or_stdin(flags.prompt_file);
  return prompt_from_text(text, opened, flags.inference.model);
}

Json rate(double count, double seconds) { return count > 0 && seconds > 0 ? Json(count / seconds) : Json(nullptr); }

Json to_json(const GenerateResult& result, bool with_text) {
  Json json;
  json["ids"] = result.ids;
  json["text"] = with_text ? Json(result.text) : Json(nullptr);
  json["stop_reason"] = stop_reason_name(result.stop_reason);
  json["prompt_tokens"] = result.prompt_tokens;
  json["new_tokens"] = result.ids.size();
  json["prefill_seconds"] = result.prefill_seconds;
  json["prefill_tokens_per_second"] = rate(static_cast<double>(result.prompt_tokens), result.prefill_seconds);
  json["decode_seconds"] = result.decode_seconds;
  json["decode_tokens_per_second"] = rate(static_cast<double>(result.num_decode_steps), result.decode_seconds);
  json["memory_bytes"] = result.memory_bytes;
  json["window_bytes"] = result.window_bytes;
  return json;
}

std::string text_of(std::span<const std::int64_t> ids, const Tokenizer* tokenizer) {
  if (tokenizer == nullptr) return fmt::format("{}", fmt::join(ids, " "));
  std::string bytes;
  for (const std::int64_t id : ids) tokenizer->decode(static_cast<std::int32_t>(id), bytes);
  Utf8Stream characters;
  return characters.push(bytes) + characters.flush();
}

// Where a retrieved chunk comes from, and what it says.
Json explain_source(const RetrievalSource& source, const GenerateFlags& flags, std::span<const std::int64_t> text_ids,
                    const InferenceModel& opened) {
  Json json = {{"group", source.group}, {"weight", source.weight}};
  if (source.place.archive < flags.opened_memories.size()) {
    const StoredMemory& memory = *flags.opened_memories[source.place.archive];
    const ChunkOrigin origin = memory.origin(source.place.chunk);
    json["memory"] = memory.path().string();
    json["document"] = std::ranges::find(memory.documents(), origin.document, &MemoryDocument::id)->name;
    json["chunk"] = origin.chunk;
    json["text_begin"] = origin.text_begin;
    json["text"] = text_of(origin.token_ids, opened.tokenizer.get());
    return json;
  }
  const auto size = static_cast<std::size_t>(opened.model->config().chunk_size);
  json["memory"] = nullptr;  // the prompt and the answer themselves
  json["chunk"] = source.place.chunk;
  json["text"] =
      text_of(text_ids.subspan(static_cast<std::size_t>(source.place.chunk) * size, size), opened.tokenizer.get());
  return json;
}

Json explain(const GenerateResult& result, const GenerateFlags& flags, const std::vector<std::int64_t>& prompt_ids,
             const InferenceModel& opened) {
  std::vector<std::int64_t> text_ids = prompt_ids;
  text_ids.insert(text_ids.end(), result.ids.begin(), result.ids.end());
  Json chunks = Json::array();
  for (const Explanation& explanation : result.explanations) {
    Json retrieved = Json::array();
    for (const RetrievalSource& source : explanation.sources) {
      retrieved.push_back(explain_source(source, flags, text_ids, opened));
    }
    chunks.push_back({{"first_token", explanation.first_token}, {"retrieved", std::move(retrieved)}});
  }
  return chunks;
}

// The same for people.
std::string explanation_text(const Json& chunks) {
  std::string text;
  for (const Json& chunk : chunks) {
    text += fmt::format("\nfrom new token {} on:\n", chunk["first_token"].get<std::int64_t>());
    if (chunk["retrieved"].empty()) text += "  nothing retrieved\n";
    for (const Json& retrieved : chunk["retrieved"]) {
      const std::string place = retrieved["memory"].is_null()
                                    ? "this text"
                                    : fmt::format("{} at byte {}", retrieved["document"].get<std::string>(),
                                                  retrieved["text_begin"].get<std::uint64_t>());
      text += fmt::format("  {:5.1f}%  {}  {}\n", 100 * retrieved["weight"].get<double>(), place,
                          retrieved["text"].dump(-1, ' ', false, Json::error_handler_t::replace));
    }
  }
  return text;
}

std::string rate_text(double count, double seconds) {
  return count > 0 && seconds > 0 ? format_count(count / seconds) + " tokens/s" : "-";
}

std::string summary(const GenerateResult& result) {
  return fmt::format("[prompt {} tokens, {}; new {} tokens, {}; chunk memory {}; ended by {}]",
                     format_count(static_cast<double>(result.prompt_tokens)),
                     rate_text(static_cast<double>(result.prompt_tokens), result.prefill_seconds), result.ids.size(),
                     rate_text(static_cast<double>(result.num_decode_steps), result.decode_seconds),
                     format_bytes(static_cast<double>(result.memory_bytes)), stop_reason_name(result.stop_reason));
}

void print_now(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

void run_generate(GenerateFlags& flags) {
  catch_interrupts();
  flags.config.stop_at_end_of_text = !flags.ignore_end_of_text;
  check_sampling_config(flags.config.sampling);
  const InferenceModel opened = open_model(flags.inference);
  flags.config.dtype = opened.dtype;
  for (const std::string& path : flags.memories) {
    flags.opened_memories.push_back(open_memory(path, *opened.model, opened.fingerprint, opened.tokenizer.get()));
    flags.config.memories.push_back(flags.opened_memories.back());
  }
  const std::vector<std::int64_t> prompt_ids = read_prompt(flags, opened);

  const auto total = static_cast<double>(prompt_ids.size());
  ProgressLine progress(flags.quiet);
  GenerateListener listener;
  listener.stop_asked = interrupted;
  listener.on_prompt_read = [&](std::int64_t num_tokens) {
    const auto read = static_cast<double>(num_tokens);
    const double seconds = progress.elapsed_seconds();
    if (read == total) {
      progress.finish();
    } else if (progress.due()) {
      progress.show(fmt::format("reading the prompt: {} of {} tokens, {}, {} left", format_count(read),
                                format_count(total), rate_text(read, seconds), eta_text(read, total, seconds)));
    }
  };
  const bool with_text = opened.tokenizer != nullptr;
  if (!flags.json && with_text) listener.on_text = print_now;
  if (!flags.json && !with_text) listener.on_token = [](std::int64_t id) { print_now(fmt::format("{} ", id)); };

  const GenerateResult result = generate(*opened.model, opened.tokenizer.get(), prompt_ids, flags.config, listener);
  Json explanation;
  if (flags.config.explain) explanation = explain(result, flags, prompt_ids, opened);
  if (flags.json) {
    Json json = to_json(result, with_text);
    if (flags.config.explain) json["explain"] = explanation;
    print_now(dump_line(json) + "\n");
  } else {
    print_now("\n" + explanation_text(explanation));
  }
  if (!flags.json) progress.finish(summary(result));
}

}  // namespace

void add_generate_command(CLI::App& app) {
  const auto flags = std::make_shared<GenerateFlags>();
  CLI::App* command = app.add_subcommand("generate", "Continue a prompt of any length");
  add_inference_flags(*command, flags->inference);

  CLI::Option_group* prompt = command->add_option_group("Prompt", "exactly one of");
  CLI::Option* prompt_text =
      prompt
          ->add_option("--prompt", flags->prompt,
                       "The text to continue; \"\" starts from the tokenizer's end-of-text token")
          ->type_name("TEXT");
  prompt->add_option("--prompt-file", flags->prompt_file, "A file with the text; - is standard input")->type_name("F");
  prompt
      ->add_option("--prompt-ids", flags->prompt_ids,
                   "JSON: a list of token ids, or {\"ids\": [...]}; needs no tokenizer; - is standard input")
      ->type_name("F.json");
  prompt->require_option(1);

  command
      ->add_option("--memory", flags->memories,
                   "A memory made by `lookback memory build` to retrieve from; may be given several times")
      ->type_name("NAME.memory")
      ->allow_extra_args(false);
  command->add_option("--max-new-tokens", flags->config.max_new_tokens, "Tokens to add at most")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  SamplingConfig& sampling = flags->config.sampling;
  command->add_flag("--greedy", sampling.greedy, "Always the most probable token instead of a random draw");
  command->add_option("--temperature", sampling.temperature, "Below 1: bolder; above 1: more varied")
      ->capture_default_str();
  command->add_option("--top-k", sampling.top_k, "Draw from the K most probable tokens; 0: all")->capture_default_str();
  command->add_option("--top-p", sampling.top_p, "Draw from the fewest tokens that reach probability P together")
      ->capture_default_str();
  command->add_option("--min-p", sampling.min_p, "Draw from tokens at least P times as probable as the best")
      ->capture_default_str();
  command
      ->add_option("--repetition-penalty", sampling.repetition_penalty,
                   "Above 1: tokens already in the text become less probable")
      ->capture_default_str();
  command->add_option("--seed", flags->config.seed, "Of the draws: same seed, same text")->capture_default_str();
  command->add_option("--stop", flags->config.stop_strings, "End before this string; may be given several times")
      ->type_name("TEXT")
      ->allow_extra_args(false);
  command->add_flag("--ignore-end-of-text", flags->ignore_end_of_text, "Go on after an end-of-text token");
  command->add_option("--segment-tokens", flags->config.segment_tokens, "Prompt tokens read in one step")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
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
      "  lookback generate --model golden/drt-one-hop --prompt-ids ids.json --greedy --json");
  command->callback([flags, prompt_text] {
    flags->prompt_given = prompt_text->count() > 0;
    run_generate(*flags);
  });
}

}  // namespace lookback
