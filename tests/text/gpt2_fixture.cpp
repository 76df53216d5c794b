#include "text/gpt2_fixture.h"

#include <zlib.h>

#include <array>

#include "core/error.h"

namespace lookback {
namespace {

std::string gunzip(const char* path) {
  const gzFile file = gzopen(path, "rb");
  require(file != nullptr, "{}: cannot be opened", path);
  std::string content;
  std::array<char, 1 << 16> buffer{};
  for (int count = gzread(file, buffer.data(), buffer.size()); count > 0;
       count = gzread(file, buffer.data(), buffer.size())) {
    content.append(buffer.data(), static_cast<std::size_t>(count));
  }
  gzclose(file);
  return content;
}

}  // namespace

const std::string& gpt2_tokenizer_json() {
  static const std::string content = gunzip(LOOKBACK_SOURCE_DIR "/tests/fixtures/tokenizers/gpt2-tokenizer.json.gz");
  return content;
}

}  // namespace lookback
