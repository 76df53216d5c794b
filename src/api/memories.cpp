#include "lookback/memories.h"

#include <utility>

#include "api/opened_memories.h"
#include "core/error.h"
#include "generate/inference_model.h"
#include "ingest/memory_index.h"
#include "ingest/open_memory.h"
#include "memory/chunk_cache.h"

namespace lookback {
namespace {

OpenedMemories open_memories(const InferenceModel& model, const std::vector<std::filesystem::path>& files,
                             const MemoryOptions& options) {
  require(options.search == "exact" || options.search == "approximate", "search {}: expected exact or approximate",
          options.search);
  const at::Device device = model.model->parameters().device();
  const auto ram = std::make_shared<ChunkCache>(at::kCPU, static_cast<std::int64_t>(options.ram_budget_bytes));
  const auto gpu = std::make_shared<ChunkCache>(device, static_cast<std::int64_t>(options.gpu_budget_bytes));
  OpenedMemories memories;
  std::vector<SearchedArchive> searched;
  for (const std::filesystem::path& file : files) {
    memories.files.push_back(std::filesystem::absolute(file).string());
    memories.stored.push_back(open_memory(file, *model.model, model.fingerprint, model.tokenizer.get()));
    std::shared_ptr<const ChunkArchive> tier = std::make_shared<CachedArchive>(memories.stored.back(), ram);
    if (device.is_cuda()) tier = std::make_shared<CachedArchive>(tier, gpu);
    if (options.search == "exact") {
      searched.push_back(search_exactly(tier, device));
      continue;
    }
    const OpenedMemoryIndex index = open_memory_index(*memories.stored.back(), options.num_probes);
    searched.push_back({tier, index.index});
    memories.qualities.push_back(index.quality);
  }
  memories.set = make_memory_set(std::move(searched));
  return memories;
}

}  // namespace

Memories::Memories() : opened_(std::make_shared<const OpenedMemories>()) {}

Memories::Memories(const LanguageModel& model, const std::vector<std::filesystem::path>& files,
                   const MemoryOptions& options)
    : opened_(std::make_shared<const OpenedMemories>(open_memories(model.opened(), files, options))) {}

const std::vector<std::string>& Memories::files() const { return opened_->files; }

std::int64_t Memories::num_chunks() const { return opened_->set ? opened_->set->num_chunks() : 0; }

const std::vector<SearchQuality>& Memories::search_qualities() const { return opened_->qualities; }

}  // namespace lookback
