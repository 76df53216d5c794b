#include "models/fingerprint.h"

#include <fmt/core.h>
#include <xxhash.h>

#include "nn/record_file.h"

namespace lookback {

std::string model_fingerprint(const Model& model) {
  const std::string config = to_json(model.config()).dump();
  XXH64_hash_t hash = XXH64(config.data(), config.size(), 0);
  for (const auto& [name, parameter] : model.parameters().named()) {
    const at::Tensor values = parameter.detach().to(at::kCPU).contiguous();
    hash = XXH64(name.data(), name.size(), hash);
    hash = XXH64(values.const_data_ptr(), values.nbytes(), hash);
  }
  return fmt::format("{:016x}", hash);
}

std::string landmarks_fingerprint(const ChunkArchive& archive, std::int64_t num_chunks) {
  return tensors_checksum({{"landmarks", archive.landmarks().narrow(0, 0, num_chunks)}});
}

}  // namespace lookback
