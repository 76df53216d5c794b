// Tokenizer files shaped like those of known models, and of every component by itself: the ids and the decoded texts of
// the Python package `tokenizers` (tools/make_tokenizer_fixtures.py).
#include <gtest/gtest.h>

#include "text/fixture_files.h"
#include "text/utf8.h"
#include "text/utf8_stream.h"

namespace lookback {
namespace {

Json read(const std::string& name) { return parse_json(gunzip_fixture("families/" + name + ".json.gz"), name); }

const std::vector<std::string>& texts() {
  static const auto read_texts = read("texts").get<std::vector<std::string>>();
  return read_texts;
}

// As it is shown: the blank that the tokenizer puts before a text dropped, broken characters replaced.
std::string decoded(const Tokenizer& tokenizer, const std::vector<std::int32_t>& ids) {
  std::string text = tokenizer.decode(ids);
  if (tokenizer.puts_blank_before_text() && text.starts_with(' ')) text.erase(0, 1);
  Utf8Stream stream;
  return stream.push(text) + stream.flush();
}

void expect_same(const Tokenizer& tokenizer, const Json& cases, std::size_t step, bool compare_decoded) {
  ASSERT_EQ(cases.size(), (texts().size() + step - 1) / step);
  for (std::size_t i = 0; i < cases.size(); ++i) {
    const std::string& text = texts()[i * step];
    const auto expected = cases[i].at("ids").get<std::vector<std::int32_t>>();
    EXPECT_EQ(tokenizer.encode(text), expected) << dump_line(text);
    if (!compare_decoded) continue;
    EXPECT_EQ(decoded(tokenizer, expected), cases[i].value("decoded", text)) << dump_line(text);
  }
}

class Family : public testing::TestWithParam<const char*> {
 protected:
  const Json file_ = read(GetParam());
  const std::unique_ptr<Tokenizer> tokenizer_ = tokenizer_from(file_.at("tokenizer").dump());
};

TEST_P(Family, GivesThePackagesIdsAndTexts) {
  ASSERT_GE(texts().size(), 400U);
  expect_same(*tokenizer_, file_.at("cases"), 1, true);
}

TEST_P(Family, MayBeCutAtItsSafePrefixes) {
  std::string all;
  for (const std::string& text : texts()) all += text.substr(0, 200) + " and then ";
  for (const std::string& text :
       {all.substr(0, 3000), std::string(" The cat sat on  the mats.\nOne day \xff was it")}) {
    const std::vector<std::int32_t> expected = tokenizer_->encode(text);
    std::size_t last = 0;
    for (std::size_t read_bytes = 1; read_bytes <= text.size(); ++read_bytes) {
      const std::size_t size = tokenizer_->safe_prefix(std::string_view(text).substr(0, read_bytes));
      if (size == 0 || size == last) continue;
      last = size;
      std::vector<std::int32_t> ids = tokenizer_->encode(text.substr(0, size));
      tokenizer_->encode_continuation(std::string_view(text).substr(size), ids);
      ASSERT_EQ(ids, expected) << text.substr(0, size);
    }
  }
}

TEST_P(Family, AContinuationGetsNothingPutBeforeIt) {
  std::vector<std::int32_t> ids = tokenizer_->encode("a");
  tokenizer_->encode_continuation("der", ids);
  EXPECT_EQ(decoded(*tokenizer_, ids), "ader");
}

INSTANTIATE_TEST_SUITE_P(TokenizerFiles, Family,
                         testing::Values("gpt2", "llama2", "llama3", "mistral", "tekken", "qwen2", "qwen3", "smollm2",
                                         "deepseek_v3", "gemma", "pythia", "o200k", "kimi"));

TEST(Family, WhichMayBeCut) {
  for (const char* name : {"gpt2", "llama3", "qwen2", "qwen3", "smollm2", "pythia", "llama2", "mistral", "gemma"}) {
    const auto tokenizer = tokenizer_from(read(name).at("tokenizer").dump());
    EXPECT_EQ(tokenizer->safe_prefix("the cat sat"), 7U) << name;
  }
  for (const char* name : {"tekken", "deepseek_v3", "o200k", "kimi"}) {
    EXPECT_EQ(tokenizer_from(read(name).at("tokenizer").dump())->safe_prefix("the cat sat"), 0U) << name;
  }
}

TEST(TokenizerComponents, GiveThePackagesIds) {
  const Json components = read("components");
  EXPECT_EQ(components.size(), 59U);
  for (const Json& component : components) {
    SCOPED_TRACE(component.at("name").get<std::string>());
    const auto tokenizer = tokenizer_from(component.at("tokenizer").dump());
    expect_same(*tokenizer, component.at("cases"), 4, false);
  }
}

}  // namespace
}  // namespace lookback
