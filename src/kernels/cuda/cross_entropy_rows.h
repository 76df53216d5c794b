// Cross-entropy of rows of logits, and its gradient in the logits' place: the kernel's arguments, and what a block of
// threads does.
#pragma once

#include <cstdint>

#include "kernels/cuda/tile.h"

namespace lookback::cuda {

// loss = log(sum(exp(logits))) - logits[label], 0 where the label is -100 (ignored); in float32.
struct CrossEntropyRows {
  std::int64_t num_rows = 0;
  std::int64_t num_classes = 0;          // V
  std::int64_t row_stride = 0;           // elements from one row to the next: V or more, a multiple of 8
  std::uint16_t* logits = nullptr;       // rows of row_stride elements, each beginning at 16 bytes
  const std::int64_t* labels = nullptr;  // [num_rows], below V; the kernel ends where one is not
  float* losses = nullptr;               // [num_rows], all of it is written
  // [num_rows]: the logits become factor * (softmax - one-hot of the label), zeros where the label is ignored, and what
  // is behind the V classes of a row becomes zeros; null: the logits stay.
  const float* factors = nullptr;
};

// A block a row, which is read twice: for its sum, then for the gradient. Both passes wait for memory alone.
template <class Half>
struct CrossEntropyKernel {
  static constexpr int slices = 1;
  static constexpr int blocks_side_by_side = 8;
  static constexpr int num_warps = block_threads / 32;
  static constexpr std::int64_t ignored = -100;

  // sum of exp(logit - largest) over some of a row's logits.
  struct Sum {
    float largest, total;
  };
  static constexpr int shared_bytes = num_warps * static_cast<int>(sizeof(Sum));

  template <class Lane>
  static LOOKBACK_DEVICE void run(const CrossEntropyRows& params, std::int64_t row, Lane lane, std::uint16_t* shared) {
    std::uint16_t* const logits = params.logits + row * params.row_stride;
    const std::int64_t label = params.labels[row];
    const bool counts = label != ignored;
    lane.require(!counts || (label >= 0 && label < params.num_classes), "labels: expected 0 to V - 1 or -100");
    if (counts) {
      const float label_logit = lane.template to_float<Half>(logits[label]);
      const Sum sum = sum_of_row(params.num_classes, logits, lane, reinterpret_cast<Sum*>(shared));
      if (lane.thread() == 0) params.losses[row] = sum.largest - label_logit + lane.log2(sum.total) / log2_e;
      if (params.factors == nullptr) return;
      const float factor = params.factors[row];
      const float scale = factor / sum.total;
      replace(params.row_stride, logits, lane, [&](std::int64_t column, float logit) {
        if (column >= params.num_classes) return 0.0F;
        const float probability = lane.exp2((logit - sum.largest) * log2_e) * scale;
        return column == label ? probability - factor : probability;
      });
    } else {
      if (lane.thread() == 0) params.losses[row] = 0;
      if (params.factors != nullptr) replace(params.row_stride, logits, lane, [](std::int64_t, float) { return 0.0F; });
    }
  }

 private:
  static constexpr int unit = 8;  // 16 bytes, the widest access
  static constexpr std::int64_t block_elements = std::int64_t{block_threads} * unit;

  static LOOKBACK_DEVICE std::uint16_t half_of(const std::uint32_t (&pairs)[4], int i) {
    return static_cast<std::uint16_t>(pairs[i / 2] >> (i % 2 * 16));
  }

  template <class Lane>
  static LOOKBACK_DEVICE Sum join(Lane lane, Sum a, Sum b) {
    const float largest = lane.larger(a.largest, b.largest);
    return {largest,
            a.total * lane.exp2((a.largest - largest) * log2_e) + b.total * lane.exp2((b.largest - largest) * log2_e)};
  }

  // A thread without logits, and what it joins, must not become infinity less infinity.
  static constexpr float below_all = -3.0e38F;

  template <class Lane>
  static LOOKBACK_DEVICE Sum sum_of_row(std::int64_t num_classes, const std::uint16_t* logits, Lane lane,
                                        Sum* warp_sums) {
    Sum sum{below_all, 0};
    for (std::int64_t first = std::int64_t{lane.thread()} * unit; first < num_classes; first += block_elements) {
      std::uint32_t pairs[4];
      lane.load_16_bytes(pairs, logits + first);
      float values[unit];
      float largest = sum.largest;
      for (int i = 0; i < unit; ++i) {
        values[i] = first + i < num_classes ? lane.template to_float<Half>(half_of(pairs, i)) : below_all;
        largest = lane.larger(largest, values[i]);
      }
      sum.total *= lane.exp2((sum.largest - largest) * log2_e);
      sum.largest = largest;
      for (const float value : values) sum.total += lane.exp2((value - largest) * log2_e);
    }
    for (int mask = 16; mask > 0; mask /= 2) {
      sum = join(lane, sum, {lane.shuffle_xor(sum.largest, mask), lane.shuffle_xor(sum.total, mask)});
    }
    if (lane.in_warp() == 0) warp_sums[lane.warp()] = sum;
    lane.sync();
    sum = warp_sums[0];
    for (int warp = 1; warp < num_warps; ++warp) sum = join(lane, sum, warp_sums[warp]);
    return sum;
  }

  // Each element of a row becomes new_value(column, element).
  template <class Lane, class NewValue>
  static LOOKBACK_DEVICE void replace(std::int64_t row_stride, std::uint16_t* row, Lane lane, NewValue new_value) {
    for (std::int64_t first = std::int64_t{lane.thread()} * unit; first < row_stride; first += block_elements) {
      std::uint32_t pairs[4];
      lane.load_16_bytes(pairs, row + first);
      for (int i = 0; i < unit; i += 2) {
        const float low = new_value(first + i, lane.template to_float<Half>(half_of(pairs, i)));
        const float high = new_value(first + i + 1, lane.template to_float<Half>(half_of(pairs, i + 1)));
        pairs[i / 2] = lane.template pack<Half>(low, high);
      }
      lane.store_16_bytes(row + first, pairs);
    }
  }
};

}  // namespace lookback::cuda
