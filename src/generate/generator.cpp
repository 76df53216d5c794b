#include "generate/generator.h"

#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "core/clock.h"
#include "core/error.h"
#include "generate/beam_search.h"

namespace lookback {
namespace {

bool stop_asked(const GenerateListener& listener) { return listener.stop_asked && listener.stop_asked(); }

PrefillOptions prefill_options(const GenerateConfig& config, const GenerateListener& listener) {
  PrefillOptions options;
  options.segment_tokens = config.segment_tokens;
  options.on_progress = [&listener](std::int64_t num_tokens) {
    if (listener.on_prompt_read) listener.on_prompt_read(num_tokens);
    return !stop_asked(listener);
  };
  return options;
}

// What sequence `row` of the session retrieves from.
std::vector<RetrievalSource> current_sources(const Session& session, std::int64_t row,
                                             const std::vector<SearchedArchive>& memories) {
  std::vector<std::int64_t> sizes;
  for (const SearchedArchive& memory : memories) sizes.push_back(memory.archive->num_chunks());
  std::vector<RetrievalSource> sources;
  const std::vector<Retrieval> retrievals = session.current_retrievals();
  for (std::size_t group = 0; group < retrievals.size(); ++group) {
    const at::Tensor indices = retrievals[group].indices[row].flatten().to(at::kCPU);
    const at::Tensor weights = retrievals[group].weights[row].flatten().to(at::kCPU, at::kDouble);
    for (std::int64_t k = 0; k < indices.numel(); ++k) {
      const auto chunk = indices[k].item<std::int64_t>();
      if (chunk < 0) continue;
      sources.push_back({static_cast<std::int64_t>(group), locate_chunk(sizes, chunk), weights[k].item<double>()});
    }
  }
  return sources;
}

void check_config(const GenerateConfig& config, const Tokenizer* tokenizer) {
  require(config.stop.max_new_tokens >= 0, "max-new-tokens {}: must not be negative", config.stop.max_new_tokens);
  require(config.segment_tokens >= 1, "segment-tokens {}: must be at least 1", config.segment_tokens);
  require(tokenizer != nullptr || config.stop.stop_strings.empty(),
          "stop strings need a tokenizer, and the model folder has none");
  require(config.num_beams >= 1, "num-beams {}: must be at least 1", config.num_beams);
  check_sampling_config(config.sampling);
}

// A sequence while it is continued.
struct Running {
  Continuation continuation;
  GenerateResult result;
};

// Takes tokens for all `running`, whose last tokens' hidden states are `hidden` [N, 1, d], until all have ended.
// Sequences that end before the others leave the session.
void decode(const Model& model, Session& session, at::Tensor hidden, std::vector<Running>& running,
            const std::vector<SearchedArchive>& memories, bool explain, const GenerateListener& listener) {
  const Clock::time_point start = Clock::now();
  const std::int64_t chunk_size = model.config().chunk_size;
  std::vector<std::size_t> alive(running.size());
  for (std::size_t i = 0; i < alive.size(); ++i) alive[i] = i;
  std::erase_if(alive, [&](std::size_t i) { return running[i].continuation.ended(); });
  while (!alive.empty()) {
    at::Tensor logits =
        model.logits(hidden.select(1, hidden.size(1) - 1)).to(at::kCPU, at::kFloat).contiguous().clone();  // [N, V]
    std::vector<std::int64_t> kept;
    std::vector<std::int64_t> next_ids;
    for (std::size_t row = 0; row < alive.size(); ++row) {
      Running& one = running[alive[row]];
      const auto place = static_cast<std::int64_t>(row);
      const auto num_new = static_cast<std::int64_t>(one.continuation.ids().size());
      // What the last token of a chunk retrieves serves those of the next.
      if (explain && (num_new == 0 || session.num_tokens(place) % chunk_size == 0)) {
        one.result.explanations.push_back({num_new, current_sources(session, place, memories)});
      }
      one.continuation.take({logits[place].mutable_data_ptr<float>(), static_cast<std::size_t>(logits.size(1))});
      one.result.num_decode_steps = num_new;
    }
    const bool interrupted = stop_asked(listener);
    for (std::size_t row = 0; row < alive.size(); ++row) {
      Running& one = running[alive[row]];
      if (interrupted) one.continuation.interrupt();
      if (one.continuation.ended()) {
        one.result.decode_seconds = seconds_since(start);
        continue;
      }
      kept.push_back(static_cast<std::int64_t>(row));
      next_ids.push_back(one.continuation.ids().back());
    }
    if (kept.empty()) return;
    if (kept.size() < alive.size()) session.select(kept);
    std::erase_if(alive, [&](std::size_t i) { return running[i].continuation.ended(); });
    const at::Tensor ids = at::tensor(next_ids, at::kLong).unsqueeze(1);
    hidden = session.append(ids.to(model.parameters().device()));
  }
}

GenerateResult finish(Running& running) {
  GenerateResult& result = running.result;
  result.ids = running.continuation.ids();
  result.text = running.continuation.text();
  result.stop_reason = running.continuation.stop_reason();
  return std::move(result);
}

}  // namespace

void check_token_ids(std::span<const std::int64_t> ids, const ModelConfig& config, const std::string& source) {
  for (std::size_t i = 0; i < ids.size(); ++i) {
    require(ids[i] >= 0 && ids[i] < config.vocab_size, "{}: token {} has the id {}; the model knows ids from 0 to {}",
            source, i, ids[i], config.vocab_size - 1);
    require(!config.has_landmarks() || ids[i] != config.landmark_id,
            "{}: token {} has the id {}, which is the model's landmark: it is put in by the model itself", source, i,
            ids[i]);
  }
}

GenerateResult generate(Model& model, const Tokenizer* tokenizer, TextSession& text,
                        const std::vector<std::int64_t>& prompt_ids, const GenerateConfig& config,
                        const GenerateListener& listener) {
  check_config(config, tokenizer);
  check_token_ids(prompt_ids, model.config(), "prompt");
  if (config.num_beams > 1) check_beam_config(config);
  const at::NoGradGuard no_gradients;
  const Clock::time_point prefill_start = Clock::now();
  const at::Tensor hidden = read_text(text, prompt_ids, model.parameters().device(), prefill_options(config, listener));
  GenerateResult result;
  const double prefill_seconds = seconds_since(prefill_start);
  if (config.num_beams > 1) {
    const Clock::time_point start = Clock::now();
    result = beam_search(model, tokenizer, *text.session, hidden, config, listener);
    result.decode_seconds = seconds_since(start);
  } else {
    std::vector<Running> running;
    running.push_back({Continuation(model.config(), tokenizer, text.ids, config.stop, config.sampling,
                                    Random(config.seed, config.stream), listener.on_token, listener.on_text),
                       {}});
    decode(model, *text.session, hidden, running, text.memories, config.explain, listener);
    result = finish(running.front());
  }
  if (!result.ids.empty()) text.hidden = at::Tensor();
  text.ids.insert(text.ids.end(), result.ids.begin(), result.ids.end());
  result.prompt_tokens = static_cast<std::int64_t>(prompt_ids.size());
  result.prefill_seconds = prefill_seconds;
  result.memory_bytes = text.session->memory_bytes();
  result.window_bytes = text.session->window_bytes();
  return result;
}

GenerateResult generate(Model& model, const Tokenizer* tokenizer, const std::vector<std::int64_t>& prompt_ids,
                        const GenerateConfig& config, const GenerateListener& listener) {
  TextSession text = new_text_session(model, config.dtype, {});
  return generate(model, tokenizer, text, prompt_ids, config, listener);
}

std::vector<GenerateResult> generate_batch(Model& model, const Tokenizer* tokenizer,
                                           const std::vector<std::vector<std::int64_t>>& prompts,
                                           const std::vector<SearchedArchive>& memories, const GenerateConfig& config,
                                           const GenerateListener& listener) {
  check_config(config, tokenizer);
  require(config.num_beams == 1, "num-beams {}: beam search continues one prompt", config.num_beams);
  require(!prompts.empty(), "there are no prompts");
  const at::NoGradGuard no_gradients;
  std::size_t longest = 0;
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    require(!prompts[i].empty(), "prompt {} is empty: give at least one token to start from", i);
    check_token_ids(prompts[i], model.config(), "prompt " + std::to_string(i));
    longest = std::max(longest, prompts[i].size());
  }
  const auto count = static_cast<std::int64_t>(prompts.size());
  at::Tensor ids = at::full({count, static_cast<std::int64_t>(longest)}, -1, at::kLong);
  std::vector<Running> running;
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    std::ranges::copy(prompts[i], ids[static_cast<std::int64_t>(i)].mutable_data_ptr<std::int64_t>());
    running.push_back({Continuation(model.config(), tokenizer, prompts[i], config.stop, config.sampling,
                                    Random(config.seed, config.stream + i), {}, {}),
                       {}});
  }
  const auto session = model.new_session(count, config.dtype);
  for (const SearchedArchive& memory : memories) session->attach_memory(memory);
  const Clock::time_point start = Clock::now();
  const at::Tensor hidden = session->prefill(ids.to(model.parameters().device()), prefill_options(config, listener));
  const double prefill_seconds = seconds_since(start);
  const std::int64_t memory_bytes = session->memory_bytes();
  const std::int64_t window_bytes = session->window_bytes();
  decode(model, *session, hidden, running, memories, config.explain, listener);
  std::vector<GenerateResult> results;
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    GenerateResult result = finish(running[i]);
    result.prompt_tokens = static_cast<std::int64_t>(prompts[i].size());
    result.prefill_seconds = prefill_seconds;
    result.memory_bytes = memory_bytes / count;
    result.window_bytes = window_bytes / count;
    results.push_back(std::move(result));
  }
  return results;
}

}  // namespace lookback
