#include "text/unigram_trainer.h"

#include <fmt/core.h>

#include <exception>
#include <string_view>
#include <utility>

#include "core/error.h"

#ifdef LOOKBACK_SENTENCEPIECE
#include <sentencepiece_model.pb.h>
#include <sentencepiece_processor.h>
#include <sentencepiece_trainer.h>
#endif

namespace lookback {

#ifdef LOOKBACK_SENTENCEPIECE
namespace {

class Lines : public sentencepiece::SentenceIterator {
 public:
  explicit Lines(const std::function<std::optional<std::string>()>& next_line) : next_line_(next_line) { Next(); }

  bool done() const override { return !line_.has_value(); }
  // An exception must not run through the library, which is built without care for them.
  void Next() override {
    try {
      line_ = next_line_();
    } catch (...) {
      error_ = std::current_exception();
      line_.reset();
    }
  }
  const std::string& value() const override { return *line_; }
  sentencepiece::util::Status status() const override { return {}; }

  void rethrow() const {
    if (error_) std::rethrow_exception(error_);
  }

 private:
  const std::function<std::optional<std::string>()>& next_line_;
  std::optional<std::string> line_;
  std::exception_ptr error_;
};

// "FILE(LINE) [CONDITION] REASON": the reason, or all of it where there is none.
std::string_view reason_in(std::string_view message) {
  const std::size_t condition_end = message.rfind("] ");
  return condition_end == std::string_view::npos ? message : message.substr(condition_end + 2);
}

constexpr int num_byte_pieces = 256;
constexpr int num_special_pieces = 2;  // unknown and end of text

}  // namespace

std::string train_unigram(const UnigramTrainingConfig& config,
                          const std::function<std::optional<std::string>()>& next_line) {
  require(config.vocab_size > num_byte_pieces + num_special_pieces && config.vocab_size <= 1'000'000,
          "a vocabulary of {}: expected more than {} (256 bytes, the unknown piece and the end of text) and at most "
          "1000000",
          config.vocab_size, num_byte_pieces + num_special_pieces);
  require(!config.end_of_text.empty(), "the token that ends a text is empty");
  sentencepiece::TrainerSpec spec;
  spec.set_model_type(sentencepiece::TrainerSpec::UNIGRAM);
  spec.set_vocab_size(static_cast<int>(config.vocab_size));
  spec.set_max_sentence_length(static_cast<int>(longest_unigram_line));
  spec.set_byte_fallback(true);
  spec.set_allow_whitespace_only_pieces(true);
  spec.set_split_digits(true);
  spec.set_bos_id(-1);
  spec.set_unk_id(0);
  spec.set_eos_id(1);
  spec.set_eos_piece(config.end_of_text);

  sentencepiece::SetMinLogLevel(2);  // errors alone: the rest is the library's log, not the user's
  sentencepiece::NormalizerSpec normalizer;
  normalizer.set_name("identity");
  normalizer.set_remove_extra_whitespaces(false);
  Lines lines(next_line);
  std::string model;
  const auto status = sentencepiece::SentencePieceTrainer::Train(spec, normalizer, &lines, &model);
  lines.rethrow();
  require(status.ok(), "SentencePiece cannot learn {} pieces from these texts: {}", config.vocab_size,
          reason_in(status.error_message()));
  return model;
}
#else
std::string train_unigram(const UnigramTrainingConfig& config,
                          const std::function<std::optional<std::string>()>& next_line) {
  static_cast<void>(config);
  static_cast<void>(next_line);
  fail("this program was built without SentencePiece, which learns unigram models; build it with its sources");
}
#endif

}  // namespace lookback
