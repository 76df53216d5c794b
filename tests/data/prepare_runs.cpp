#include "data/prepare_runs.h"

#include <algorithm>
#include <stdexcept>

#include "core/error.h"
#include "core/files.h"
#include "core/random.h"
#include "data/prepare_journal.h"
#include "data/token_dataset.h"
#include "text/bytes_tokenizer.h"

namespace lookback {

namespace fs = std::filesystem;

PrepareConfig small_config(const std::vector<fs::path>& inputs, const fs::path& out) {
  PrepareConfig config;
  config.inputs = inputs;
  config.out = out;
  config.num_threads = 2;
  config.tokens_per_shard = 1'000'003;
  return config;
}

PrepareResult prepare_bytes(const PrepareConfig& config, const PrepareListener& listener) {
  return prepare(config, BytesTokenizer(), listener);
}

std::string prepare_error(const PrepareConfig& config) {
  try {
    prepare_bytes(config);
  } catch (const Error& error) {
    return error.what();
  }
  return "(no error)";
}

std::vector<std::string> documents_of(const fs::path& folder) {
  const TokenDataset dataset(folder);
  dataset.verify();
  std::vector<std::string> texts;
  for (std::int64_t i = 0; i < dataset.num_documents(); ++i) {
    const DocumentRange range = dataset.document(i);
    std::vector<std::int64_t> ids(static_cast<std::size_t>(range.end + 1 - range.begin));
    dataset.read(range.begin, ids);
    if (ids.back() != 256) throw std::runtime_error("no end of text behind a document");
    ids.pop_back();
    texts.emplace_back(ids.begin(), ids.end());
    if (static_cast<std::int64_t>(texts.back().size()) != range.text_bytes) throw std::runtime_error("text_bytes");
  }
  return texts;
}

std::string content_of(const fs::path& folder) {
  std::vector<fs::path> paths;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file() && entry.path().filename() != journal_name) paths.push_back(entry.path());
  }
  std::sort(paths.begin(), paths.end());
  std::string content;
  for (const fs::path& path : paths) {
    // A process that was killed may leave the temporary file of an atomic write behind.
    if (path.filename().string().find(".tmp") != std::string::npos) continue;
    content += path.lexically_relative(folder).string() + "\n" + read_file(path) + "\n";
  }
  return content;
}

std::string zstd_compressed(const std::string& text) {
  ZSTD_CCtx* context = ZSTD_createCCtx();
  ZSTD_CCtx_setParameter(context, ZSTD_c_windowLog, 27);
  ZSTD_CCtx_setParameter(context, ZSTD_c_contentSizeFlag, 0);
  std::string out(ZSTD_compressBound(text.size()) + 64, '\0');
  ZSTD_inBuffer input{text.data(), text.size(), 0};
  ZSTD_outBuffer output{out.data(), out.size(), 0};
  // In two steps, so that the frame keeps its large window.
  ZSTD_compressStream2(context, &output, &input, ZSTD_e_flush);
  ZSTD_compressStream2(context, &output, &input, ZSTD_e_end);
  ZSTD_freeCCtx(context);
  out.resize(output.pos);
  return out;
}

std::string gzip_compressed(const std::string& text) {
  z_stream stream{};
  deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
  std::string out(deflateBound(&stream, text.size()) + 64, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, Z_FINISH);
  out.resize(out.size() - stream.avail_out);
  deflateEnd(&stream);
  return out;
}

std::string generated_text(std::size_t bytes, std::uint64_t seed) {
  static const std::vector<std::string> words = {"the ", "a ",     "memory ", "of ", "Größe ", "文字 ",
                                                 "42 ",  "light.", ",\n",     "\n",  "\n\n",   "🙂 "};
  Random random(seed);
  std::string text;
  while (text.size() < bytes) text += words[random.below(words.size())];
  return text;
}

}  // namespace lookback
