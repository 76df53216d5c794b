// Landmark Attention (arXiv 2305.16300): every layer attends to the whole past through landmarks, one behind each chunk
// of S = enc_chunk_size tokens, so that blocks have S + 1 positions (the paper's l_block is S).
//
// Training reads all earlier blocks (section 3.1). Everything else - whole forward and sequence alike - reads, for each
// token and head by itself, the chunk_topk best blocks by their landmarks' scores (section 3.2) and besides, like the
// paper's local cache, those that begin within slide_window positions before the token's own block.
//
// Other than in the paper: positions are ALiBi's, with distances above slide_window counted as slide_window, in place
// of rotary ones with the stingy mapping of section 3.2.1: either way all that is far lies at one distance, so that
// texts may be longer than in training, and a head's slope decides how gladly it reads what is far. The last token
// before a landmark predicts the first one behind it, and the landmark predicts nothing. Without positions in their
// keys all landmarks are alike in the first layer: among equals the nearest are chosen (ops/landmark_attention.h).
#pragma once

namespace lookback {

struct Kind;
extern const Kind landmark_kind;

}  // namespace lookback
