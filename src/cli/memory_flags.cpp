#include "cli/memory_flags.h"

#include <fmt/core.h>

#include "ingest/memory_index.h"

namespace lookback {

void add_memory_flags(CLI::App& command, MemoryFlags& flags) {
  command
      .add_option("--memory", flags.files,
                  "A memory made by `lookback memory build` to retrieve from; may be given several times")
      ->type_name("NAME.memory")
      ->allow_extra_args(false);
  command
      .add_option("--ram-budget", flags.options.ram_budget_bytes,
                  "Of memories' chunks kept in RAM, the least recently used making way; 0: none beside the system's "
                  "own cache of files")
      ->transform(CLI::AsSizeValue(false))
      ->type_name("SIZE")
      ->default_str("256MiB");
  command.add_option("--gpu-budget", flags.options.gpu_budget_bytes, "The same on the GPU, with --device cuda")
      ->transform(CLI::AsSizeValue(false))
      ->type_name("SIZE")
      ->default_str("1GiB");
  command
      .add_option_function<std::string>(
          "--search",
          [&flags](const std::string& search) { flags.options.search_approximately = search == "approximate"; },
          "exact, or approximate: only a few of the lists that `lookback memory index` made")
      ->check(CLI::IsMember({"exact", "approximate"}))
      ->default_str("exact");
  command
      .add_option("--probes", flags.options.num_probes,
                  "Lists that an approximate search looks into; 0: what the index says")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
}

std::string search_text(const Memories& memories) {
  std::string text;
  for (const SearchQuality& quality : memories.search_qualities()) {
    text +=
        fmt::format("[approximate search: {:.1f}% of the exact search's chunks, measured when its index was made]\n",
                    100 * quality.recall);
  }
  return text;
}

Json search_json(const Memories& memories) {
  Json json = Json::array();
  for (const SearchQuality& quality : memories.search_qualities()) json.push_back(to_json(quality));
  return json;
}

}  // namespace lookback
