#include "lookback/memories.h"

#include "core/error.h"
#include "generate/inference_model.h"
#include "ingest/open_memory.h"

namespace lookback {
namespace {

OpenedMemories open_for(const InferenceModel& model, const std::vector<std::filesystem::path>& files,
                        const MemoryOptions& options) {
  require(options.ram_budget_bytes >= 0 && options.gpu_budget_bytes >= 0 && options.num_probes >= 0,
          "memories: budgets and probes must not be negative");
  std::vector<std::string> paths;
  for (const std::filesystem::path& file : files) paths.push_back(file.string());
  return open_memories(paths, options, *model.model, model.fingerprint, model.tokenizer.get());
}

}  // namespace

Memories::Memories() : opened_(std::make_shared<const OpenedMemories>()) {}

Memories::Memories(const LanguageModel& model, const std::vector<std::filesystem::path>& files,
                   const MemoryOptions& options)
    : opened_(std::make_shared<const OpenedMemories>(open_for(model.opened(), files, options))) {}

const std::vector<std::string>& Memories::files() const { return opened_->paths; }

std::int64_t Memories::num_chunks() const { return opened_->set ? opened_->set->num_chunks() : 0; }

const std::vector<SearchQuality>& Memories::search_qualities() const { return opened_->qualities; }

}  // namespace lookback
