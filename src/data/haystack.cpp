#include "data/haystack.h"

#include <algorithm>
#include <filesystem>

#include "core/byte_order_mark.h"
#include "core/error.h"
#include "core/files.h"
#include "data/data_folders.h"
#include "data/needle_sequence.h"
#include "data/token_dataset.h"

namespace lookback {
namespace {

constexpr std::int64_t most_haystack_tokens = std::int64_t{1} << 25U;
constexpr std::uint64_t haystack_stream = 1;

std::vector<std::int64_t> encode_haystack(const Tokenizer& tokenizer, const std::string& text) {
  const std::vector<std::int32_t> ids = tokenizer.encode(without_byte_order_mark(text));
  return {ids.begin(), ids.end()};
}

}  // namespace

std::vector<std::int64_t> read_haystack(const std::string& path, std::int64_t generated_bytes, std::uint64_t seed,
                                        const Tokenizer& tokenizer) {
  if (path.empty()) {
    Random random(seed, haystack_stream);
    return encode_haystack(tokenizer, make_sentences(generated_bytes, random));
  }
  if (!std::filesystem::is_directory(path)) {
    std::vector<std::int64_t> ids = encode_haystack(tokenizer, read_file(path));
    require(!ids.empty(), "{}: is empty: it cannot be a haystack", path);
    return ids;
  }
  const TokenDataset dataset(find_data_folders(path).train);
  require(dataset.manifest().tokenizer_fingerprint == tokenizer.fingerprint(),
          "{}: was prepared with another tokenizer than the model's; prepare it again or give a text file", path);
  std::vector<std::int64_t> ids(static_cast<std::size_t>(std::min(dataset.num_tokens(), most_haystack_tokens)));
  dataset.read(0, ids);
  return ids;
}

}  // namespace lookback
