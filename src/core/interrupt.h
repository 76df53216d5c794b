// Ctrl-C as a question that long work asks between steps, so that it can save and say how to go on.
#pragma once

namespace lookback {

// From now on SIGINT and SIGTERM only set a flag; a second signal ends the process at once (exit code 130).
void catch_interrupts();

// Whether a signal came since catch_interrupts().
bool interrupted();

}  // namespace lookback
