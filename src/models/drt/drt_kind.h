// DRT and the two kinds that differ from it in one part (drt.h), as kinds: their keys and what they cost.
#pragma once

namespace lookback {

struct Kind;
extern const Kind drt_kind;
extern const Kind rpt_kind;
extern const Kind compressed_memory_kind;

}  // namespace lookback
