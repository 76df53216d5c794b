// The baseline without memory: Llama layers whose attention sees a window (docs/model.md, 9).
#pragma once

namespace lookback {

struct Kind;
extern const Kind sliding_window_kind;

}  // namespace lookback
