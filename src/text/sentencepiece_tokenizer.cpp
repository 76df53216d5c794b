#include "text/sentencepiece_tokenizer.h"

#include <algorithm>

#include "core/error.h"
#include "core/files.h"
#include "text/utf8.h"

#ifdef LOOKBACK_SENTENCEPIECE
#include <sentencepiece_model.pb.h>
#include <sentencepiece_processor.h>

#include "text/sentencepiece_charsmap.h"
#endif

namespace lookback {

#ifdef LOOKBACK_SENTENCEPIECE
namespace {

constexpr std::string_view blank = "\xE2\x96\x81";  // U+2581
// normalizer_spec { add_dummy_prefix: false } of the model's protocol buffer. What stands later in such a file goes
// over what stands before.
constexpr std::string_view without_blank_before = {"\x1A\x02\x18\x00", 4};

void load(sentencepiece::SentencePieceProcessor& library, const std::string& model, const std::filesystem::path& path) {
  const auto status = [&] {
    try {
      return library.LoadFromSerializedProto(model);
    } catch (const std::exception&) {  // of the tree of pieces, which takes no empty ones
      fail("{}: not a SentencePiece model: its pieces are damaged", path.string());
    }
  }();
  require(status.ok(), "{}: not a SentencePiece model: {}", path.string(), status.error_message());
}

void encode_with(const sentencepiece::SentencePieceProcessor& library, std::string_view text,
                 std::vector<std::int32_t>& ids) {
  std::vector<int> found;
  const auto status = library.Encode({text.data(), text.size()}, &found);
  require(status.ok(), "SentencePiece cannot encode the text: {}", status.error_message());
  ids.insert(ids.end(), found.begin(), found.end());
}

}  // namespace

struct SentencePieceTokenizer::Processor {
  sentencepiece::SentencePieceProcessor library;
  sentencepiece::SentencePieceProcessor inside;  // the same for texts that others stand before; only where it differs
};

SentencePieceTokenizer::SentencePieceTokenizer(const std::filesystem::path& path, const TokenizerChoices& choices)
    : processor_(std::make_unique<Processor>()), file_content_(read_file(path)), choices_(choices) {
  load(processor_->library, file_content_, path);
  const auto& proto = processor_->library.model_proto();
  require(is_sound_charsmap(proto.normalizer_spec().precompiled_charsmap()) &&
              is_sound_charsmap(proto.denormalizer_spec().precompiled_charsmap()),
          "{}: its table of normal forms (precompiled_charsmap) is damaged; get the model again", path.string());
  end_of_text_id_ = processor_->library.eos_id();
  TokenizerChoices effective{choices_.end_of_text, false};  // special pieces are never found in a text
  if (!choices_.end_of_text.empty()) {
    const int chosen = processor_->library.PieceToId(choices_.end_of_text);
    require(processor_->library.IdToPiece(chosen) == choices_.end_of_text, "{}: has no piece \"{}\" to end a text with",
            path.string(), choices_.end_of_text);
    if (chosen == end_of_text_id_) effective.end_of_text.clear();
    end_of_text_id_ = chosen;
  }
  require(end_of_text_id_ >= 0,
          "{}: the model has no end-of-sentence piece (</s>); say which one ends a text (end-of-text)", path.string());
  fingerprint_ = tokenizer_fingerprint(file_content_, effective);
  const std::vector<std::string> pieces = processor_->library.EncodeAsPieces("a");
  puts_blank_before_text_ = !pieces.empty() && std::string_view(pieces[0]).starts_with(blank);
  if (puts_blank_before_text_) {
    load(processor_->inside, file_content_ + std::string(without_blank_before), path);
  }
  // Not so of a model that strips the blank before a text and puts none there.
  std::vector<std::int32_t> cut = Tokenizer::encode("a");
  encode_continuation(" a", cut);
  may_be_cut_ = !has_piece_over_blank() && cut == Tokenizer::encode("a a");
}

bool SentencePieceTokenizer::has_piece_over_blank() const {
  for (int id = 0; id < processor_->library.GetPieceSize(); ++id) {
    std::string_view piece = processor_->library.IdToPiece(id);
    while (piece.starts_with(blank)) piece.remove_prefix(blank.size());
    if (piece.find(blank) != std::string_view::npos) return true;
  }
  return false;
}

std::size_t SentencePieceTokenizer::safe_prefix(std::string_view text) const {
  if (!may_be_cut_) return 0;
  const auto is_letter = [&](std::size_t i) {
    const char lower = static_cast<char>(text[i] | 0x20);
    return lower >= 'a' && lower <= 'z';
  };
  for (std::size_t i = text.size(); i > 2; --i) {
    if (text[i - 2] == ' ' && is_letter(i - 3) && is_letter(i - 1)) return i - 2;
  }
  return 0;
}

bool SentencePieceTokenizer::drops_first_character(std::string_view text) const {
  std::vector<std::int32_t> ids;
  encode(text.substr(0, std::max<std::size_t>(1, utf8_character_size(text))), ids);
  return ids.empty();
}

void SentencePieceTokenizer::encode_continuation(std::string_view text, std::vector<std::int32_t>& ids) const {
  // Blanks that the model would drop at the beginning of a text are one blank here: the one it puts there itself.
  const bool from_the_beginning = !puts_blank_before_text_ || text.empty() || drops_first_character(text);
  encode_with(from_the_beginning ? processor_->library : processor_->inside, text, ids);
}

void SentencePieceTokenizer::encode(std::string_view text, std::vector<std::int32_t>& ids) const {
  encode_with(processor_->library, text, ids);
}

void SentencePieceTokenizer::decode(std::int32_t id, std::string& text) const {
  require(id >= 0 && id < vocab_size(), "token id {}: expected 0 to {}", id, vocab_size() - 1);
  const auto& library = processor_->library;
  if (library.IsControl(id)) return;
  if (library.IsUnknown(id)) {  // the model's sign for it
    text += library.DecodeIds({id});
    return;
  }
  const std::string& piece = library.IdToPiece(id);
  if (library.IsByte(id)) {  // <0x0A>
    text += static_cast<char>(std::stoi(piece.substr(3, 2), nullptr, 16));
    return;
  }
  for (std::size_t position = 0; position < piece.size();) {
    const bool is_blank = std::string_view(piece).substr(position).starts_with(blank);
    text += is_blank ? ' ' : piece[position];
    position += is_blank ? blank.size() : 1;
  }
}

std::int32_t SentencePieceTokenizer::vocab_size() const { return processor_->library.GetPieceSize(); }

std::int32_t SentencePieceTokenizer::end_of_text_id() const { return end_of_text_id_; }

#else

struct SentencePieceTokenizer::Processor {};

SentencePieceTokenizer::SentencePieceTokenizer(const std::filesystem::path& path, const TokenizerChoices&) {
  fail("{}: this build has no SentencePiece; run tools/fetch_sentencepiece.sh .deps and build again", path.string());
}
void SentencePieceTokenizer::encode(std::string_view, std::vector<std::int32_t>&) const {}
void SentencePieceTokenizer::decode(std::int32_t, std::string&) const {}
bool SentencePieceTokenizer::has_piece_over_blank() const { return false; }
bool SentencePieceTokenizer::drops_first_character(std::string_view) const { return false; }
std::size_t SentencePieceTokenizer::safe_prefix(std::string_view) const { return 0; }
void SentencePieceTokenizer::encode_continuation(std::string_view, std::vector<std::int32_t>&) const {}
std::int32_t SentencePieceTokenizer::vocab_size() const { return 0; }
std::int32_t SentencePieceTokenizer::end_of_text_id() const { return -1; }

#endif

SentencePieceTokenizer::~SentencePieceTokenizer() = default;

void SentencePieceTokenizer::save(const std::filesystem::path& folder) const {
  write_file_atomic(folder / file_name, file_content_);
  write_tokenizer_choices(folder, choices_);
}

}  // namespace lookback
