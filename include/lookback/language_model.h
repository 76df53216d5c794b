// A trained model and its tokenizer, opened for use.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lookback/export.h"
#include "lookback/tensor.h"

namespace lookback {

struct InferenceModel;  // the library's own view of it

struct ModelOptions {
  std::string device = "cpu";     // cpu, cuda or cuda:N
  std::string dtype = "float32";  // or bfloat16: of weights, activations and chunk memory
  // Of tensor operations, in the whole process: the model that was opened last decides. 0: one a core.
  int threads = 0;
  // Of models that retrieve: the chunks that they are fed. trained: those that they choose; random, latest (the nearest
  // earlier ones), bm25 or none tell, with the same weights, what retrieval is worth.
  std::string retrieval = "trained";
};

// A handle: copies are the same model, which lives as long as any of them, or a session of it. Immutable; any number of
// threads may use it at once.
class LanguageModel {
 public:
  // Opens a model folder or a training run's folder (its best checkpoint). Throws Error naming what is missing, broken
  // or not to be had on this machine.
  LOOKBACK_API explicit LanguageModel(const std::filesystem::path& folder, const ModelOptions& options = {});

  // Number of ids, those that only the model knows included.
  LOOKBACK_API std::int64_t vocab_size() const;
  // Of the weights; sessions and memories belong to the model with their model's.
  LOOKBACK_API const std::string& fingerprint() const;

  // Without a tokenizer, encode throws Error and decode gives the ids with blanks between them.
  LOOKBACK_API bool has_tokenizer() const;
  LOOKBACK_API std::vector<std::int64_t> encode(std::string_view text) const;
  // Valid UTF-8 whatever the ids; those that no token has stand for nothing.
  LOOKBACK_API std::string decode(std::span<const std::int64_t> ids) const;
  // What one id stands for, which may begin or end inside of a character; nothing without a tokenizer.
  LOOKBACK_API std::string token_bytes(std::int64_t id) const;

  // Throws Error naming `source` and the first id that is no token of a text: out of range, or put in by the model.
  LOOKBACK_API void check_token_ids(std::span<const std::int64_t> ids, const std::string& source) const;

  // The parameters by the names that they have in model.safetensors. A view stays good for as long as the model; Error
  // for a name that there is not, and for weights on a GPU.
  LOOKBACK_API std::vector<std::string> weight_names() const;
  LOOKBACK_API TensorView weight(const std::string& name) const;

  // For the library's own parts.
  const InferenceModel& opened() const { return *opened_; }

 private:
  std::shared_ptr<const InferenceModel> opened_;
};

}  // namespace lookback
