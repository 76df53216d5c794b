// Learns a unigram model of pieces (Kudo 2018) with SentencePiece's own trainer.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

namespace lookback {

struct UnigramTrainingConfig {
  std::int64_t vocab_size = 0;  // the unknown piece, end_of_text and 256 byte pieces included
  std::string end_of_text;
};

// The content of a SentencePiece .model. `next_line`: the next line of the texts, without its end, or nothing at their
// end; lines above longest_unigram_line bytes are passed over by the library, so whoever reads cuts them. Texts are
// taken as they are (no normal form, runs of blanks kept); what no piece holds, line ends first, is encoded byte by
// byte. The library does not listen while it learns. Throws Error with its reason when it cannot (a vocabulary too
// large for the texts, for example), and when this build lacks it.
std::string train_unigram(const UnigramTrainingConfig& config,
                          const std::function<std::optional<std::string>()>& next_line);

inline constexpr std::size_t longest_unigram_line = 4096;

}  // namespace lookback
