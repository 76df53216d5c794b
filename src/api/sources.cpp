#include "api/sources.h"

#include <algorithm>
#include <utility>

#include "generate/inference_model.h"
#include "ingest/open_memory.h"

namespace lookback {
namespace {

Source source_of(const RetrievalSource& retrieved, const LanguageModel& model, const OpenedMemories& memories,
                 std::span<const std::int64_t> text_ids) {
  Source source;
  source.group = retrieved.group;
  source.weight = retrieved.weight;
  if (retrieved.place.archive < memories.stored.size()) {
    const StoredMemory& memory = *memories.stored[retrieved.place.archive];
    const ChunkOrigin origin = memory.origin(retrieved.place.chunk);
    source.memory = memory.path().string();
    source.document = std::ranges::find(memory.documents(), origin.document, &MemoryDocument::id)->name;
    source.chunk = origin.chunk;
    source.text_begin = origin.text_begin;
    source.text = model.decode(origin.token_ids);
    return source;
  }
  const auto size = static_cast<std::size_t>(model.opened().model->config().chunk_size);
  source.chunk = retrieved.place.chunk;
  source.text = model.decode(text_ids.subspan(static_cast<std::size_t>(source.chunk) * size, size));
  return source;
}

}  // namespace

Answer with_sources(GenerateResult result, const LanguageModel& model, const Memories& memories,
                    std::span<const std::int64_t> text_ids) {
  for (const Explanation& explanation : result.explanations) {
    RetrievedSources& retrieved = result.retrieved.emplace_back();
    retrieved.first_token = explanation.first_token;
    for (const RetrievalSource& source : explanation.sources) {
      retrieved.sources.push_back(source_of(source, model, memories.opened(), text_ids));
    }
  }
  return std::move(static_cast<Answer&>(result));
}

}  // namespace lookback
