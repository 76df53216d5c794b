#include "text/tokenizer.h"

#include "core/error.h"
#include "core/json.h"
#include "text/bpe_tokenizer.h"
#include "text/bytes_tokenizer.h"
#include "text/sentencepiece_tokenizer.h"
#include "text/tokenizer_choices.h"

namespace lookback {
namespace {

namespace fs = std::filesystem;

constexpr const char* marker_name = "tokenizer_config.json";  // written by the embedded tokenizer alone

bool is_embedded(const fs::path& folder) {
  if (!fs::is_regular_file(folder / marker_name)) return false;
  const Json value = read_json_file(folder / marker_name);
  return json_field_or<std::string>(value, "lookback_tokenizer", "", (folder / marker_name).string()) ==
         BytesTokenizer::name;
}

// The file in `folder` that holds its tokenizer, or nothing.
fs::path tokenizer_file(const fs::path& folder) {
  for (const char* name : {BpeTokenizer::file_name, SentencePieceTokenizer::file_name}) {
    if (fs::is_regular_file(folder / name)) return folder / name;
  }
  return {};
}

std::unique_ptr<Tokenizer> load_bytes(const TokenizerChoices& choices) {
  require(choices.end_of_text.empty(), "end-of-text {}: the tokenizer \"bytes\" ends texts with its own token",
          choices.end_of_text);
  return std::make_unique<BytesTokenizer>();
}

}  // namespace

std::vector<std::int32_t> Tokenizer::encode(std::string_view text) const {
  std::vector<std::int32_t> ids;
  encode(text, ids);
  return ids;
}

std::string Tokenizer::decode(const std::vector<std::int32_t>& ids) const {
  std::string text;
  for (const std::int32_t id : ids) decode(id, text);
  return text;
}

std::unique_ptr<Tokenizer> load_tokenizer(const std::string& spec) { return load_tokenizer(spec, {}); }

std::unique_ptr<Tokenizer> load_tokenizer(const std::string& spec, const TokenizerChoices& choices) {
  if (spec == BytesTokenizer::name) return load_bytes(choices);
  const fs::path path(spec);
  require(fs::exists(path),
          "tokenizer {}: there is no such file; expected \"bytes\", a tokenizer.json, a SentencePiece "
          ".model, or a folder that holds one",
          spec);
  fs::path file = path;
  if (fs::is_directory(path)) {
    file = tokenizer_file(path);
    if (file.empty() && is_embedded(path)) return load_bytes(choices);
    require(!file.empty(), "tokenizer {}: the folder holds neither {} nor {}", spec, BpeTokenizer::file_name,
            SentencePieceTokenizer::file_name);
  }
  TokenizerChoices all = read_tokenizer_choices(file.parent_path());
  if (!choices.end_of_text.empty()) all.end_of_text = choices.end_of_text;
  all.no_special = all.no_special || choices.no_special;
  if (file.extension() == ".json") return std::make_unique<BpeTokenizer>(file, all);
  if (file.extension() == ".model") return std::make_unique<SentencePieceTokenizer>(file, all);
  fail("tokenizer {}: expected a file that ends in .json (Hugging Face) or .model (SentencePiece)", spec);
}

bool has_tokenizer(const fs::path& folder) { return !tokenizer_file(folder).empty() || is_embedded(folder); }

}  // namespace lookback
