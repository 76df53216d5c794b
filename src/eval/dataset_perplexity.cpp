#include "eval/dataset_perplexity.h"

#include <fmt/core.h>

#include <algorithm>

#include "core/error.h"
#include "core/parse_list.h"
#include "core/units.h"

namespace lookback {
namespace {

namespace fs = std::filesystem;

NextDocument reader(const ScoredText& text) {
  return [&text, next = std::size_t{0}](EvaluationDocument& document) mutable {
    if (next == text.documents.size()) return false;
    const auto [begin, end] = text.documents[next++];
    document.ids.resize(static_cast<std::size_t>(end - begin));
    text.dataset.read(begin, document.ids);
    return true;
  };
}

std::vector<std::int32_t> token_bytes_of(const Tokenizer& tokenizer) {
  std::vector<std::int32_t> sizes;
  for (std::int32_t id = 0; id < tokenizer.vocab_size(); ++id) {
    std::string text;
    tokenizer.decode(id, text);
    sizes.push_back(static_cast<std::int32_t>(text.size()));
  }
  return sizes;
}

void check_same_tokenizer(const InferenceModel& model, const ScoredText& text) {
  const DatasetManifest& manifest = text.dataset.manifest();
  if (model.tokenizer == nullptr) {
    require(manifest.vocab_size <= model.model->config().vocab_size,
            "{}: was prepared with {} token ids, but the model {} knows only {}", text.folder.string(),
            manifest.vocab_size, model.folder.string(), model.model->config().vocab_size);
    return;
  }
  require(model.tokenizer->fingerprint() == manifest.tokenizer_fingerprint,
          "{}: was prepared with another tokenizer (fingerprint {}) than that of the model {} ({}); prepare the text "
          "again with the model's tokenizer",
          text.folder.string(), manifest.tokenizer_fingerprint, model.folder.string(), model.tokenizer->fingerprint());
}

}  // namespace

ScoredText open_scored_text(const fs::path& folder, const DocumentLimits& limits) {
  const bool split = !fs::exists(folder / manifest_name) && fs::exists(folder / "valid");
  const fs::path scored = split ? folder / "valid" : folder;
  ScoredText text{scored, TokenDataset(scored), {}, 0};
  std::int64_t tokens_left = limits.max_tokens;
  const std::int64_t num_documents = std::min(text.dataset.num_documents(), limits.max_documents);
  for (std::int64_t i = 0; i < num_documents && tokens_left > 0; ++i) {
    const DocumentRange document = text.dataset.document(i);
    const std::int64_t count = std::min({document.end - document.begin, limits.max_document_tokens, tokens_left});
    tokens_left -= count;
    text.documents.emplace_back(document.begin, document.begin + count);
    text.num_scored += std::max<std::int64_t>(0, count - 1);
  }
  return text;
}

std::vector<PerplexityConfig> parse_contexts(const std::string& contexts, const std::string& what) {
  std::vector<PerplexityConfig> configs;
  for (const std::string& context : split_list(contexts)) {
    PerplexityConfig config;
    config.context = context == "full" ? 0 : parse_size(context, what);
    config.stride = std::max<std::int64_t>(1, config.context / 2);
    configs.push_back(config);
  }
  return configs;
}

std::vector<PerplexityResult> evaluate_perplexity(const InferenceModel& model, const ScoredText& text,
                                                  std::vector<PerplexityConfig> configs, ProgressLine& progress,
                                                  const StopToken& stop) {
  check_same_tokenizer(model, text);
  const std::vector<std::int32_t> token_bytes =
      token_bytes_of(*load_tokenizer((text.folder / dataset_tokenizer_name).string()));
  const auto total = static_cast<double>(text.num_scored);
  std::vector<PerplexityResult> results;
  for (PerplexityConfig& config : configs) {
    config.dtype = model.dtype;
    config.token_bytes = token_bytes;
    const double start = progress.elapsed_seconds();
    const auto show = [&](std::int64_t num_scored) {
      if (!progress.due()) return;
      const auto done = static_cast<double>(num_scored);
      const double seconds = progress.elapsed_seconds() - start;
      progress.show(fmt::format("context {}: {} of {} tokens, {} tokens/s, {} left",
                                config.context == 0 ? "full" : size_text(config.context), format_count(done),
                                format_count(total), format_count(done / seconds), eta_text(done, total, seconds)));
    };
    results.push_back(evaluate_perplexity(*model.model, reader(text), config, show, stop));
    if (!results.back().complete) break;
  }
  progress.finish(stop.stop_requested() ? "Interrupted: what follows covers the documents scored so far" : "");
  return results;
}

Json to_json(const std::vector<PerplexityResult>& results, const std::string& model, const ScoredText& text) {
  Json json = {{"model", model}, {"data", text.folder.string()}, {"results", Json::array()}};
  for (const PerplexityResult& result : results) json["results"].push_back(to_json(result));
  return json;
}

}  // namespace lookback
