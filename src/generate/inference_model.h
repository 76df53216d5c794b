// A model folder opened for use without training.
#pragma once

#include <ATen/ATen.h>

#include <filesystem>
#include <memory>
#include <string>

#include "models/model.h"
#include "text/tokenizer.h"

namespace lookback {

struct InferenceModel {
  std::filesystem::path folder;          // with the files, also where a run was opened
  std::unique_ptr<Model> model;          // frozen: no gradients, elements of `dtype`
  std::unique_ptr<Tokenizer> tokenizer;  // nullptr when the folder has none
  at::ScalarType dtype = at::kFloat;
  std::string fingerprint;  // of the model (models/fingerprint.h)

  // For callers that could have given token ids. Throws Error naming the folder when it has no tokenizer.
  const Tokenizer& tokenizer_for_text() const;
};

// Opens a model folder or a training run's folder (its best checkpoint). Throws Error naming what is missing
// or broken, and when the tokenizer has more ids than the model. retrieval: load_model's.
InferenceModel load_inference_model(const std::filesystem::path& path, at::Device device, at::ScalarType dtype,
                                    const std::string& retrieval = "trained");

}  // namespace lookback
