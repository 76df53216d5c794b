#include "text/fixture_files.h"

#include <unistd.h>
#include <zlib.h>

#include <array>
#include <filesystem>

#include "core/error.h"
#include "core/files.h"

namespace lookback {

std::string gunzip_fixture(const std::string& name) {
  const std::string path = LOOKBACK_SOURCE_DIR "/tests/fixtures/tokenizers/" + name;
  const gzFile file = gzopen(path.c_str(), "rb");
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

std::unique_ptr<Tokenizer> tokenizer_from(const std::string& content, const TokenizerChoices& choices) {
  const std::filesystem::path path =
      std::filesystem::temp_directory_path() / ("lookback-test-tokenizer-" + std::to_string(::getpid()) + ".json");
  write_file_atomic(path, content);
  auto tokenizer = load_tokenizer(path.string(), choices);
  std::filesystem::remove(path);
  return tokenizer;
}

std::string refusal_of(const std::string& content) {
  try {
    tokenizer_from(content);
  } catch (const Error& error) {
    return error.what();
  }
  return "none";
}

}  // namespace lookback
