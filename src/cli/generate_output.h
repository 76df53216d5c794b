// What `generate` prints of its answers, for people.
#pragma once

#include <string>
#include <vector>

#include "lookback/generate.h"

namespace lookback {

// Where what was retrieved comes from, and what it says, for people.
std::string sources_text(const std::vector<RetrievedSources>& retrieved);
// The texts that beam search ended with, for people; nothing without any.
std::string hypotheses_text(const Answer& answer);

// One line.
std::string summary(const Answer& answer);

}  // namespace lookback
