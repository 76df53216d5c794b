#include "models/fingerprint.h"

#include <fmt/core.h>

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

void LandmarksFingerprint::take(const at::Tensor& landmarks, std::int64_t first, std::int64_t count) {
  if (first == 0) {
    const std::string head = tensor_head("landmarks", landmarks.scalar_type(), landmarks.sizes());
    XXH64_reset(&state_, XXH64(head.data(), head.size(), 0));
  }
  const at::Tensor rows = landmarks.narrow(0, first, count);
  XXH64_update(&state_, rows.const_data_ptr(), rows.nbytes());
}

std::string LandmarksFingerprint::value() const { return fmt::format("{:016x}", XXH64_digest(&state_)); }

}  // namespace lookback
