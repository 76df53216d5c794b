// The version of these headers, and that of the library which a program runs with.
#pragma once

#include "lookback/export.h"

namespace lookback {

inline constexpr const char* version = "0.1.0";

// Another than `version` where the program was compiled with the headers of another release.
LOOKBACK_API const char* library_version();

}  // namespace lookback
