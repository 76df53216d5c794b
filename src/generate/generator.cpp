#include "generate/generator.h"

#include <ATen/core/grad_mode.h>

#include <chrono>
#include <limits>
#include <memory>
#include <optional>
#include <utility>

#include "core/error.h"
#include "generate/stop_strings.h"
#include "text/utf8_stream.h"

namespace lookback {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

bool stop_asked(const GenerateListener& listener) { return listener.stop_asked && listener.stop_asked(); }

// New ids as text for people: bytes, less stop strings, as whole characters.
class TextStream {
 public:
  TextStream(const Tokenizer& tokenizer, const std::vector<std::string>& stop_strings)
      : tokenizer_(tokenizer), stops_(stop_strings) {}

  std::string push(std::int64_t id) {
    std::string bytes;
    tokenizer_.decode(static_cast<std::int32_t>(id), bytes);
    return characters_.push(stops_.push(bytes));
  }
  std::string finish() { return characters_.push(stops_.finish()) + characters_.flush(); }
  bool stopped() const { return stops_.stopped(); }

 private:
  const Tokenizer& tokenizer_;
  StopStrings stops_;
  Utf8Stream characters_;
};

// The ids in the text so far, each once.
class SeenIds {
 public:
  SeenIds(std::int64_t vocab_size, std::span<const std::int64_t> prompt_ids)
      : is_seen_(static_cast<std::size_t>(vocab_size)) {
    for (const std::int64_t id : prompt_ids) add(id);
  }
  void add(std::int64_t id) {
    if (is_seen_[static_cast<std::size_t>(id)]) return;
    is_seen_[static_cast<std::size_t>(id)] = true;
    ids_.push_back(id);
  }
  const std::vector<std::int64_t>& ids() const { return ids_; }

 private:
  std::vector<bool> is_seen_;
  std::vector<std::int64_t> ids_;
};

// hidden [1, T, d] -> float32 logits [vocab_size] of the last token, on the CPU, ours to change.
at::Tensor last_logits(const Model& model, const at::Tensor& hidden) {
  return model.logits(hidden.select(1, hidden.size(1) - 1)).flatten().to(at::kCPU, at::kFloat).contiguous().clone();
}

std::span<float> row_of(const at::Tensor& logits) {
  return {logits.mutable_data_ptr<float>(), static_cast<std::size_t>(logits.numel())};
}

std::vector<RetrievalSource> current_sources(const Session& session, const GenerateConfig& config) {
  std::vector<RetrievalSource> sources;
  const std::vector<Retrieval> retrievals = session.current_retrievals();
  for (std::size_t group = 0; group < retrievals.size(); ++group) {
    const at::Tensor indices = retrievals[group].indices.flatten().to(at::kCPU);
    const at::Tensor weights = retrievals[group].weights.flatten().to(at::kCPU, at::kDouble);
    for (std::int64_t k = 0; k < indices.numel(); ++k) {
      const auto chunk = indices[k].item<std::int64_t>();
      if (chunk < 0) continue;
      sources.push_back(
          {static_cast<std::int64_t>(group), locate_chunk(config.memories, chunk), weights[k].item<double>()});
    }
  }
  return sources;
}

at::Tensor read_prompt(Session& session, std::span<const std::int64_t> prompt_ids, at::Device device,
                       const GenerateConfig& config, const GenerateListener& listener) {
  PrefillOptions options;
  options.segment_tokens = config.segment_tokens;
  options.on_progress = [&](std::int64_t num_tokens) {
    if (listener.on_prompt_read) listener.on_prompt_read(num_tokens);
    return !stop_asked(listener);
  };
  // A view: a prompt of millions of tokens is not copied. No operator writes to its input ids.
  const at::Tensor ids = at::from_blob(const_cast<std::int64_t*>(prompt_ids.data()),
                                       {1, static_cast<std::int64_t>(prompt_ids.size())}, at::kLong);
  return session.prefill(ids.to(device), options);
}

}  // namespace

std::string_view stop_reason_name(StopReason reason) {
  switch (reason) {
    case StopReason::max_new_tokens:
      return "max_new_tokens";
    case StopReason::end_of_text:
      return "end_of_text";
    case StopReason::stop_string:
      return "stop_string";
    case StopReason::interrupted:
      return "interrupted";
  }
  return "";
}

std::vector<std::int64_t> forbidden_ids(const ModelConfig& config, const Tokenizer* tokenizer) {
  const std::int64_t num_tokens = tokenizer == nullptr ? config.vocab_size : tokenizer->vocab_size();
  std::vector<std::int64_t> ids;
  if (config.kind == "drt" && config.landmark_id < num_tokens) ids.push_back(config.landmark_id);
  for (std::int64_t id = num_tokens; id < config.vocab_size; ++id) ids.push_back(id);
  return ids;
}

void check_token_ids(std::span<const std::int64_t> ids, const ModelConfig& config, const std::string& source) {
  for (std::size_t i = 0; i < ids.size(); ++i) {
    require(ids[i] >= 0 && ids[i] < config.vocab_size, "{}: token {} has the id {}; the model knows ids from 0 to {}",
            source, i, ids[i], config.vocab_size - 1);
    require(config.kind != "drt" || ids[i] != config.landmark_id,
            "{}: token {} has the id {}, which is the model's landmark: it is put in by the model itself", source, i,
            ids[i]);
  }
}

GenerateResult generate(Model& model, const Tokenizer* tokenizer, std::span<const std::int64_t> prompt_ids,
                        const GenerateConfig& config, const GenerateListener& listener) {
  require(!prompt_ids.empty(), "the prompt is empty: give at least one token to start from");
  require(config.max_new_tokens >= 0, "max-new-tokens {}: must not be negative", config.max_new_tokens);
  require(config.segment_tokens >= 1, "segment-tokens {}: must be at least 1", config.segment_tokens);
  require(tokenizer != nullptr || config.stop_strings.empty(),
          "stop strings need a tokenizer, and the model folder has none");
  check_sampling_config(config.sampling);
  check_token_ids(prompt_ids, model.config(), "prompt");

  const at::NoGradGuard no_gradients;
  const at::Device device = model.parameters().device();
  const std::vector<std::int64_t> forbidden = forbidden_ids(model.config(), tokenizer);
  const auto session = model.new_session(1, config.dtype);
  for (const auto& memory : config.memories) session->attach_memory(memory);
  std::optional<TextStream> text;
  if (tokenizer != nullptr) text.emplace(*tokenizer, config.stop_strings);
  Random random(config.seed);
  SeenIds seen(model.config().vocab_size, prompt_ids);

  GenerateResult result;
  result.prompt_tokens = static_cast<std::int64_t>(prompt_ids.size());
  const auto show = [&](const std::string& released) {
    if (released.empty()) return;
    result.text += released;
    if (listener.on_text) listener.on_text(released);
  };

  const Clock::time_point prefill_start = Clock::now();
  at::Tensor hidden = read_prompt(*session, prompt_ids, device, config, listener);
  at::Tensor logits = last_logits(model, hidden);
  result.prefill_seconds = seconds_since(prefill_start);

  const Clock::time_point decode_start = Clock::now();
  while (static_cast<std::int64_t>(result.ids.size()) < config.max_new_tokens) {
    if (!result.ids.empty()) {
      hidden = session->append(at::full({1, 1}, result.ids.back(), at::TensorOptions(at::kLong).device(device)));
      logits = last_logits(model, hidden);
      ++result.num_decode_steps;
    }
    // What the last token of a chunk retrieves serves those of the next.
    if (config.explain && (result.ids.empty() || session->num_tokens(0) % model.config().chunk_size == 0)) {
      result.explanations.push_back({static_cast<std::int64_t>(result.ids.size()), current_sources(*session, config)});
    }
    const std::span<float> row = row_of(logits);
    for (const std::int64_t id : forbidden) {
      row[static_cast<std::size_t>(id)] = -std::numeric_limits<float>::infinity();
    }
    const std::int64_t id = sample_token(row, seen.ids(), config.sampling, random);
    seen.add(id);
    result.ids.push_back(id);
    if (listener.on_token) listener.on_token(id);
    const bool end_of_text = tokenizer != nullptr && id == tokenizer->end_of_text_id();
    if (end_of_text && config.stop_at_end_of_text) {
      result.stop_reason = StopReason::end_of_text;
      break;
    }
    if (text) {
      show(text->push(id));
      if (text->stopped()) {
        result.stop_reason = StopReason::stop_string;
        break;
      }
    }
    if (stop_asked(listener)) {
      result.stop_reason = StopReason::interrupted;
      break;
    }
  }
  if (text) show(text->finish());
  result.decode_seconds = seconds_since(decode_start);
  result.memory_bytes = session->memory_bytes();
  result.window_bytes = session->window_bytes();
  return result;
}

}  // namespace lookback
