#include "cli/memory_flags.h"

#include <filesystem>

#include "ingest/open_memory.h"
#include "memory/chunk_cache.h"

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
}

OpenedMemories open_memories(const std::vector<std::string>& paths, const MemoryFlags& flags,
                             const InferenceModel& opened) {
  const at::Device device = opened.model->parameters().device();
  const auto ram = std::make_shared<ChunkCache>(at::kCPU, static_cast<std::int64_t>(flags.ram_budget_bytes));
  const auto gpu = std::make_shared<ChunkCache>(device, static_cast<std::int64_t>(flags.gpu_budget_bytes));
  OpenedMemories memories;
  for (const std::string& path : paths) {
    memories.paths.push_back(std::filesystem::absolute(path).string());
    memories.stored.push_back(open_memory(path, *opened.model, opened.fingerprint, opened.tokenizer.get()));
    std::shared_ptr<const ChunkArchive> tier = std::make_shared<CachedArchive>(memories.stored.back(), ram);
    if (device.is_cuda()) tier = std::make_shared<CachedArchive>(tier, gpu);
    memories.searched.push_back(search_exactly(tier, device));
  }
  return memories;
}

}  // namespace lookback
