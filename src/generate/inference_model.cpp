#include "generate/inference_model.h"

#include "core/error.h"
#include "models/fingerprint.h"
#include "models/model_folder.h"

namespace lookback {

InferenceModel load_inference_model(const std::filesystem::path& path, at::Device device, at::ScalarType dtype,
                                    const std::string& retrieval) {
  const std::filesystem::path folder = resolve_model_folder(path);
  InferenceModel loaded;
  loaded.folder = folder;
  loaded.dtype = dtype;
  loaded.model = load_model(folder, device, retrieval);
  loaded.fingerprint = model_fingerprint(*loaded.model);
  loaded.model->parameters().freeze(dtype);
  if (has_tokenizer(folder)) {
    loaded.tokenizer = load_tokenizer(folder.string());
    require(loaded.tokenizer->vocab_size() <= loaded.model->config().vocab_size,
            "{}: the tokenizer has {} ids but the model only {}: they do not belong together", folder.string(),
            loaded.tokenizer->vocab_size(), loaded.model->config().vocab_size);
  }
  return loaded;
}

const Tokenizer& InferenceModel::tokenizer_for_text() const {
  require(tokenizer != nullptr, "{}: this model folder has no tokenizer: give token ids instead of text",
          folder.string());
  return *tokenizer;
}

}  // namespace lookback
