// Ctrl-C as the stop token of a program: for `main` and the commands. Libraries are handed a token (stop.h).
#pragma once

#include "lookback/stop.h"

namespace lookback {

// The exit code of a process that was asked to stop and did.
inline constexpr int exit_interrupted = 130;

// From now on SIGINT and SIGTERM only request a stop; a second signal ends the process at once (exit_interrupted).
// Returns interrupt_token().
StopToken catch_interrupts();

// Asks for the same without a signal: what is worked on can no longer be told to anyone (standard_streams.h).
void request_interrupt();

// Requested once a signal came since catch_interrupts(), or request_interrupt() was called.
StopToken interrupt_token();

}  // namespace lookback
