// Tables of SentencePiece models: sound ones, and each way to leave one.
#include "text/sentencepiece_charsmap.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

namespace lookback {
namespace {

constexpr std::uint32_t leaf = 1U << 8;

std::uint32_t unit(unsigned char label, std::uint32_t offset, std::uint32_t flags = 0) {
  return label | offset << 10 | flags;
}

std::string charsmap(const std::vector<std::uint32_t>& units, const std::string& replacements) {
  const auto trie_bytes = static_cast<std::uint32_t>(units.size() * sizeof units[0]);
  std::string bytes(sizeof trie_bytes + trie_bytes, '\0');
  std::memcpy(bytes.data(), &trie_bytes, sizeof trie_bytes);
  if (!units.empty()) std::memcpy(bytes.data() + sizeof trie_bytes, units.data(), trie_bytes);
  return bytes + replacements;
}

// "a" is replaced by what `value` points to: from the root's children at 256 the unit of 'a' leads to those at 512.
std::vector<std::uint32_t> one_rule(std::uint32_t value) {
  std::vector<std::uint32_t> units(768, unit(0xFF, 0));  // 0xFF at no place but its own: no child
  units[0] = unit(0, 256);
  units[256 ^ 'a'] = unit('a', 256 ^ 'a' ^ 512, leaf);
  for (const std::size_t node : {256, 512}) units[node ^ 0xFF] = unit(0, 0);
  units[512] = value;
  return units;
}

TEST(SentencePieceCharsmap, TakesNoneAndASoundOne) {
  EXPECT_TRUE(is_sound_charsmap(""));
  EXPECT_TRUE(is_sound_charsmap(charsmap(one_rule(2), std::string("x\0yz\0", 5))));
}

TEST(SentencePieceCharsmap, RefusesSizesThatDoNotFit) {
  const std::string sound = charsmap(one_rule(0), std::string("x\0", 2));
  for (const std::size_t size : {std::size_t{1}, std::size_t{4}, std::size_t{400}, sound.size() - 2}) {
    EXPECT_FALSE(is_sound_charsmap(sound.substr(0, size))) << size;
  }
  EXPECT_FALSE(is_sound_charsmap(sound + "no end"));
  EXPECT_FALSE(is_sound_charsmap(charsmap({}, std::string("x\0", 2))));
}

TEST(SentencePieceCharsmap, RefusesWhatLeadsOutside) {
  const std::string replacements("x\0", 2);
  EXPECT_FALSE(is_sound_charsmap(charsmap(one_rule(2), replacements)));
  std::vector<std::uint32_t> units = one_rule(0);
  units[0] = unit(0, 768);
  EXPECT_FALSE(is_sound_charsmap(charsmap(units, replacements)));
  units = one_rule(0);
  units[256 ^ 'a'] = unit('a', 256 ^ 'a' ^ 1024, leaf);
  EXPECT_FALSE(is_sound_charsmap(charsmap(units, replacements)));
  units = one_rule(0);
  units.resize(640);  // some of the bytes after "a" would be sought behind the end
  EXPECT_FALSE(is_sound_charsmap(charsmap(units, replacements)));
}

// "a", "aa", "aaa", ... : a node that leads to itself finds a replacement at every step, more than the library has room
// for.
TEST(SentencePieceCharsmap, RefusesTooManyReplacementsOnOneWay) {
  std::vector<std::uint32_t> units = one_rule(0);
  units[256 ^ 'a'] = unit('a', 'a', leaf);
  units[256] = 0;
  EXPECT_FALSE(is_sound_charsmap(charsmap(units, std::string("x\0", 2))));
}

}  // namespace
}  // namespace lookback
