// The baseline without memory: Llama layers whose attention sees a window (golden/sliding-window; docs/tasks.md).
#pragma once

namespace lookback {

struct Kind;
extern const Kind sliding_window_kind;

}  // namespace lookback
