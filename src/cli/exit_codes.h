// The program's exit codes, beside exit_interrupted; 0: done.
#pragma once

#include "core/interrupt.h"

namespace lookback {

inline constexpr int exit_failed = 1;         // one line says why
inline constexpr int exit_misuse = 2;         // of flags
inline constexpr int exit_reader_gone = 141;  // of standard output, such as `| head`: saved as by Ctrl-C, no message

}  // namespace lookback
