#include "models/torch_checkpoint.h"

#include <caffe2/serialize/inline_container.h>
#include <torch/csrc/jit/serialization/import_read.h>

#include "core/error.h"

namespace lookback {

NamedTensors read_torch_checkpoint(const std::filesystem::path& path) {
  const std::string source = path.string();
  at::IValue value;
  try {
    caffe2::serialize::PyTorchStreamReader reader(source);
    value = torch::jit::readArchiveAndTensors("data", "", "data/", std::nullopt, std::nullopt, at::Device(at::kCPU),
                                              reader);
  } catch (const std::exception& exception) {
    const std::string reason = exception.what();
    fail("{}: not a PyTorch checkpoint of plain tensors: {}", source, reason.substr(0, reason.find('\n')));
  }
  require(value.isGenericDict(), "{}: expected a mapping of names to tensors, found {}", source, value.tagKind());
  NamedTensors tensors;
  for (const auto& entry : value.toGenericDict()) {
    require(entry.key().isString() && entry.value().isTensor(),
            "{}: expected a mapping of names to tensors, found an entry {} -> {}", source, entry.key().tagKind(),
            entry.value().tagKind());
    tensors.emplace_back(entry.key().toStringRef(), entry.value().toTensor());
  }
  return tensors;
}

}  // namespace lookback
