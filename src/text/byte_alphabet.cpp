#include "text/byte_alphabet.h"

#include <array>
#include <unordered_map>

#include "text/utf8.h"

namespace lookback {
namespace {

bool is_printable(unsigned byte) {
  return (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) || (byte >= 0xAE && byte <= 0xFF);
}

// Printable bytes stand for themselves; the others, in order, for U+0100 and up. All need at most two bytes.
std::array<std::string, 256> make_symbols() {
  std::array<std::string, 256> symbols;
  unsigned next = 0x100;
  for (unsigned byte = 0; byte < symbols.size(); ++byte) {
    const unsigned code = is_printable(byte) ? byte : next++;
    if (code < 0x80) {
      symbols[byte] = std::string(1, static_cast<char>(code));
    } else {
      symbols[byte] = {static_cast<char>(0xC0U | (code >> 6U)), static_cast<char>(0x80U | (code & 0x3FU))};
    }
  }
  return symbols;
}

const std::array<std::string, 256>& byte_symbols() {
  static const std::array<std::string, 256> table = make_symbols();
  return table;
}

}  // namespace

std::string byte_symbol(unsigned char byte) { return byte_symbols()[byte]; }

bool symbols_to_bytes(std::string_view symbols, std::string& bytes) {
  static const auto byte_of = [] {
    std::unordered_map<std::string, char> map;
    for (unsigned byte = 0; byte < byte_symbols().size(); ++byte) map[byte_symbols()[byte]] = static_cast<char>(byte);
    return map;
  }();
  while (!symbols.empty()) {
    const std::size_t size = utf8_character_size(symbols);
    const auto found = byte_of.find(std::string(symbols.substr(0, size)));
    if (size == 0 || found == byte_of.end()) return false;
    bytes += found->second;
    symbols.remove_prefix(size);
  }
  return true;
}

}  // namespace lookback
