// Ctrl-C as a question that long work asks between steps, so that it can save and say how to go on.
#pragma once

namespace lookback {

// From now on SIGINT and SIGTERM only set a flag; a second signal ends the process at once (exit code 130).
void catch_interrupts();

// Asks for the same without a signal: what is worked on can no longer be told to anyone (standard_streams.h).
void request_interrupt();

// Whether a signal came since catch_interrupts(), or request_interrupt() was called.
bool interrupted();

}  // namespace lookback
