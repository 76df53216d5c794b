#include "data/json_lines.h"

#include <memory>

#include "data/byte_source.h"

namespace lookback {

void read_json_lines(const std::filesystem::path& path, const VisitJson& visit) {
  constexpr std::size_t block_bytes = std::size_t{1} << 20;
  const std::unique_ptr<ByteSource> file = open_byte_source(path);
  std::string buffer;
  std::int64_t line = 0;
  const auto visit_line = [&](std::size_t begin, std::size_t end) {
    visit_json_line(std::string_view(buffer).substr(begin, end - begin), path.string(), ++line, visit);
  };
  while (true) {
    const std::size_t before = buffer.size();
    buffer.resize(before + block_bytes);
    const std::size_t count = file->read(buffer.data() + before, block_bytes);
    buffer.resize(before + count);
    std::size_t begin = 0;
    // What was there before has no line's end.
    std::size_t end = buffer.find('\n', before);
    for (; end != std::string::npos; end = buffer.find('\n', begin)) {
      visit_line(begin, end);
      begin = end + 1;
    }
    buffer.erase(0, begin);
    if (count == 0) break;
  }
  if (!buffer.empty()) visit_line(0, buffer.size());
}

}  // namespace lookback
