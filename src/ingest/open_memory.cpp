#include "ingest/open_memory.h"

#include <utility>

#include "core/error.h"
#include "ingest/build_memory.h"
#include "ingest/memory_index.h"
#include "memory/chunk_cache.h"
#include "models/fingerprint.h"

namespace lookback {

std::shared_ptr<const StoredMemory> open_memory(const std::filesystem::path& path, const Model& model,
                                                const std::string& fingerprint, const Tokenizer* tokenizer,
                                                const StoredMemory::LandmarkVisitor& visit_landmarks) {
  auto memory = std::make_shared<const StoredMemory>(path, visit_landmarks);
  const MemoryFormat& found = memory->format();
  require(found.model_fingerprint == fingerprint,
          "{}: was made with the weights of another model ({}, this one is {}): build it again with this model",
          path.string(), found.model_fingerprint, fingerprint);
  require(tokenizer == nullptr || found.tokenizer_fingerprint == tokenizer->fingerprint(),
          "{}: was made with another tokenizer than the model folder's: build it again", path.string());
  MemoryFormat wanted = memory_format(model.config(), fingerprint, nullptr, found.elements);
  wanted.tokenizer_fingerprint = found.tokenizer_fingerprint;
  wanted.pad_id = found.pad_id;
  require(found == wanted, "{}: its chunks have other sizes than the model's: the file is damaged", path.string());
  return memory;
}

OpenedMemories open_memories(const std::vector<std::string>& paths, const MemoryOptions& options, const Model& model,
                             const std::string& fingerprint, const Tokenizer* tokenizer) {
  const at::Device device = model.parameters().device();
  const auto ram = std::make_shared<ChunkCache>(at::kCPU, options.ram_budget_bytes);
  const auto gpu = std::make_shared<ChunkCache>(device, options.gpu_budget_bytes);
  OpenedMemories memories;
  std::vector<SearchedArchive> searched;
  for (const std::string& path : paths) {
    memories.paths.push_back(std::filesystem::absolute(path).string());
    StoredMemory::LandmarkVisitor take_landmarks;
    std::shared_ptr<ExactIndex> exact;
    LandmarksFingerprint landmarks_read;
    if (options.search_approximately) {
      take_landmarks = [&landmarks_read](const at::Tensor& landmarks, std::int64_t first, std::int64_t count) {
        landmarks_read.take(landmarks, first, count);
      };
    } else {
      exact = std::make_shared<ExactIndex>(device);
      take_landmarks = [&exact](const at::Tensor& landmarks, std::int64_t first, std::int64_t count) {
        exact->take(landmarks, first, count);
      };
    }
    memories.stored.push_back(open_memory(path, model, fingerprint, tokenizer, take_landmarks));
    std::shared_ptr<const ChunkArchive> tier = std::make_shared<CachedArchive>(memories.stored.back(), ram);
    if (device.is_cuda()) tier = std::make_shared<CachedArchive>(tier, gpu);
    searched.push_back({tier, exact});
    if (exact != nullptr) continue;
    const OpenedMemoryIndex approximate =
        open_memory_index(*memories.stored.back(), landmarks_read.value(), options.num_probes);
    searched.back().index = approximate.index;
    memories.qualities.push_back(approximate.quality);
  }
  memories.set = make_memory_set(std::move(searched));
  return memories;
}

}  // namespace lookback
