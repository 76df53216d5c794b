#include "eval/stored_needle.h"

#include <fmt/core.h>

#include <algorithm>

#include "core/clock.h"
#include "core/error.h"
#include "core/files.h"
#include "core/progress.h"
#include "data/needle_library.h"
#include "ingest/build_memory.h"
#include "ingest/open_memory.h"

namespace lookback {
namespace {

std::string as_text(std::span<const std::int64_t> ids) { return {ids.begin(), ids.end()}; }

// Leaves a file as it is that says this already: what was read of it stays read.
void write_text(const std::filesystem::path& path, const std::string& text) {
  if (std::filesystem::exists(path) && std::filesystem::file_size(path) == text.size() && read_file(path) == text) {
    return;
  }
  write_file_atomic(path, text);
}

class StoredNeedleRun {
 public:
  StoredNeedleRun(const InferenceModel& opened, std::span<const std::int64_t> haystack,
                  const StoredNeedleConfig& config, const StoredNeedleProgress& on_progress, const StopToken& stop)
      : opened_(opened),
        haystack_(haystack.begin(), haystack.end()),
        config_(config),
        on_progress_(on_progress),
        stop_(stop) {
    for (std::int64_t& id : haystack_) {
      if (id > 127) id = ' ';
    }
    require(!config.lengths.empty(), "stored needles: no lengths");
    require(config.num_parts >= 1 && config.num_samples >= 1 && config.num_needles >= 1,
            "stored needles: {} parts, {} samples and {} needles, expected at least 1 of each", config.num_parts,
            config.num_samples, config.num_needles);
    require(config.num_needles >= config.num_parts, "stored needles: {} needles in {} parts, expected one in each",
            config.num_needles, config.num_parts);
    require(opened.tokenizer != nullptr && ids_are_bytes(*opened.tokenizer),
            "stored needles: the texts are of bytes, but this model has no tokenizer whose ids are");
  }

  StoredNeedleEvaluation run() {
    std::filesystem::create_directories(config_.folder);
    for (const std::int64_t length : config_.lengths) {
      for (const double depth : part_depths(config_)) {
        evaluation_.needles.cells.push_back({.length = length, .depth = depth, .recall = {}});
      }
    }
    for (std::size_t i = 0; i < config_.lengths.size() && evaluation_.needles.complete; ++i) ask_length(i);
    return evaluation_;
  }

 private:
  bool go_on(const std::string& what) {
    if (on_progress_) on_progress_(what);
    if (stop_.stop_requested()) evaluation_.needles.complete = false;
    return evaluation_.needles.complete;
  }

  // Questions are in the order of their needles, as many in each part.
  NeedleCell& cell_of(std::size_t length_index, std::size_t question) {
    const auto parts = static_cast<std::size_t>(config_.num_parts);
    const std::size_t part = question * parts / static_cast<std::size_t>(config_.num_needles);
    return evaluation_.needles.cells[length_index * parts + part];
  }

  bool has_enough(std::size_t length_index) {
    const auto first = evaluation_.needles.cells.begin() +
                       static_cast<std::ptrdiff_t>(length_index) * static_cast<std::ptrdiff_t>(config_.num_parts);
    return std::all_of(first, first + config_.num_parts,
                       [this](const NeedleCell& cell) { return cell.num_samples >= config_.num_samples; });
  }

  void ask_length(std::size_t length_index) {
    StoredNeedleCost cost{.length = config_.lengths[length_index]};
    std::vector<double> first_token_seconds;
    for (std::uint64_t text = 0; !has_enough(length_index); ++text) {
      Random random(config_.seed, static_cast<std::uint64_t>(cost.length) * 1024U + text);
      const NeedleLibrary library = make_needle_library(
          haystack_,
          {.chunk_size = opened_.model->config().chunk_size, .length = cost.length, .num_needles = config_.num_needles},
          random);
      const auto memory = read_library(library, fmt::format("{}-seed{}-{}", cost.length, config_.seed, text), cost);
      if (memory == nullptr) break;
      const auto searched = make_memory_set({search_exactly(memory, opened_.model->parameters().device())});
      for (std::size_t q = 0; q < library.questions.size(); ++q) {
        if (!go_on(fmt::format("asking {} tokens: question {} of {}", format_count(static_cast<double>(cost.length)),
                               q + 1, library.questions.size()))) {
          break;
        }
        first_token_seconds.push_back(ask(library.questions[q], searched, cell_of(length_index, q)));
      }
      if (!evaluation_.needles.complete) break;
    }
    if (!first_token_seconds.empty()) {
      std::ranges::sort(first_token_seconds);
      cost.median_first_token_seconds = first_token_seconds[first_token_seconds.size() / 2];
    }
    evaluation_.costs.push_back(cost);
  }

  // The text's memory; nullptr when that was stopped.
  std::shared_ptr<const StoredMemory> read_library(const NeedleLibrary& library, const std::string& name,
                                                   StoredNeedleCost& cost) {
    BuildMemoryConfig build;
    build.inputs = {config_.folder / (name + ".txt")};
    build.out = config_.folder / fmt::format("{}-{}.memory", name, memory_elements_name(config_.elements));
    build.elements = memory_elements_name(config_.elements);
    build.num_threads = config_.num_threads;
    write_text(build.inputs.front(), as_text(library.ids));
    BuildMemoryListener listener;
    listener.on_progress = [&](const BuildMemoryProgress& progress) {
      if (!on_progress_) return;
      on_progress_(fmt::format("reading {}: {} of {} tokens", build.inputs.front().string(),
                               format_count(static_cast<double>(progress.num_tokens)),
                               format_count(static_cast<double>(library.ids.size()))));
    };
    listener.stop = stop_;
    const BuildMemoryResult result =
        build_memory(build, *opened_.model, opened_.dtype, opened_.fingerprint, *opened_.tokenizer, listener);
    evaluation_.needles.complete = !result.interrupted;
    if (result.interrupted) return nullptr;
    auto memory = open_memory(build.out, *opened_.model, opened_.fingerprint, opened_.tokenizer.get());
    require(memory->num_chunks() * memory->format().chunk_size == std::ssize(library.ids),
            "{}: holds other documents than {}: remove it", build.out.string(), build.inputs.front().string());
    cost.tokens_read += result.num_tokens;
    cost.read_seconds += result.num_tokens > 0 ? result.seconds : 0;
    cost.tokens_stored += std::ssize(library.ids);
    cost.file_bytes += static_cast<std::int64_t>(std::filesystem::file_size(build.out));
    return memory;
  }

  // Seconds to the first token.
  double ask(const NeedleSample& question, const std::shared_ptr<const MemorySet>& memory, NeedleCell& cell) {
    NeedleQuestioning questioning;
    questioning.dtype = opened_.dtype;
    questioning.memories = memory;
    const NeedleAnswer answer = ask_needles(*opened_.model, {question}, questioning).front();
    count_needle_answer(answer, question, opened_.model->config().chunk_size, cell);
    return answer.first_token_seconds;
  }

  const InferenceModel& opened_;
  std::vector<std::int64_t> haystack_;
  const StoredNeedleConfig& config_;
  const StoredNeedleProgress& on_progress_;
  StopToken stop_;
  StoredNeedleEvaluation evaluation_;
};

}  // namespace

StoredNeedleEvaluation evaluate_stored_needles(const InferenceModel& opened, std::span<const std::int64_t> haystack,
                                               const StoredNeedleConfig& config,
                                               const StoredNeedleProgress& on_progress, const StopToken& stop) {
  return StoredNeedleRun(opened, haystack, config, on_progress, stop).run();
}

std::vector<double> part_depths(const StoredNeedleConfig& config) {
  std::vector<double> depths;
  for (std::int64_t part = 0; part < config.num_parts; ++part) {
    depths.push_back((static_cast<double>(part) + 0.5) / static_cast<double>(config.num_parts));
  }
  return depths;
}

Json to_json(const StoredNeedleEvaluation& evaluation, const StoredNeedleConfig& config) {
  Json json = {{"task", to_string(NeedleKind::recipe)},
               {"seed", config.seed},
               {"samples_per_cell", config.num_samples},
               {"num_needles", config.num_needles},
               {"elements", memory_elements_name(config.elements)},
               {"complete", evaluation.needles.complete}};
  add_cells(evaluation.needles, config.lengths, part_depths(config), json);
  for (const StoredNeedleCost& cost : evaluation.costs) {
    json["memories"].push_back({{"length", cost.length},
                                {"tokens_read", cost.tokens_read},
                                {"read_seconds", cost.read_seconds},
                                {"file_bytes", cost.file_bytes},
                                {"tokens_stored", cost.tokens_stored},
                                {"median_first_token_seconds", cost.median_first_token_seconds}});
  }
  return json;
}

}  // namespace lookback
