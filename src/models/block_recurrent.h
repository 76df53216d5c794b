// Block-Recurrent Transformer (arXiv 2203.07852, section 3): Llama layers that see a window of W, of which one,
// memory_layer, carries state_size state vectors c from block to block of W tokens.
//
// In that layer, sections 3.1 and 3.2 (the paper's best configuration, fixed gate with skip), with s = norm(c) + ids:
//   tokens of block b:  attended = x + o(window attention) + o_s(attention of their own query heads to keys, values of
//   s) at its end:         z = o_1(attention of s to s) + o_2(attention of s to the block's keys and values) + b_z,
//                       c <- g c + (1 - g) z,  g = sigmoid(b_g + 1), per element
// where tokens and states share keys and values in both directions, each with query heads of its own (section 3.1);
// ids [state_size, d] are learned and tell the states apart; c is 0 at first. No positions where states take part: no
// bias, and keys that are not rotated.
//
// Other than in the paper: tokens have the window's positions in place of T5's relative ones, and RMS norms; the state
// begins anew with each training sequence, and gradients run through all of its blocks; the gates' bias of 1 is a
// constant beside the learned one, so that what a state holds is kept at first.
#pragma once

#include <cstdint>

namespace lookback {

struct Kind;

// Keys in brackets are those of config.json.
struct BlockRecurrentConfig {
  std::int64_t memory_layer = 0;  // from 0 on [memory_layer]
  std::int64_t state_size = 64;   // state vectors [state_size]
};

extern const Kind block_recurrent_kind;

}  // namespace lookback
