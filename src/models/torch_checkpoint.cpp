#include "models/torch_checkpoint.h"

#include <caffe2/serialize/inline_container.h>

#include <cstring>

#include "core/error.h"
#include "models/torch_pickle.h"

namespace lookback {
namespace {

std::string read_record(caffe2::serialize::PyTorchStreamReader& archive, const std::string& name) {
  const auto [data, size] = archive.getRecord(name);
  return {static_cast<const char*>(data.get()), size};
}

}  // namespace

// LibTorch's own unpickler reads an OrderedDict, which is what a state dict is, as None; hence the reader beside.
NamedTensors read_torch_checkpoint(const std::filesystem::path& path) {
  const std::string source = path.string();
  try {
    caffe2::serialize::PyTorchStreamReader archive(source);
    return read_state_dict_pickle(
        read_record(archive, "data.pkl"),
        [&archive](const std::string& key) { return read_record(archive, "data/" + key); }, source);
  } catch (const c10::Error& error) {
    const std::string reason = error.what_without_backtrace();
    fail("{}: not a file of torch.save (zip format, PyTorch 1.6 or later), or damaged: {}", source,
         reason.substr(0, reason.find('\n')));
  }
}

}  // namespace lookback
