// Porter's stemmer (An algorithm for suffix stripping, 1980) with the departures that NLTK has made its default
// (`PorterStemmer()`, mode NLTK_EXTENSIONS), which is what ROUGE is computed with.
#pragma once

#include <string>
#include <string_view>

namespace lookback {

// `word`: lowercase letters and digits, in ASCII; digits count as consonants.
std::string porter_stem(std::string_view word);

}  // namespace lookback
