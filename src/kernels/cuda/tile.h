// What the attention kernels are made of: tiles of 64 rows in shared memory, and products of tiles on tensor cores.
//
// A block has 128 threads, four warps; a warp owns 16 of a tile's rows. Each function is called by all threads of the
// block (or of the warp, where it says so) through a Lane, which stands for one thread: CudaLane on a GPU, the emulated
// block's in the tests. Half: the type of the 16-bit numbers, Bfloat16 or Float16.
#pragma once

#include <cstdint>

#include "kernels/cuda/attention_params.h"
#include "kernels/cuda/device_function.h"

namespace lookback::cuda {

struct Bfloat16 {};
struct Float16 {};

constexpr int block_threads = 128;
constexpr int warp_rows = 16;
// Probabilities as powers of 2 spare a multiplication each: exp(x) = exp2(x log2(e)).
constexpr float log2_e = 1.44269504088896341F;

// Dim: D rounded up to one of the sizes that are compiled. The 8 elements (16 bytes) between rows make the eight rows
// of a matrix load start in different banks.
template <int Dim>
constexpr int tile_stride = Dim + 8;
template <int Dim>
constexpr int tile_size = tile_rows * tile_stride<Dim>;
// Tiles that are fetched while others are multiplied take twice the shared memory, which wide heads do not have.
template <int Dim>
constexpr int num_stages = Dim <= 128 ? 2 : 1;

// Blocks that share a multiprocessor, so that one computes while another waits: as many as fit without its registers
// going to memory. Wide heads need all that there are.
template <int Dim>
constexpr int forward_blocks = Dim <= 64 ? 4 : 1;
template <int Dim>
constexpr int backward_blocks = Dim <= 64 ? 3 : 1;

// A block's shared memory: NumFixed tiles that stay, a pair of tiles a stage that come and go (keys and values, or
// queries and gradients of the output), then what else a kernel keeps.
template <int Dim, int NumFixed>
struct SharedTiles {
  static constexpr int size = (NumFixed + 2 * num_stages<Dim>)*tile_size<Dim>;
  static constexpr int bytes = size * static_cast<int>(sizeof(std::uint16_t));
  std::uint16_t* shared;

  LOOKBACK_DEVICE std::uint16_t* fixed(int tile) const { return shared + tile * tile_size<Dim>; }
  LOOKBACK_DEVICE std::uint16_t* first(int stage) const { return shared + (NumFixed + 2 * stage) * tile_size<Dim>; }
  LOOKBACK_DEVICE std::uint16_t* second(int stage) const { return first(stage) + tile_size<Dim>; }
  template <class T>
  LOOKBACK_DEVICE T* behind() const {
    return reinterpret_cast<T*>(shared + size);
  }
};

template <class T>
constexpr T smaller(T a, T b) {
  return b < a ? b : a;
}

template <class T>
constexpr T larger(T a, T b) {
  return a < b ? b : a;
}

// Starts copying num_rows rows of head_dim elements, row i from row_of(i); zeros around them. They are there after
// wait() and sync().
template <int Dim, class Lane, class RowOf>
LOOKBACK_DEVICE void fetch_tile(Lane lane, std::uint16_t* tile, int num_rows, int head_dim, RowOf row_of) {
  constexpr int unit = 8;  // 16 bytes, the widest copy
  constexpr int row_units = Dim / unit;
  constexpr int rows_a_round = block_threads / row_units;
  const int first_row = lane.thread() / row_units;
  const int column = lane.thread() % row_units * unit;
  for (int round = 0; round < tile_rows / rows_a_round; ++round) {
    const int row = first_row + round * rows_a_round;
    lane.copy_16_bytes(tile + row * tile_stride<Dim> + column, row_of(smaller(row, num_rows - 1)) + column,
                       row < num_rows && column < head_dim);
  }
}

// A warp's 16 x 64 product as tensor cores hold it: a lane l has, of every 8 columns [j], row l / 4 ([j][0], [j][1])
// and row l / 4 + 8 ([j][2], [j][3]), at columns 2 (l mod 4) and the next.
using Product = float[tile_rows / 8][4];

template <class Lane>
LOOKBACK_DEVICE int product_row(Lane lane, int i) {
  return lane.warp() * warp_rows + lane.in_warp() / 4 + i / 2 * 8;
}

template <class Lane>
LOOKBACK_DEVICE int product_column(Lane lane, int j, int i) {
  return j * 8 + lane.in_warp() % 4 * 2 + i % 2;
}

// Whether any of the warp's rows is among the tile's first num_rows; a warp without may spare itself the products.
template <class Lane>
LOOKBACK_DEVICE bool warp_has_rows(Lane lane, int num_rows) {
  return lane.warp() * warp_rows < num_rows;
}

// product = (the warp's rows of tile a) (tile b)^T; by a warp.
template <class Half, int Dim, class Lane>
LOOKBACK_DEVICE void multiply_transposed(Lane lane, const std::uint16_t* a, const std::uint16_t* b, Product& product) {
  constexpr int stride = tile_stride<Dim>;
  const int l = lane.in_warp();
  for (auto& columns : product) {
    for (float& element : columns) element = 0;
  }
  const std::uint16_t* const a_place = a + ((lane.warp() * warp_rows + l % 16) * stride + l / 16 * 8);
  const std::uint16_t* const b_place = b + ((l % 8 + l / 16 * 8) * stride + l / 8 % 2 * 8);
  for (int k = 0; k < Dim; k += 16) {
    std::uint32_t a_part[4];
    lane.load_matrices(a_part, a_place + k);
    for (int j = 0; j < tile_rows / 8; j += 2) {
      std::uint32_t b_part[4];
      lane.load_matrices(b_part, b_place + (j * 8 * stride + k));
      lane.template multiply_add<Half>(product[j], a_part, b_part[0], b_part[1]);
      lane.template multiply_add<Half>(product[j + 1], a_part, b_part[2], b_part[3]);
    }
  }
}

// sum [16, OutDim] += (the warp's factors [16, 64]) (tile b [64, OutDim]); by a warp. The factors are rounded to Half.
template <class Half, int Dim, int OutDim, class Lane>
LOOKBACK_DEVICE void multiply_accumulate(Lane lane, const Product& factors, const std::uint16_t* b,
                                         float (&sum)[OutDim / 8][4]) {
  constexpr int stride = tile_stride<Dim>;
  const int l = lane.in_warp();
  const std::uint16_t* const b_place = b + (l % 16 * stride + l / 16 * 8);
  for (int k = 0; k < tile_rows / 8; k += 2) {
    const float(&left)[4] = factors[k];
    const float(&right)[4] = factors[k + 1];
    const std::uint32_t a_part[4] = {
        lane.template pack<Half>(left[0], left[1]), lane.template pack<Half>(left[2], left[3]),
        lane.template pack<Half>(right[0], right[1]), lane.template pack<Half>(right[2], right[3])};
    for (int j = 0; j < OutDim / 8; j += 2) {
      std::uint32_t b_part[4];
      lane.load_matrices_transposed(b_part, b_place + (k * 8 * stride + j * 8));
      lane.template multiply_add<Half>(sum[j], a_part, b_part[0], b_part[1]);
      lane.template multiply_add<Half>(sum[j + 1], a_part, b_part[2], b_part[3]);
    }
  }
}

// Writes the block's sums [64, OutDim], rounded to Half: num_rows rows of num_columns elements, row i to row_of(i).
template <class Half, int OutDim, class Lane, class RowOf>
LOOKBACK_DEVICE void store_rows(Lane lane, const float (&sum)[OutDim / 8][4], int num_rows, int num_columns,
                                RowOf row_of) {
  for (int i = 0; i < 4; i += 2) {
    const int row = product_row(lane, i);
    if (row >= num_rows) continue;
    std::uint16_t* const place = row_of(row);
    for (int j = 0; j < OutDim / 8; ++j) {
      const int column = product_column(lane, j, i);
      if (column < num_columns) lane.store_pair(place + column, lane.template pack<Half>(sum[j][i], sum[j][i + 1]));
    }
  }
}

// Over the four lanes that share a product's row.
template <class Lane>
LOOKBACK_DEVICE float sum_of_row(Lane lane, float value) {
  value += lane.shuffle_xor(value, 1);
  return value + lane.shuffle_xor(value, 2);
}

template <class Lane>
LOOKBACK_DEVICE float largest_of_row(Lane lane, float value) {
  value = lane.larger(value, lane.shuffle_xor(value, 1));
  return lane.larger(value, lane.shuffle_xor(value, 2));
}

// The running softmax of a lane's two rows of a product.
struct RunningSoftmax {
  float largest[2];
  float sum[2];

  // plus_one: a key of score 0 and value 0 counts in the denominator (docs/model.md, 7).
  LOOKBACK_DEVICE void start(bool plus_one, float minus_infinity) {
    for (int r = 0; r < 2; ++r) {
      largest[r] = plus_one ? 0 : minus_infinity;
      sum[r] = plus_one ? 1 : 0;
    }
  }

  // Takes in scores (to base 2) and leaves exp2(score - largest); rescale[r]: by what earlier sums are to be
  // multiplied.
  template <class Lane>
  LOOKBACK_DEVICE void add(Lane lane, Product& scores, float (&rescale)[2]) {
    for (int r = 0; r < 2; ++r) {
      float found = largest[r];
      for (int j = 0; j < tile_rows / 8; ++j) {
        for (int i = 2 * r; i < 2 * r + 2; ++i) found = lane.larger(found, scores[j][i]);
      }
      found = largest_of_row(lane, found);
      // Nothing seen yet and nothing here (a window's tile outside a row's reach): any finite number keeps NaN away.
      const float finite = found == -lane.infinity() ? 0 : found;
      rescale[r] = lane.exp2(largest[r] - finite);
      largest[r] = found;
      float total = 0;
      for (int j = 0; j < tile_rows / 8; ++j) {
        for (int i = 2 * r; i < 2 * r + 2; ++i) {
          scores[j][i] = lane.exp2(scores[j][i] - finite);
          total += scores[j][i];
        }
      }
      sum[r] = sum[r] * rescale[r] + sum_of_row(lane, total);
    }
  }

  template <class Lane>
  LOOKBACK_DEVICE float lse(Lane lane, int r) const {
    return largest[r] + lane.log2(sum[r]);
  }
};

// Goes through the tiles of a walk, fetching the next while the block works on one: fetch(visit, stage) starts copies
// into the stage's part of shared memory, work(visit, stage) finds them there.
template <int Stages, class Lane, class Walk, class Fetch, class Work>
LOOKBACK_DEVICE void walk_tiles(Lane lane, const Walk& walk, Fetch fetch, Work work) {
  auto visit = walk.first();
  if (walk.has(visit)) fetch(visit, 0);
  lane.commit_copies();
  for (int stage = 0; walk.has(visit); stage = (stage + 1) % Stages) {
    const auto next = walk.next(visit);
    if constexpr (Stages == 2) {
      if (walk.has(next)) fetch(next, stage ^ 1);
      lane.commit_copies();
      lane.template wait_for_copies<1>();
    } else {
      lane.template wait_for_copies<0>();
    }
    lane.sync();
    work(visit, stage);
    lane.sync();
    if constexpr (Stages == 1) {
      if (walk.has(next)) fetch(next, 0);
      lane.commit_copies();
    }
    visit = next;
  }
}

}  // namespace lookback::cuda
