// Causal attention over a window, with or without ALiBi, forward and backward (docs/model.md, 3). The library kernels
// at hand do not serve: LibTorch's flash attention is built without ALiBi, and cuDNN's, which has it, aligns queries
// with the first keys, where a segment's queries stand at the last.
//
// Without ALiBi they have run in the tests' emulated block only, not yet on a card.
//
// A block has 64 queries of a head and goes through the key tiles in their windows; or 64 keys of a key head, going
// through the queries whose windows reach them.
#pragma once

#include "kernels/cuda/attention_params.h"
#include "kernels/cuda/chunk_attention_backward.h"
#include "kernels/cuda/tile.h"

namespace lookback::cuda {

// Row `row` of head `head`.
LOOKBACK_DEVICE const std::uint16_t* sequence_row(const Rows& rows, int batch, int row, int head) {
  return rows.data + batch * rows.batch_stride + row * rows.row_stride + head * rows.head_stride;
}

LOOKBACK_DEVICE std::int64_t query_offset(const SlidingWindowParams& params, int batch, int row, int head) {
  return ((static_cast<std::int64_t>(batch) * params.num_queries + row) * params.num_heads + head) * params.head_dim;
}

LOOKBACK_DEVICE std::int64_t statistics_offset(const SlidingWindowParams& params, int batch, int head) {
  return (static_cast<std::int64_t>(batch) * params.num_heads + head) * params.num_queries;
}

// Makes a head's scores to base 2 of products, minus infinity outside the window.
struct WindowScore {
  float scale, slope;
  int window_size;

  template <class Lane>
  LOOKBACK_DEVICE WindowScore(Lane lane, const SlidingWindowParams& params, int head)
      : scale(params.softmax_scale * log2_e),
        slope(params.position_bias == PositionBias::none
                  ? 0.0F
                  : lane.exp2(-8.0F * static_cast<float>(head + 1) / static_cast<float>(params.num_heads)) * log2_e),
        window_size(params.window_size) {}

  // distance: between the queries' and the keys' first positions. RowStep: 1 where rows are queries and columns keys,
  // -1 where it is the other way round.
  template <int RowStep, class Lane>
  LOOKBACK_DEVICE void apply(Lane lane, Product& scores, int distance) const {
    const int column = product_column(lane, 0, 0);
    for (int r = 0; r < 2; ++r) {
      const int between = distance + RowStep * (product_row(lane, 2 * r) - column);  // at this lane's first column
      const float bias = -slope * static_cast<float>(between);
      for (int j = 0; j < tile_rows / 8; ++j) {
        for (int i = 0; i < 2; ++i) {
          float& score = scores[j][2 * r + i];
          score = score * scale + (bias + slope * static_cast<float>(RowStep * (8 * j + i)));
        }
      }
    }
    if (distance >= tile_rows - 1 && distance + tile_rows - 1 <= window_size) return;  // all of the tile is inside
    for (int j = 0; j < tile_rows / 8; ++j) {
      for (int i = 0; i < 4; ++i) {
        const int between = distance + RowStep * (product_row(lane, i) - product_column(lane, j, i));
        if (between < 0 || between > window_size) scores[j][i] = -lane.infinity();
      }
    }
  }
};

// Tiles first, first + 64, ... below end, `repeats` times: once for each head of a group.
struct TileRange {
  int begin, end, repeats;

  struct Visit {
    int repeat, first;
  };

  LOOKBACK_DEVICE bool has(const Visit& visit) const { return visit.repeat < repeats; }
  LOOKBACK_DEVICE Visit first() const { return {begin < end ? 0 : repeats, begin}; }
  LOOKBACK_DEVICE Visit next(const Visit& visit) const {
    return visit.first + tile_rows < end ? Visit{visit.repeat, visit.first + tile_rows}
                                         : Visit{visit.repeat + 1, begin};
  }
};

// The keys that queries [first, first + num_rows) see.
LOOKBACK_DEVICE TileRange keys_of_queries(const SlidingWindowParams& params, int first, int num_rows) {
  const int begin = larger(0, params.num_past + first - params.window_size);
  return {begin / tile_rows * tile_rows, params.num_past + first + num_rows, 1};
}

// The queries that see keys [first, first + num_keys).
LOOKBACK_DEVICE TileRange queries_of_keys(const SlidingWindowParams& params, int first, int num_keys) {
  const int begin = larger(0, first - params.num_past);
  const std::int64_t end = static_cast<std::int64_t>(first) + num_keys + params.window_size - params.num_past;
  return {begin / tile_rows * tile_rows,
          static_cast<int>(smaller<std::int64_t>(params.num_queries, larger<std::int64_t>(0, end))),
          params.num_heads / params.num_kv_heads};
}

// A block of queries: forward's and the query pass's item.
struct WindowQueries {
  int first, num_rows, head, batch;

  LOOKBACK_DEVICE WindowQueries(const SlidingWindowParams& params, std::int64_t item) {
    const int num_tiles = tiles_of(params.num_queries);
    first = static_cast<int>(item % num_tiles) * tile_rows;
    num_rows = smaller(tile_rows, params.num_queries - first);
    item /= num_tiles;
    head = static_cast<int>(item % params.num_heads);
    batch = static_cast<int>(item / params.num_heads);
  }
};

template <int Dim, class Lane>
LOOKBACK_DEVICE void fetch_keys(Lane lane, const SlidingWindowParams& params, int batch, int head, int first,
                                std::uint16_t* key, std::uint16_t* value) {
  const int kv_head = head / (params.num_heads / params.num_kv_heads);
  const int num_keys = smaller(tile_rows, params.num_past + params.num_queries - first);
  fetch_tile<Dim>(lane, key, num_keys, params.head_dim,
                  [&](int i) { return sequence_row(params.key, batch, first + i, kv_head); });
  fetch_tile<Dim>(lane, value, num_keys, params.head_dim,
                  [&](int i) { return sequence_row(params.value, batch, first + i, kv_head); });
}

template <class Half, int Dim>
struct SlidingWindowForwardKernel {
  static constexpr int shared_bytes = SharedTiles<Dim, 1>::bytes;
  static constexpr int slices = 1;
  static constexpr int blocks_side_by_side = forward_blocks<Dim>;

  template <class Lane>
  LOOKBACK_DEVICE static void run(const SlidingWindowParams& params, std::int64_t item, Lane lane,
                                  std::uint16_t* shared) {
    const WindowQueries block(params, item);
    const SharedTiles<Dim, 1> memory{shared};
    std::uint16_t* const query = shared;
    const auto key = [memory](int stage) { return memory.first(stage); };
    const auto value = [memory](int stage) { return memory.second(stage); };
    const WindowScore window_score(lane, params, block.head);

    fetch_tile<Dim>(lane, query, block.num_rows, params.head_dim,
                    [&](int i) { return sequence_row(params.query, block.batch, block.first + i, block.head); });
    float sum[Dim / 8][4] = {};
    RunningSoftmax softmax;
    softmax.start(false, -lane.infinity());
    walk_tiles<num_stages<Dim>>(
        lane, keys_of_queries(params, block.first, block.num_rows),
        [&](const TileRange::Visit& visit, int stage) {
          fetch_keys<Dim>(lane, params, block.batch, block.head, visit.first, key(stage), value(stage));
        },
        [&](const TileRange::Visit& visit, int stage) {
          if (!warp_has_rows(lane, block.num_rows)) return;
          Product scores;
          multiply_transposed<Half, Dim>(lane, query, key(stage), scores);
          window_score.template apply<1>(lane, scores, params.num_past + block.first - visit.first);
          float rescale[2];
          softmax.add(lane, scores, rescale);
          for (auto& columns : sum) {
            for (int i = 0; i < 4; ++i) columns[i] *= rescale[i / 2];
          }
          multiply_accumulate<Half, Dim, Dim>(lane, scores, value(stage), sum);
        });
    for (auto& columns : sum) {
      for (int i = 0; i < 4; ++i) columns[i] /= softmax.sum[i / 2];
    }
    store_rows<Half, Dim>(lane, sum, block.num_rows, params.head_dim, [&](int i) {
      return params.output + query_offset(params, block.batch, block.first + i, block.head);
    });
    for (int r = 0; r < 2; ++r) {
      const int i = product_row(lane, 2 * r);
      if (lane.in_warp() % 4 != 0 || i >= block.num_rows) continue;
      const std::int64_t place = statistics_offset(params, block.batch, block.head) + block.first + i;
      params.softmax_lse[place] = softmax.lse(lane, r) / log2_e;
    }
  }
};

template <class Half, int Dim>
struct SlidingWindowBackwardQueriesKernel {
  static constexpr int shared_bytes = SharedTiles<Dim, 2>::bytes + tile_rows * static_cast<int>(sizeof(RowStatistics));
  static constexpr int slices = 1;
  static constexpr int blocks_side_by_side = backward_blocks<Dim>;

  template <class Lane>
  LOOKBACK_DEVICE static void run(const SlidingWindowParams& params, const SlidingWindowGradients& gradients,
                                  std::int64_t item, Lane lane, std::uint16_t* shared) {
    const WindowQueries block(params, item);
    const SharedTiles<Dim, 2> memory{shared};
    std::uint16_t* const query = shared;
    std::uint16_t* const grad_output = memory.fixed(1);
    const auto key = [memory](int stage) { return memory.first(stage); };
    const auto value = [memory](int stage) { return memory.second(stage); };
    auto* const statistics = memory.template behind<RowStatistics>();
    const WindowScore window_score(lane, params, block.head);

    fetch_tile<Dim>(lane, query, block.num_rows, params.head_dim,
                    [&](int i) { return sequence_row(params.query, block.batch, block.first + i, block.head); });
    fetch_tile<Dim>(lane, grad_output, block.num_rows, params.head_dim, [&](int i) {
      return sequence_row(gradients.grad_output, block.batch, block.first + i, block.head);
    });
    // The mean gain of a row is (gradient of the output) . output: two threads a row.
    const int i = lane.thread() / 2;
    float gain = 0;
    if (i < block.num_rows) {
      const std::uint16_t* const output =
          params.output + query_offset(params, block.batch, block.first + i, block.head);
      const std::uint16_t* const gradient =
          sequence_row(gradients.grad_output, block.batch, block.first + i, block.head);
      for (int column = lane.thread() % 2; column < params.head_dim; column += 2) {
        gain += lane.template to_float<Half>(output[column]) * lane.template to_float<Half>(gradient[column]);
      }
    }
    gain += lane.shuffle_xor(gain, 1);
    if (lane.thread() % 2 == 0) {
      RowStatistics found{lane.infinity(), 0};
      if (i < block.num_rows) {
        const std::int64_t place = statistics_offset(params, block.batch, block.head) + block.first + i;
        gradients.mean_gain[place] = gain;
        found = {params.softmax_lse[place] * log2_e, gain};
      }
      statistics[i] = found;
    }
    float sum[Dim / 8][4] = {};
    walk_tiles<num_stages<Dim>>(
        lane, keys_of_queries(params, block.first, block.num_rows),
        [&](const TileRange::Visit& visit, int stage) {
          fetch_keys<Dim>(lane, params, block.batch, block.head, visit.first, key(stage), value(stage));
        },
        [&](const TileRange::Visit& visit, int stage) {
          if (!warp_has_rows(lane, block.num_rows)) return;
          Product scores;
          Product gains;
          multiply_transposed<Half, Dim>(lane, query, key(stage), scores);
          multiply_transposed<Half, Dim>(lane, grad_output, value(stage), gains);
          window_score.template apply<1>(lane, scores, params.num_past + block.first - visit.first);
          const RowStatistics rows[2] = {statistics[product_row(lane, 0)], statistics[product_row(lane, 2)]};
          for (int j = 0; j < tile_rows / 8; ++j) {
            for (int i = 0; i < 4; ++i) {
              const RowStatistics& row = rows[i / 2];
              scores[j][i] = params.softmax_scale * lane.exp2(scores[j][i] - row.lse) * (gains[j][i] - row.mean_gain);
            }
          }
          multiply_accumulate<Half, Dim, Dim>(lane, scores, key(stage), sum);
        });
    store_rows<Half, Dim>(lane, sum, block.num_rows, params.head_dim, [&](int row) {
      return gradients.grad_query + query_offset(params, block.batch, block.first + row, block.head);
    });
  }
};

// Items: for each sequence and key head its tiles of 64 keys, in slices of columns.
template <class Half, int Dim>
struct SlidingWindowBackwardKeysKernel {
  static constexpr int shared_bytes = backward_keys_shared_bytes<Dim>;
  static constexpr int slices = num_slices<Dim>;
  static constexpr int blocks_side_by_side = backward_blocks<Dim>;

  template <class Lane>
  LOOKBACK_DEVICE static void run(const SlidingWindowParams& params, const SlidingWindowGradients& gradients,
                                  std::int64_t item, Lane lane, std::uint16_t* shared) {
    const int first_column = static_cast<int>(item % num_slices<Dim>) * slice_dim<Dim>;
    item /= num_slices<Dim>;
    const int num_rows = params.num_past + params.num_queries;
    const int num_tiles = tiles_of(num_rows);
    const int first_key = static_cast<int>(item % num_tiles) * tile_rows;
    item /= num_tiles;
    const int kv_head = static_cast<int>(item % params.num_kv_heads);
    const int batch = static_cast<int>(item / params.num_kv_heads);
    const int group_heads = params.num_heads / params.num_kv_heads;

    const SharedTiles<Dim, 2> memory{shared};
    std::uint16_t* const key = shared;
    std::uint16_t* const value = memory.fixed(1);
    const auto query = [memory](int stage) { return memory.first(stage); };
    const auto grad_output = [memory](int stage) { return memory.second(stage); };
    const auto statistics = [memory](std::int64_t stage) {
      return memory.template behind<RowStatistics>() + stage * tile_rows;
    };
    const int num_keys = smaller(tile_rows, num_rows - first_key);

    fetch_keys<Dim>(lane, params, batch, kv_head * group_heads, first_key, key, value);
    float grad_key[slice_dim<Dim> / 8][4] = {};
    float grad_value[slice_dim<Dim> / 8][4] = {};
    walk_tiles<num_stages<Dim>>(
        lane, queries_of_keys(params, first_key, num_keys),
        [&](const TileRange::Visit& visit, int stage) {
          const int head = kv_head * group_heads + visit.repeat;
          const int num_queries = smaller(tile_rows, params.num_queries - visit.first);
          const auto fetch_queries = [&](std::uint16_t* tile, const Rows& rows) {
            fetch_tile<Dim>(lane, tile, num_queries, params.head_dim,
                            [&](int i) { return sequence_row(rows, batch, visit.first + i, head); });
          };
          fetch_queries(query(stage), params.query);
          fetch_queries(grad_output(stage), gradients.grad_output);
          if (lane.thread() >= tile_rows) return;
          // A query that is not there has probability 0.
          RowStatistics found{lane.infinity(), 0};
          if (lane.thread() < num_queries) {
            const std::int64_t place = statistics_offset(params, batch, head) + visit.first + lane.thread();
            found = {params.softmax_lse[place] * log2_e, gradients.mean_gain[place]};
          }
          statistics(stage)[lane.thread()] = found;
        },
        [&](const TileRange::Visit& visit, int stage) {
          if (!warp_has_rows(lane, num_keys)) return;
          const WindowScore window_score(lane, params, kv_head * group_heads + visit.repeat);
          const int distance = params.num_past + visit.first - first_key;
          add_queries<Half, Dim>(
              lane, key, value, query(stage), grad_output(stage), statistics(stage), 1.0F, params.softmax_scale,
              first_column, [&](Product& scores) { window_score.template apply<-1>(lane, scores, distance); }, grad_key,
              grad_value);
        });
    const auto store = [&](const float(&sum)[slice_dim<Dim> / 8][4], std::uint16_t* gradient) {
      store_rows<Half, slice_dim<Dim>>(lane, sum, num_keys, params.head_dim - first_column, [&](int i) {
        const std::int64_t row = (static_cast<std::int64_t>(batch) * num_rows + first_key + i) * params.num_kv_heads;
        return gradient + (row + kv_head) * params.head_dim + first_column;
      });
    };
    store(grad_key, gradients.grad_key);
    store(grad_value, gradients.grad_value);
  }
};

}  // namespace lookback::cuda
