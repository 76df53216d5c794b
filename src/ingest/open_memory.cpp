#include "ingest/open_memory.h"

#include "core/error.h"
#include "ingest/build_memory.h"

namespace lookback {

std::shared_ptr<const StoredMemory> open_memory(const std::filesystem::path& path, const Model& model,
                                                const std::string& fingerprint, const Tokenizer* tokenizer) {
  auto memory = std::make_shared<const StoredMemory>(path);
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

}  // namespace lookback
