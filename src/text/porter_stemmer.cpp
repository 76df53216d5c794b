#include "text/porter_stemmer.h"

#include <algorithm>
#include <array>
#include <span>
#include <utility>
#include <vector>

namespace lookback {
namespace {

// Words whose stems the rules would not find, or would find wrong.
constexpr std::array<std::pair<std::string_view, std::string_view>, 16> irregular_stems{{{"sky", "sky"},
                                                                                         {"skies", "sky"},
                                                                                         {"dying", "die"},
                                                                                         {"lying", "lie"},
                                                                                         {"tying", "tie"},
                                                                                         {"news", "news"},
                                                                                         {"inning", "inning"},
                                                                                         {"innings", "inning"},
                                                                                         {"outing", "outing"},
                                                                                         {"outings", "outing"},
                                                                                         {"canning", "canning"},
                                                                                         {"cannings", "canning"},
                                                                                         {"howe", "howe"},
                                                                                         {"proceed", "proceed"},
                                                                                         {"exceed", "exceed"},
                                                                                         {"succeed", "succeed"}}};

bool is_vowel(char letter) { return std::string_view("aeiou").find(letter) != std::string_view::npos; }

// Of each letter whether it is a consonant; y is one at the beginning and behind a vowel.
std::vector<bool> find_consonants(std::string_view word) {
  std::vector<bool> consonants;
  consonants.reserve(word.size());
  for (const char letter : word) {
    consonants.push_back(letter == 'y' ? consonants.empty() || !consonants.back() : !is_vowel(letter));
  }
  return consonants;
}

bool has_vowel(std::string_view stem) {
  const std::vector<bool> consonants = find_consonants(stem);
  return std::ranges::find(consonants, false) != consonants.end();
}

// m of [C](VC)^m[V]: how often a consonant follows a vowel.
int measure(std::string_view stem) {
  const std::vector<bool> consonants = find_consonants(stem);
  int count = 0;
  for (std::size_t i = 1; i < consonants.size(); ++i) count += consonants[i] && !consonants[i - 1] ? 1 : 0;
  return count;
}

bool ends_in_double_consonant(std::string_view word) {
  return word.size() >= 2 && word.back() == word[word.size() - 2] && find_consonants(word).back();
}

// Porter's *o: consonant, vowel, consonant that is not w, x or y. NLTK counts a vowel and a consonant alone, too.
bool ends_in_short_syllable(std::string_view word) {
  const std::vector<bool> consonants = find_consonants(word);
  const std::size_t size = word.size();
  if (size == 2) return !consonants[0] && consonants[1];
  return size >= 3 && consonants[size - 3] && !consonants[size - 2] && consonants[size - 1] &&
         std::string_view("wxy").find(word.back()) == std::string_view::npos;
}

struct SuffixRule {
  std::string_view suffix, replacement;
};

// The first rule whose suffix the word has decides: the suffix is replaced where what stands before it has a measure
// above `above`, else nothing is.
std::string replace_suffix(std::string word, std::span<const SuffixRule> rules, int above) {
  for (const SuffixRule& rule : rules) {
    if (!word.ends_with(rule.suffix)) continue;
    const std::string_view stem(word.data(), word.size() - rule.suffix.size());
    if (measure(stem) <= above) return word;
    return std::string(stem).append(rule.replacement);
  }
  return word;
}

std::string without_end(const std::string& word, std::size_t count) { return word.substr(0, word.size() - count); }

// Plurals.
std::string step_1a(std::string word) {
  // NLTK: ties -> tie, not ti.
  if (word.ends_with("ies") && word.size() == 4) return without_end(word, 1);
  if (word.ends_with("sses") || word.ends_with("ies")) return without_end(word, 2);
  if (word.ends_with("s") && !word.ends_with("ss")) return without_end(word, 1);
  return word;
}

// Past and progressive forms.
std::string step_1b(std::string word) {
  // NLTK: died -> die, spied -> spi.
  if (word.ends_with("ied")) return without_end(word, word.size() == 4 ? 1 : 2);
  if (word.ends_with("eed"))
    return measure(std::string_view(word).substr(0, word.size() - 3)) > 0 ? without_end(word, 1) : word;
  std::string stem;
  if (word.ends_with("ed") && has_vowel(std::string_view(word).substr(0, word.size() - 2))) {
    stem = without_end(word, 2);
  } else if (word.ends_with("ing") && has_vowel(std::string_view(word).substr(0, word.size() - 3))) {
    stem = without_end(word, 3);
  } else {
    return word;
  }
  if (stem.ends_with("at") || stem.ends_with("bl") || stem.ends_with("iz")) return stem + "e";
  if (ends_in_double_consonant(stem)) {
    return std::string_view("lsz").find(stem.back()) == std::string_view::npos ? without_end(stem, 1) : stem;
  }
  return measure(stem) == 1 && ends_in_short_syllable(stem) ? stem + "e" : stem;
}

// NLTK: happy -> happi, but enjoy and by stay (Porter asks for a vowel anywhere before the y).
std::string step_1c(std::string word) {
  if (word.ends_with("y") && word.size() > 2 && find_consonants(word)[word.size() - 2]) word.back() = 'i';
  return word;
}

std::string step_2(std::string word) {
  static constexpr std::array<SuffixRule, 20> rules{{
      {"ational", "ate"}, {"tional", "tion"}, {"enci", "ence"}, {"anci", "ance"},   {"izer", "ize"},
      {"bli", "ble"},     {"entli", "ent"},   {"eli", "e"},     {"ousli", "ous"},   {"ization", "ize"},
      {"ation", "ate"},   {"ator", "ate"},    {"alism", "al"},  {"iveness", "ive"}, {"fulness", "ful"},
      {"ousness", "ous"}, {"aliti", "al"},    {"iviti", "ive"}, {"biliti", "ble"},  {"fulli", "ful"},
  }};
  // NLTK: what alli leaves goes through the step again.
  if (word.ends_with("alli") && measure(std::string_view(word).substr(0, word.size() - 4)) > 0) {
    return step_2(without_end(word, 2));
  }
  // NLTK: of logi, the l belongs to what is measured.
  if (word.ends_with("logi"))
    return measure(std::string_view(word).substr(0, word.size() - 3)) > 0 ? without_end(word, 1) : word;
  return replace_suffix(std::move(word), rules, 0);
}

std::string step_3(std::string word) {
  static constexpr std::array<SuffixRule, 7> rules{
      {{"icate", "ic"}, {"ative", ""}, {"alize", "al"}, {"iciti", "ic"}, {"ical", "ic"}, {"ful", ""}, {"ness", ""}}};
  return replace_suffix(std::move(word), rules, 0);
}

std::string step_4(std::string word) {
  static constexpr std::array<SuffixRule, 18> rules{{{"al", ""},
                                                     {"ance", ""},
                                                     {"ence", ""},
                                                     {"er", ""},
                                                     {"ic", ""},
                                                     {"able", ""},
                                                     {"ible", ""},
                                                     {"ant", ""},
                                                     {"ement", ""},
                                                     {"ment", ""},
                                                     {"ent", ""},
                                                     {"ou", ""},
                                                     {"ism", ""},
                                                     {"ate", ""},
                                                     {"iti", ""},
                                                     {"ous", ""},
                                                     {"ive", ""},
                                                     {"ize", ""}}};
  if (word.ends_with("ion")) {
    const std::string stem = without_end(word, 3);
    return measure(stem) > 1 && (stem.ends_with("s") || stem.ends_with("t")) ? stem : word;
  }
  return replace_suffix(std::move(word), rules, 1);
}

std::string step_5(std::string word) {
  if (word.ends_with("e")) {
    const std::string stem = without_end(word, 1);
    if (measure(stem) > 1 || (measure(stem) == 1 && !ends_in_short_syllable(stem))) word = stem;
  }
  return word.ends_with("ll") && measure(std::string_view(word).substr(0, word.size() - 1)) > 1 ? without_end(word, 1)
                                                                                                : word;
}

}  // namespace

std::string porter_stem(std::string_view word) {
  const auto* const irregular = std::find_if(irregular_stems.begin(), irregular_stems.end(),
                                             [&](const auto& entry) { return entry.first == word; });
  if (irregular != irregular_stems.end()) return std::string(irregular->second);
  if (word.size() <= 2) return std::string(word);
  return step_5(step_4(step_3(step_2(step_1c(step_1b(step_1a(std::string(word))))))));
}

}  // namespace lookback
