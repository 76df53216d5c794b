#include "lookback/language_model.h"

#include <ATen/Parallel.h>
#include <fmt/core.h>
#include <fmt/ranges.h>

#include "core/error.h"
#include "generate/generator.h"
#include "generate/inference_model.h"
#include "generate/token_ids.h"
#include "lookback/torch.h"
#include "models/device.h"
#include "ops/parallel.h"
#include "text/utf8_stream.h"

namespace lookback {

LanguageModel::LanguageModel(const std::filesystem::path& folder, const ModelOptions& options) {
  require(options.threads >= 0, "threads {}: must not be negative", options.threads);
  at::set_num_threads(options.threads > 0 ? options.threads : default_threads());
  opened_ = std::make_shared<const InferenceModel>(
      load_inference_model(folder, parse_device(options.device), parse_dtype(options.dtype), options.retrieval));
}

std::int64_t LanguageModel::vocab_size() const { return opened_->model->config().vocab_size; }

const std::string& LanguageModel::fingerprint() const { return opened_->fingerprint; }

bool LanguageModel::has_tokenizer() const { return opened_->tokenizer != nullptr; }

std::vector<std::int64_t> LanguageModel::encode(std::string_view text) const {
  const std::vector<std::int32_t> ids = opened_->tokenizer_for_text().encode(text);
  return {ids.begin(), ids.end()};
}

std::string LanguageModel::decode(std::span<const std::int64_t> ids) const {
  if (!has_tokenizer()) return fmt::format("{}", fmt::join(ids, " "));
  std::string bytes;
  for (const std::int64_t id : ids) bytes += token_bytes(id);
  Utf8Stream characters;
  return characters.push(bytes) + characters.flush();
}

std::string LanguageModel::token_bytes(std::int64_t id) const {
  std::string bytes;
  if (has_tokenizer()) decode_any(*opened_->tokenizer, id, bytes);
  return bytes;
}

void LanguageModel::check_token_ids(std::span<const std::int64_t> ids, const std::string& source) const {
  lookback::check_token_ids(ids, opened_->model->config(), source);
}

std::vector<std::string> LanguageModel::weight_names() const {
  std::vector<std::string> names;
  for (const auto& [name, tensor] : opened_->model->parameters().named()) names.push_back(name);
  return names;
}

TensorView LanguageModel::weight(const std::string& name) const {
  return view_of(opened_->model->parameters().get(name));
}

}  // namespace lookback
