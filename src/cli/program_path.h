// How the user can start this program again.
#pragma once

#include <string>

namespace lookback {

// Relative to the working folder where it lies in there, as `build/release/lookback`; else its whole path. For commands
// that are printed to be copied.
std::string program_path();

}  // namespace lookback
