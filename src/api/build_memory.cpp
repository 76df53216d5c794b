#include "ingest/build_memory.h"

#include "core/error.h"
#include "generate/inference_model.h"
#include "ops/parallel.h"

namespace lookback {

BuildMemoryResult build_memory(const LanguageModel& model, const BuildMemoryConfig& config,
                               const BuildMemoryListener& listener) {
  require(config.num_threads >= 0, "num_threads {}: must not be negative", config.num_threads);
  const InferenceModel& opened = model.opened();
  require(opened.tokenizer != nullptr, "{}: this model folder has no tokenizer, which reading texts needs",
          opened.folder.string());
  BuildMemoryConfig settled = config;
  if (settled.num_threads == 0) settled.num_threads = default_threads();
  return build_memory(settled, *opened.model, opened.dtype, opened.fingerprint, *opened.tokenizer, listener);
}

}  // namespace lookback
