#include "cli/memory_flags.h"

#include <fmt/core.h>

namespace lookback {

void add_memory_flags(CLI::App& command, MemoryFlags& flags) {
  command
      .add_option("--memory", flags.paths,
                  "A memory made by `lookback memory build` to retrieve from; may be given several times")
      ->type_name("NAME.memory")
      ->allow_extra_args(false);
  command
      .add_option("--ram-budget", flags.ram_budget_bytes,
                  "Of memories' chunks kept in RAM, the least recently used making way; 0: none beside the system's "
                  "own cache of files")
      ->transform(CLI::AsSizeValue(false))
      ->type_name("SIZE")
      ->default_str("256MiB");
  command.add_option("--gpu-budget", flags.gpu_budget_bytes, "The same on the GPU, with --device cuda")
      ->transform(CLI::AsSizeValue(false))
      ->type_name("SIZE")
      ->default_str("1GiB");
  command
      .add_option("--search", flags.search,
                  "exact, or approximate: only a few of the lists that `lookback memory index` made")
      ->check(CLI::IsMember({"exact", "approximate"}))
      ->capture_default_str();
  command
      .add_option("--probes", flags.num_probes, "Lists that an approximate search looks into; 0: what the index says")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
}

OpenedMemories open_memories(const std::vector<std::string>& paths, const MemoryFlags& flags,
                             const InferenceModel& opened) {
  const MemoryOptions options{.ram_budget_bytes = static_cast<std::int64_t>(flags.ram_budget_bytes),
                              .gpu_budget_bytes = static_cast<std::int64_t>(flags.gpu_budget_bytes),
                              .search_approximately = flags.search == "approximate",
                              .num_probes = flags.num_probes};
  return open_memories(paths, options, *opened.model, opened.fingerprint, opened.tokenizer.get());
}

std::string search_text(const OpenedMemories& memories) {
  std::string text;
  for (const SearchQuality& quality : memories.qualities) {
    text +=
        fmt::format("[approximate search: {:.1f}% of the exact search's chunks, measured when its index was made]\n",
                    100 * quality.recall);
  }
  return text;
}

Json search_json(const OpenedMemories& memories) {
  Json json = Json::array();
  for (const SearchQuality& quality : memories.qualities) json.push_back(to_json(quality));
  return json;
}

}  // namespace lookback
