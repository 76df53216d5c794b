// A text that grows: prompt, answer, prompt, ...
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "lookback/export.h"
#include "lookback/generate.h"
#include "lookback/language_model.h"
#include "lookback/memories.h"

namespace lookback {

// One thread at a time may use a session, any number of sessions the same model and memories.
class Session {
 public:
  // An empty text. Throws Error when the model takes no memories and some are given.
  LOOKBACK_API explicit Session(LanguageModel model, Memories memories = {});
  LOOKBACK_API ~Session();
  LOOKBACK_API Session(Session&&) noexcept;
  LOOKBACK_API Session& operator=(Session&&) noexcept;

  // One that save() wrote, over the memories it had, which are opened as `options` says. Throws Error naming the file
  // when it is missing or damaged, belongs to another model or tokenizer, or when documents were removed from a memory
  // since.
  LOOKBACK_API static Session open(const std::filesystem::path& file, const LanguageModel& model,
                                   const MemoryOptions& options = {});
  // The same over memories that have moved, in the order in which it had them.
  LOOKBACK_API static Session open(const std::filesystem::path& file, const LanguageModel& model,
                                   const Memories& memories);
  // Atomic: a crash leaves the file as it was. Throws Error when it cannot be written.
  LOOKBACK_API void save(const std::filesystem::path& file) const;

  // Appends the words to the text and continues it. Throws Error for settings that are out of range, which leaves the
  // text as it was, and Interrupted when listener.stop is asked for while the prompt is read; later it ends with what
  // there is.
  LOOKBACK_API Answer ask(std::string_view words, const GenerateConfig& config = {},
                          const GenerateListener& listener = {});
  LOOKBACK_API Answer ask(std::span<const std::int64_t> ids, const GenerateConfig& config = {},
                          const GenerateListener& listener = {});

  // The ids that ask(words) appends: of an empty text with nothing to say, the end-of-text token that texts begin
  // behind. Throws Error when the model has no tokenizer.
  LOOKBACK_API std::vector<std::int64_t> encode(std::string_view words) const;

  LOOKBACK_API const std::vector<std::int64_t>& ids() const;  // of the whole text
  LOOKBACK_API std::int64_t num_read() const;                 // of them, what the model has read
  LOOKBACK_API const LanguageModel& model() const;
  LOOKBACK_API const Memories& memories() const;

 private:
  struct State;
  explicit Session(std::unique_ptr<State> state);

  std::unique_ptr<State> state_;
};

// Continues several prompts side by side, each as a session of its own, at most max_running at a time. Prompt i gets
// what it gets by itself with the stream of draws config.stream + i. on_answer is called with i and its answer in the
// order in which they end; not for those that listener.stop left unread. Of the listener, stop alone is
// asked. Throws Error for empty prompts, ids that are no tokens, and settings out of range.
LOOKBACK_API void ask_all(const LanguageModel& model, const Memories& memories,
                          const std::vector<std::vector<std::int64_t>>& prompts, const GenerateConfig& config,
                          std::size_t max_running, const GenerateListener& listener,
                          const std::function<void(std::size_t, Answer)>& on_answer);

}  // namespace lookback
