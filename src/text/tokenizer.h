// Text to token ids and back, behind one interface.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace lookback {

// A tokenizer is immutable; all const members may be called from several threads at once.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  // Appends the ids of `text` (no special tokens are added) to `ids`.
  virtual void encode(std::string_view text, std::vector<std::int32_t>& ids) const = 0;

  // Appends the bytes that `id` stands for; nothing for an unused id. Single tokens may end inside a UTF-8 character;
  // see Utf8Stream. Throws Error when id is not in [0, vocab_size).
  virtual void decode(std::int32_t id, std::string& text) const = 0;

  // Number of ids, specials included. The landmark is not among them: models add it behind.
  virtual std::int32_t vocab_size() const = 0;

  // The ids in [0, vocab_size) that no token has, in order: a vocabulary may have holes. No text is encoded to one;
  // whoever draws tokens leaves them out.
  virtual std::vector<std::int32_t> unused_ids() const { return {}; }

  // The id that ends a document, put between documents in token shards.
  virtual std::int32_t end_of_text_id() const = 0;

  // Hash of everything that decides the ids, as 16 hex digits: kept in manifests and model folders.
  virtual std::string fingerprint() const = 0;

  // Writes what load_tokenizer needs into a model folder (tokenizer.json, tokenizer.model; nothing but
  // tokenizer_config.json for the embedded `bytes`).
  virtual void save(const std::filesystem::path& folder) const = 0;

  // The length of a prefix of `text` after which encoding may start anew: the ids that encode gives for it, then those
  // that encode_continuation gives for the rest with whatever follows `text`, are the ids of the whole. Ends between
  // UTF-8 characters. 0 where the tokenizer knows no such place.
  virtual std::size_t safe_prefix(std::string_view text) const {
    static_cast<void>(text);
    return 0;
  }

  // As encode, of a text that goes on behind another (a safe_prefix, what a session has read): nothing is put before
  // it, so that decoding both shows the texts as they were given.
  virtual void encode_continuation(std::string_view text, std::vector<std::int32_t>& ids) const { encode(text, ids); }

  // Whether encode treats a text as if a blank stood before it, which decode then shows (SentencePiece).
  virtual bool puts_blank_before_text() const { return false; }

  // Conveniences over the above.
  std::vector<std::int32_t> encode(std::string_view text) const;
  std::string decode(const std::vector<std::int32_t>& ids) const;
};

struct TokenizerChoices;

// `spec`: "bytes", the path of a Hugging Face tokenizer.json, of a SentencePiece .model, or of a folder that
// holds one of them (or was written by Tokenizer::save). Throws Error naming what is missing or unsupported.
std::unique_ptr<Tokenizer> load_tokenizer(const std::string& spec);

// The same with choices of the user's, which go before those that were saved with the tokenizer.
std::unique_ptr<Tokenizer> load_tokenizer(const std::string& spec, const TokenizerChoices& choices);

// Whether `folder` holds a tokenizer that load_tokenizer would take.
bool has_tokenizer(const std::filesystem::path& folder);

}  // namespace lookback
