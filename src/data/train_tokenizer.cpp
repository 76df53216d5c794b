#include "data/train_tokenizer.h"

#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <deque>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include "core/error.h"
#include "core/files.h"
#include "data/block_texts.h"
#include "data/document_reader.h"
#include "text/bpe_tokenizer.h"
#include "text/bpe_trainer.h"
#include "text/bytes_tokenizer.h"
#include "text/sentencepiece_tokenizer.h"
#include "text/tokenizer_choices.h"
#include "text/unigram_trainer.h"
#include "text/word_scanners.h"

namespace lookback {
namespace {

namespace fs = std::filesystem;

// Where a document may be cut without cutting a word.
class WordCuts : public BytesTokenizer {
 public:
  std::size_t safe_prefix(std::string_view text) const override { return last_word_end(text); }
};

// The texts of the inputs, one after another.
class TextReader {
 public:
  TextReader(const TrainTokenizerConfig& config, const TrainTokenizerListener& listener)
      : config_(config),
        listener_(listener),
        inputs_(find_input_files(config.inputs, config.rules)),
        reader_(inputs_.files, {}, cuts_, listener.stop) {
    result_.num_inputs = static_cast<std::int64_t>(inputs_.files.size());
    result_.num_unknown_files = inputs_.num_unknown;
    result_.num_not_read = static_cast<std::int64_t>(inputs_.not_read.size());
    for (const std::string& reason : inputs_.not_read) tell(reason);
    for (const InputFile& file : inputs_.files) progress_.disk_bytes_total += file.size_bytes;
  }

  // Calls on_text for the texts of the next block. False: all is read, or a stop is requested.
  bool next(const std::function<void(std::string_view text)>& on_text) {
    if (listener_.stop.stop_requested()) return false;
    const std::optional<TextBlock> block = reader_.next();
    if (!block) return false;
    const std::string path = inputs_.files[static_cast<std::size_t>(block->input)].path.string();
    for (const std::string& reason : block->left_out) leave_out(reason);
    const auto problems =
        read_block_texts(*block, block->text, config_.field, [&](std::string_view text, std::int64_t) {
          result_.text_bytes += static_cast<std::int64_t>(text.size());
          on_text(text);
        });
    for (const DocumentProblem& problem : problems) {
      leave_out(fmt::format("{}:{}: {}", path, problem.line, problem.message));
    }
    progress_.disk_bytes = block->disk_bytes;
    progress_.text_bytes = result_.text_bytes;
    report();
    return true;
  }

  // Says that all is read, and how much of bpe is learned.
  void report_learning(std::int64_t num_tokens) {
    progress_.learning = true;
    progress_.num_tokens = num_tokens;
    report();
  }

  TrainTokenizerResult& result() { return result_; }

 private:
  void report() const {
    if (listener_.progress) listener_.progress(progress_);
  }

  void tell(const std::string& reason) const {
    require(!config_.strict, "{} (strict)", reason);
    if (listener_.skipped) listener_.skipped(reason);
  }

  void leave_out(const std::string& reason) {
    tell(reason);
    ++result_.num_skipped;
  }

  const TrainTokenizerConfig& config_;
  const TrainTokenizerListener& listener_;
  const InputFiles inputs_;
  const WordCuts cuts_;
  DocumentReader reader_;
  TrainTokenizerProgress progress_;
  TrainTokenizerResult result_;
};

// Lines of texts for SentencePiece, cut where they are longer than it takes.
class LineReader {
 public:
  explicit LineReader(TextReader& texts) : texts_(texts) {}

  std::optional<std::string> next() {
    while (lines_.empty()) {
      if (!texts_.next([&](std::string_view text) { add(text); })) {
        texts_.report_learning(0);
        return std::nullopt;
      }
    }
    std::string line = std::move(lines_.front());
    lines_.pop_front();
    return line;
  }

 private:
  void add(std::string_view text) {
    while (!text.empty()) {
      const std::size_t end = std::min(text.find('\n'), text.size());
      std::string_view line = text.substr(0, end);
      text.remove_prefix(std::min(end + 1, text.size()));
      while (!line.empty()) {
        const std::size_t size = piece_bytes_of(line);
        lines_.emplace_back(line.substr(0, size));
        line.remove_prefix(size);
      }
    }
  }

  // Before a blank where there is one, else between characters.
  static std::size_t piece_bytes_of(std::string_view line) {
    if (line.size() <= longest_unigram_line) return line.size();
    const std::size_t blank = line.rfind(' ', longest_unigram_line);
    if (blank != std::string_view::npos && blank > 0) return blank;
    std::size_t size = longest_unigram_line;
    while ((static_cast<unsigned char>(line[size]) & 0xC0) == 0x80) --size;
    return size;
  }

  TextReader& texts_;
  std::deque<std::string> lines_;
};

void check_out(const fs::path& out) {
  std::error_code error;
  require(!fs::exists(out, error) || (fs::is_directory(out, error) && fs::is_empty(out, error)),
          "{}: is there already; give a new or empty folder", out.string());
}

// The content of the tokenizer's file; nothing when stopped.
std::optional<std::string> learn_bpe(const TrainTokenizerConfig& config, const StopToken& stop, TextReader& texts) {
  BpeTrainingConfig training{config.vocab_size, config.min_frequency, {config.end_of_text}};
  check_bpe_config(training);
  WordCounts words;
  while (texts.next([&](std::string_view text) { words.add_text(text); })) {
  }
  if (stop.stop_requested()) return std::nullopt;
  require(words.num_words() > 0, "there is no text to learn a tokenizer from");
  const LearnedBpe learned =
      train_bpe(words, training, [&](std::int64_t num_tokens) { texts.report_learning(num_tokens); }, stop);
  if (stop.stop_requested()) return std::nullopt;
  return bpe_tokenizer_json(learned, training.special_tokens);
}

std::optional<std::string> learn_unigram(const TrainTokenizerConfig& config, const StopToken& stop, TextReader& texts) {
  LineReader lines(texts);
  std::optional<std::string> first = lines.next();
  if (stop.stop_requested()) return std::nullopt;
  require(first.has_value(), "there is no text to learn a tokenizer from");
  std::string model = train_unigram({config.vocab_size, config.end_of_text}, [&]() -> std::optional<std::string> {
    if (first) return std::exchange(first, std::nullopt);
    std::optional<std::string> line = lines.next();
    stop.throw_if_requested();
    return line;
  });
  return stop.stop_requested() ? std::nullopt : std::optional(std::move(model));
}

// Written beside `out` and renamed.
void publish(const TrainTokenizerConfig& config, const char* name, const std::string& content) {
  fs::path target = config.out;
  if (!target.has_filename()) target = target.parent_path();
  const fs::path finished = target.string() + ".tmp" + std::to_string(::getpid());
  std::error_code error;
  fs::create_directories(finished, error);
  require(!error, "cannot make the folder {}: {}", finished.string(), error.message());
  try {
    write_file_atomic(finished / name, content);
    // A SentencePiece model says itself which piece ends a text.
    if (config.kind == TokenizerKind::bpe) write_tokenizer_choices(finished, {config.end_of_text, false});
    publish_folder(finished, target);
  } catch (...) {
    fs::remove_all(finished, error);
    throw;
  }
}

}  // namespace

TrainTokenizerResult train_tokenizer(const TrainTokenizerConfig& config, const TrainTokenizerListener& listener) {
  check_out(config.out);
  TextReader texts(config, listener);
  const bool is_bpe = config.kind == TokenizerKind::bpe;
  std::optional<std::string> content;
  try {
    content = is_bpe ? learn_bpe(config, listener.stop, texts) : learn_unigram(config, listener.stop, texts);
  } catch (const Interrupted&) {
    content.reset();
  }
  TrainTokenizerResult result = std::move(texts.result());
  result.interrupted = !content.has_value();
  if (result.interrupted) return result;
  const char* const name = is_bpe ? BpeTokenizer::file_name : SentencePieceTokenizer::file_name;
  publish(config, name, *content);
  result.file = config.out / name;
  result.vocab_size = load_tokenizer(config.out.string())->vocab_size();
  return result;
}

}  // namespace lookback
