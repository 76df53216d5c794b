#include "data/text_ids.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>

#include "core/error.h"
#include "text/bytes_tokenizer.h"

namespace lookback {
namespace {

const BytesTokenizer bytes;

TEST(TextIds, LeaveOutTheEndOfTextAndWhatIsExcluded) {
  EXPECT_EQ(text_ids(bytes).size(), 256U);
  const std::vector<std::int64_t> without_bar = text_ids(bytes, "|");
  EXPECT_EQ(without_bar.size(), 255U);
  EXPECT_EQ(std::ranges::count(without_bar, '|'), 0);
}

TEST(AlphabetIds, BeginWithLettersAndDigits) {
  const std::vector<std::int64_t> ids = alphabet_ids(bytes, 64);
  const std::set<std::int64_t> different(ids.begin(), ids.end());
  EXPECT_EQ(different.size(), 64U);
  for (const std::int64_t id : ids) {
    EXPECT_TRUE(id < 128 && (std::isalnum(static_cast<int>(id)) != 0 || id == '-' || id == '_')) << id;
  }
  EXPECT_EQ(alphabet_ids(bytes, 3), (std::vector<std::int64_t>{'a', 'b', 'c'}));
}

TEST(AlphabetIds, GoOnWithTheOthers) {
  const std::vector<std::int64_t> ids = alphabet_ids(bytes, 256);
  EXPECT_EQ(std::set<std::int64_t>(ids.begin(), ids.end()).size(), 256U);
  EXPECT_THROW(alphabet_ids(bytes, 257), Error);
}

// A tokenizer whose only tokens are of two letters each.
class Pairs : public BytesTokenizer {
 public:
  void encode(std::string_view text, std::vector<std::int32_t>& ids) const override {
    for (const char letter : text) ids.push_back(letter == 'q' ? 5 : 0);
  }
  void decode(std::int32_t id, std::string& text) const override {
    if (id != 0) text += id == 5 ? std::string("q") : "<" + std::to_string(id);
  }
};

TEST(AlphabetIds, HaveNoLettersThatTheTokenizerDoesNotHave) {
  EXPECT_EQ(alphabet_ids(Pairs(), 3), (std::vector<std::int64_t>{5, 1, 2}));
}

}  // namespace
}  // namespace lookback
