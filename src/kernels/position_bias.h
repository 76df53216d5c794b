// What the score of a query and a key in a window loses by their distance.
#pragma once

namespace lookback {

// alibi: m_h for each position between them, m_h = 2^(-8 (h + 1) / H) (arXiv 2108.12409). none: nothing, so that order
// is in the queries and keys themselves (ops/rotary.h), or unknown but for the causal mask.
enum class PositionBias { alibi, none };

}  // namespace lookback
