#include "text/token_streams.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <istream>
#include <iterator>
#include <limits>
#include <ostream>

#include "core/byte_order_mark.h"
#include "core/error.h"
#include "core/json_lines.h"
#include "text/utf8_stream.h"

namespace lookback {
namespace {

constexpr std::size_t block_bytes = 1U << 20U;

// Appends the next block of `in`. Returns false at its end.
bool read_block(std::istream& in, std::string& buffer) {
  const std::size_t before = buffer.size();
  buffer.resize(before + block_bytes);
  in.read(buffer.data() + before, static_cast<std::streamsize>(block_bytes));
  require(!in.bad(), "standard input: cannot be read");
  buffer.resize(before + static_cast<std::size_t>(in.gcount()));
  return in.gcount() > 0;
}

void write(std::ostream& out, std::string_view text) {
  out.write(text.data(), static_cast<std::streamsize>(text.size()));
  require(out.good(), "standard output: cannot be written (disk full, or closed)");
}

void finish(std::ostream& out) {
  out.flush();
  write(out, {});
}

bool is_white_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

// The blank that a tokenizer puts before a text is no part of it.
std::string_view without_leading_blank(const Tokenizer& tokenizer, std::string_view text) {
  if (tokenizer.puts_blank_before_text() && text.starts_with(' ')) text.remove_prefix(1);
  return text;
}

// What was read of the ids of one text, whose words may be cut anywhere by the blocks that it comes in.
class IdReader {
 public:
  explicit IdReader(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {}

  // Appends what the ids in `block` stand for; a word at its end waits for more.
  void read(std::string_view block, std::string& text) {
    for (const char c : block) {
      if (!is_white_space(c)) {
        word_ += c;
        constexpr std::size_t longest_id = 20;
        if (word_.size() > longest_id) fail_word();
        continue;
      }
      take_word(text);
      if (c == '\n') ++line_;
    }
  }

  void take_word(std::string& text) {
    if (word_.empty()) return;
    std::int32_t id = 0;
    const char* const end = word_.data() + word_.size();
    const auto [stop, error] = std::from_chars(word_.data(), end, id);
    if (error != std::errc() || stop != end || id < 0 || id >= tokenizer_.vocab_size()) fail_word();
    tokenizer_.decode(id, text);
    word_.clear();
  }

 private:
  [[noreturn]] void fail_word() const {
    Utf8Stream shown;
    const std::string word = shown.push(word_) + shown.flush();
    fail("standard input: line {}: expected token ids from 0 to {}, separated by blanks; found \"{}\"", line_,
         tokenizer_.vocab_size() - 1, word);
  }

  const Tokenizer& tokenizer_;
  std::string word_;
  std::uint64_t line_ = 1;
};

// Calls `convert(JSON of a line, name of the line, answer)` for each line that is not blank and writes the answers, a
// line each.
template <typename Convert>
void convert_lines(std::istream& in, std::ostream& out, const OnInputBytes& on_bytes, const Convert& convert) {
  std::string line;
  std::string answer;
  std::uint64_t num_bytes = 0;
  for (std::uint64_t number = 1; std::getline(in, line); ++number) {
    if (!is_blank_line(line)) {
      answer.clear();
      const std::string source = fmt::format("standard input: line {}", number);
      convert(parse_json_line(line, source), source, answer);
      answer += '\n';
      write(out, answer);
    }
    num_bytes += line.size() + 1;
    if (on_bytes) on_bytes(num_bytes);
  }
  require(!in.bad(), "standard input: cannot be read");
  finish(out);
}

}  // namespace

void tokenize_text(const Tokenizer& tokenizer, std::istream& in, std::ostream& out, const OnInputBytes& on_bytes) {
  std::string buffer;
  std::string shown;
  std::vector<std::int32_t> ids;
  std::uint64_t num_bytes = 0;
  bool first = true;
  // Looks for a cut only once the buffer has doubled: a text without any is not searched again and again.
  std::size_t next_cut_at = block_bytes;
  for (bool more = true; more;) {
    more = read_block(in, buffer);
    if (num_bytes == 0) buffer.erase(0, buffer.size() - without_byte_order_mark(buffer).size());
    if (more && buffer.size() < next_cut_at) continue;
    const std::size_t size = more ? tokenizer.safe_prefix(buffer) : buffer.size();
    ids.clear();
    shown.clear();
    const std::string_view part = std::string_view(buffer).substr(0, size);
    if (size > 0) num_bytes == 0 ? tokenizer.encode(part, ids) : tokenizer.encode_continuation(part, ids);
    for (const std::int32_t id : ids) {
      fmt::format_to(std::back_inserter(shown), "{}{}", first ? "" : " ", id);
      first = false;
    }
    write(out, shown);
    buffer.erase(0, size);
    next_cut_at = std::max(block_bytes, 2 * buffer.size());
    num_bytes += size;
    if (on_bytes) on_bytes(num_bytes);
  }
  write(out, "\n");
  finish(out);
}

void detokenize_text(const Tokenizer& tokenizer, std::istream& in, std::ostream& out, const OnInputBytes& on_bytes) {
  IdReader reader(tokenizer);
  std::string buffer;
  std::string text;
  std::uint64_t num_bytes = 0;
  bool at_start = true;
  for (bool more = true; more;) {
    buffer.clear();
    text.clear();
    more = read_block(in, buffer);
    reader.read(buffer, text);
    if (!more) reader.take_word(text);
    write(out, at_start ? without_leading_blank(tokenizer, text) : std::string_view(text));
    at_start = at_start && text.empty();
    num_bytes += buffer.size();
    if (on_bytes) on_bytes(num_bytes);
  }
  finish(out);
}

void tokenize_lines(const Tokenizer& tokenizer, std::istream& in, std::ostream& out, const OnInputBytes& on_bytes) {
  std::vector<std::int32_t> ids;
  convert_lines(in, out, on_bytes, [&](const Json& line, const std::string& source, std::string& answer) {
    ids.clear();
    tokenizer.encode(json_field<std::string>(line, "text", source), ids);
    fmt::format_to(std::back_inserter(answer), "{{\"ids\":[{}]}}", fmt::join(ids, ","));
  });
}

void detokenize_lines(const Tokenizer& tokenizer, std::istream& in, std::ostream& out, const OnInputBytes& on_bytes) {
  convert_lines(in, out, on_bytes, [&](const Json& line, const std::string& source, std::string& answer) {
    const auto ids = json_field<Json>(line, "ids", source);
    require(ids.is_array(), "{}: field \"ids\": expected a list of token ids", source);
    std::string text;
    for (const Json& id : ids) {
      require(id.is_number_unsigned() && id.get<std::uint64_t>() < static_cast<std::uint64_t>(tokenizer.vocab_size()),
              "{}: field \"ids\": expected token ids from 0 to {}, found {}", source, tokenizer.vocab_size() - 1,
              dump_line(id));
      tokenizer.decode(id.get<std::int32_t>(), text);
    }
    answer = dump_line({{"text", without_leading_blank(tokenizer, text)}});
  });
}

}  // namespace lookback
