// Ctrl-C as the stop token of a program: for `main` and the commands. Libraries are handed a token (stop.h).
#pragma once

#include "core/stop.h"

namespace lookback {

// From now on SIGINT and SIGTERM only request a stop; a second signal ends the process at once (exit code 130). Returns
// interrupt_token().
StopToken catch_interrupts();

// Asks for the same without a signal: what is worked on can no longer be told to anyone (standard_streams.h).
void request_interrupt();

// Requested once a signal came since catch_interrupts(), or request_interrupt() was called.
StopToken interrupt_token();

}  // namespace lookback
