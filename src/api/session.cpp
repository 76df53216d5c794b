#include "lookback/session.h"

#include <utility>

#include "api/sources.h"
#include "generate/generator.h"
#include "generate/inference_model.h"
#include "generate/session_file.h"
#include "ingest/open_memory.h"

namespace lookback {
namespace {

SessionOwner owner_of(const LanguageModel& model) {
  const InferenceModel& opened = model.opened();
  return {opened.fingerprint, opened.tokenizer ? opened.tokenizer->fingerprint() : ""};
}

TextSession resume(const SavedSession& saved, const std::filesystem::path& file, const LanguageModel& model,
                   const Memories& memories) {
  const InferenceModel& opened = model.opened();
  return resume_session(saved, file.string(), *opened.model, opened.dtype, owner_of(model), memories.opened().set);
}

}  // namespace

struct Session::State {
  LanguageModel model;
  Memories memories;
  TextSession text;
};

Session::Session(std::unique_ptr<State> state) : state_(std::move(state)) {}

Session::Session(LanguageModel model, Memories memories) {
  TextSession text = new_text_session(*model.opened().model, model.opened().dtype, memories.opened().set);
  state_ = std::make_unique<State>(State{std::move(model), std::move(memories), std::move(text)});
}

Session::~Session() = default;
Session::Session(Session&&) noexcept = default;
Session& Session::operator=(Session&&) noexcept = default;

Session Session::open(const std::filesystem::path& file, const LanguageModel& model, const MemoryOptions& options) {
  const SavedSession saved = load_session(file);
  std::vector<std::filesystem::path> files;
  for (const SessionMemory& memory : saved.memories) files.emplace_back(memory.path);
  const Memories memories(model, files, options);
  return Session(std::make_unique<State>(State{model, memories, resume(saved, file, model, memories)}));
}

Session Session::open(const std::filesystem::path& file, const LanguageModel& model, const Memories& memories) {
  return Session(std::make_unique<State>(State{model, memories, resume(load_session(file), file, model, memories)}));
}

void Session::save(const std::filesystem::path& file) const {
  save_session(file, state_->text, owner_of(state_->model), state_->memories.files());
}

Answer Session::ask(std::string_view words, const GenerateConfig& config, const GenerateListener& listener) {
  return ask(encode(words), config, listener);
}

Answer Session::ask(std::span<const std::int64_t> ids, const GenerateConfig& config, const GenerateListener& listener) {
  const InferenceModel& opened = state_->model.opened();
  GenerateResult result =
      generate(*opened.model, opened.tokenizer.get(), state_->text, {ids.begin(), ids.end()}, config, listener);
  return with_sources(std::move(result), state_->model, state_->memories, state_->text.ids);
}

std::vector<std::int64_t> Session::encode(std::string_view words) const {
  const Tokenizer& tokenizer = state_->model.opened().tokenizer_for_text();
  std::vector<std::int64_t> ids = encode_behind(state_->text, words, tokenizer);
  if (ids.empty() && state_->text.ids.empty()) ids = {tokenizer.end_of_text_id()};
  return ids;
}

const std::vector<std::int64_t>& Session::ids() const { return state_->text.ids; }

std::int64_t Session::num_read() const { return state_->text.sequence->num_tokens(); }

const LanguageModel& Session::model() const { return state_->model; }

const Memories& Session::memories() const { return state_->memories; }

void ask_all(const LanguageModel& model, const Memories& memories,
             const std::vector<std::vector<std::int64_t>>& prompts, const GenerateConfig& config,
             std::size_t max_running, const GenerateListener& listener,
             const std::function<void(std::size_t, Answer)>& on_answer) {
  const auto on_finished = [&](std::size_t index, GenerateResult result) {
    std::vector<std::int64_t> text_ids = prompts[index];
    text_ids.insert(text_ids.end(), result.ids.begin(), result.ids.end());
    on_answer(index, with_sources(std::move(result), model, memories, text_ids));
  };
  generate_all(*model.opened().model, model.opened().tokenizer.get(), prompts, memories.opened().set, config,
               max_running, listener, on_finished);
}

}  // namespace lookback
