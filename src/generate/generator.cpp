#include "generate/generator.h"

#include <utility>

#include "core/error.h"
#include "generate/engine.h"

namespace lookback {

void check_token_ids(std::span<const std::int64_t> ids, const ModelConfig& config, const std::string& source) {
  for (std::size_t i = 0; i < ids.size(); ++i) {
    require(ids[i] >= 0 && ids[i] < config.vocab_size, "{}: token {} has the id {}; the model knows ids from 0 to {}",
            source, i, ids[i], config.vocab_size - 1);
    require(!config.has_landmarks() || ids[i] != config.landmark_id,
            "{}: token {} has the id {}, which is the model's landmark: it is put in by the model itself", source, i,
            ids[i]);
  }
}

GenerateResult generate(const Model& model, const Tokenizer* tokenizer, TextSession& text,
                        const std::vector<std::int64_t>& prompt_ids, const GenerateConfig& config,
                        const GenerateListener& listener) {
  Engine engine(model, tokenizer, {.segment_tokens = config.segment_tokens});
  Finished finished;
  Request request;
  request.prompt_ids = prompt_ids;
  request.config = config;
  request.listener = listener;
  request.on_finished = [&](Finished end) { finished = std::move(end); };
  request.text.ids = text.ids;
  // What cannot be asked for leaves the text where it is.
  engine.check(request);
  request.text = std::move(text);
  engine.submit(std::move(request));
  while (engine.step()) {
  }
  text = std::move(finished.text);
  if (finished.error) std::rethrow_exception(finished.error);
  return std::move(finished.result);
}

GenerateResult generate(const Model& model, const Tokenizer* tokenizer, const std::vector<std::int64_t>& prompt_ids,
                        const GenerateConfig& config, const GenerateListener& listener) {
  TextSession text;
  return generate(model, tokenizer, text, prompt_ids, config, listener);
}

void generate_all(const Model& model, const Tokenizer* tokenizer, const std::vector<std::vector<std::int64_t>>& prompts,
                  const std::shared_ptr<const MemorySet>& memories, const GenerateConfig& config,
                  std::size_t max_running, const GenerateListener& listener,
                  const std::function<void(std::size_t, GenerateResult)>& on_finished) {
  require(config.num_beams == 1, "num-beams {}: beam search continues one prompt", config.num_beams);
  require(!prompts.empty(), "there are no prompts");
  Engine engine(model, tokenizer, {.segment_tokens = config.segment_tokens, .max_running = max_running});
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    require(!prompts[i].empty(), "prompt {} is empty: give at least one token to start from", i);
    check_token_ids(prompts[i], model.config(), "prompt " + std::to_string(i));
    Request request;
    request.text.memories = memories;
    request.prompt_ids = prompts[i];
    request.config = config;
    request.config.stream = config.stream + i;
    request.listener.stop = listener.stop;
    request.on_finished = [i, &on_finished](Finished finished) {
      if (finished.error) return rethrow_unless_interrupted(finished.error);
      on_finished(i, std::move(finished.result));
    };
    engine.submit(std::move(request));
  }
  while (engine.step()) {
  }
}

}  // namespace lookback
