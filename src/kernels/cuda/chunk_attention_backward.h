// Backward of attention to retrieved chunks, in two passes without atomic additions, so that each sum has one order:
// over queries (gradients of queries and weights), then over stored chunks (gradients of keys and values), whose
// queries the inverted index names. With p the probabilities, g = d loss / d output . value and w the weight:
//   d loss / d weight = sum of p g,  d loss / d score = w p (g - sum of p g),  d loss / d value = w p^T (d loss / d
//   output).
#pragma once

#include "kernels/cuda/chunk_attention_forward.h"

namespace lookback::cuda {

// Items as forward's. A chunk of more than 64 positions is gone through three times: for the softmax's denominator, for
// the mean gain, for the gradients.
template <class Half, int Dim>
struct ChunkAttentionBackwardQueriesKernel {
  static constexpr int shared_bytes = SharedTiles<Dim, 2>::bytes + block_threads / 32 * static_cast<int>(sizeof(float));
  static constexpr int slices = 1;
  static constexpr int blocks_side_by_side = backward_blocks<Dim>;

  template <class Lane>
  LOOKBACK_DEVICE static void run(const ChunkAttentionParams& params, const ChunkAttentionGradients& gradients,
                                  std::int64_t item, Lane lane, std::uint16_t* shared) {
    const QueryBlock block(params, item);
    const SharedTiles<Dim, 2> memory{shared};
    std::uint16_t* const query = shared;
    std::uint16_t* const grad_output = memory.fixed(1);
    const auto key = [memory](int stage) { return memory.first(stage); };
    const auto value = [memory](int stage) { return memory.second(stage); };
    float* const warp_gains = memory.template behind<float>();
    const int num_rows = smaller(tile_rows, query_rows(params) - block.tile * tile_rows);
    const std::int64_t retrieval =
        (static_cast<std::int64_t>(block.batch) * params.num_chunks + block.chunk) * params.top_k;
    const int num_tiles = tiles_of(params.chunk_size);
    const bool one_tile = num_tiles == 1;
    const int last_pass = one_tile ? 0 : 2;
    const RetrievedTiles tiles{params.indices + retrieval, params.top_k, num_tiles, last_pass + 1};
    const float scale = params.softmax_scale * log2_e;

    const auto fetch_queries = [&](std::uint16_t* tile, const Rows& rows) {
      fetch_tile<Dim>(lane, tile, num_rows, params.head_dim, [&](int i) {
        return QueryPlace(params, block.kv_head, block.tile, i).in(rows, block.batch, block.chunk);
      });
    };
    check_indices(lane, params, tiles.indices);
    fetch_queries(query, params.query);
    fetch_queries(grad_output, gradients.grad_output);
    float sum[Dim / 8][4] = {};
    RunningSoftmax softmax;
    float gain[2] = {};  // of this lane's two rows, over the chunk's keys

    const auto add_tile = [&](const RetrievedTiles::Visit& visit, int stage) {
      Product scores;
      multiply_transposed<Half, Dim>(lane, query, key(stage), scores);
      scale_scores(lane, scores, scale, params.chunk_size - visit.tile * tile_rows);
      if (visit.pass == 0) {
        if (visit.tile == 0) {
          softmax.start(params.softmax_plus_one, -lane.infinity());
          gain[0] = gain[1] = 0;
        }
        float rescale[2];
        softmax.add(lane, scores, rescale);
        if (!one_tile) return;
      }
      Product gains;
      multiply_transposed<Half, Dim>(lane, grad_output, value(stage), gains);
      if (!one_tile) exponentials(lane, scores, softmax);
      const float inverse[2] = {1 / softmax.sum[0], 1 / softmax.sum[1]};
      for (auto& columns : scores) {
        for (int i = 0; i < 4; ++i) columns[i] *= inverse[i / 2];
      }
      if (one_tile || visit.pass == 1) {
        for (int r = 0; r < 2; ++r) {
          float total = 0;
          for (int j = 0; j < tile_rows / 8; ++j) {
            for (int i = 2 * r; i < 2 * r + 2; ++i) total += scores[j][i] * gains[j][i];
          }
          gain[r] += sum_of_row(lane, total);
        }
      }
      if (visit.pass == last_pass) {
        const float factor = params.weights[retrieval + visit.slot] * params.softmax_scale;
        for (int j = 0; j < tile_rows / 8; ++j) {
          for (int i = 0; i < 4; ++i) scores[j][i] *= factor * (gains[j][i] - gain[i / 2]);
        }
        multiply_accumulate<Half, Dim, Dim>(lane, scores, key(stage), sum);
      }
    };

    const auto finish_chunk = [&](int slot) {
      float total = gain[0] + gain[1];
      for (int mask = 4; mask < 32; mask *= 2) total += lane.shuffle_xor(total, mask);
      if (lane.in_warp() == 0) warp_gains[lane.warp()] = total;
      for (int r = 0; r < 2; ++r) {
        const int i = product_row(lane, 2 * r);
        if (lane.in_warp() % 4 != 0 || i >= num_rows) continue;
        const QueryPlace place(params, block.kv_head, block.tile, i);
        const std::int64_t row = ((retrieval + slot) * params.num_heads + place.head) * params.chunk_positions;
        gradients.statistics[row + place.position] = {softmax.lse(lane, r), gain[r]};
      }
      lane.sync();
      if (lane.thread() == 0) {
        float all = 0;
        for (int warp = 0; warp < block_threads / 32; ++warp) all += warp_gains[warp];
        const std::int64_t share = (retrieval + slot) * params.num_kv_heads + block.kv_head;
        gradients.grad_weights[share * query_tiles(params) + block.tile] = all;
      }
    };

    walk_tiles<num_stages<Dim>>(
        lane, tiles,
        [&](const RetrievedTiles::Visit& visit, int stage) {
          fetch_stored_tiles<Dim>(lane, params, block.batch, tiles.indices[visit.slot], block.kv_head,
                                  visit.tile * tile_rows, key(stage), value(stage));
        },
        [&](const RetrievedTiles::Visit& visit, int stage) {
          if (warp_has_rows(lane, num_rows)) add_tile(visit, stage);
          if (visit.pass == last_pass && visit.tile == num_tiles - 1) finish_chunk(visit.slot);
        });
    store_rows<Half, Dim>(lane, sum, num_rows, params.head_dim, [&](int i) {
      return gradients.grad_query +
             QueryPlace(params, block.kv_head, block.tile, i).offset(params, block.batch, block.chunk);
    });
  }
};

// The tiles of queries that read a stored chunk.
struct ReaderTiles {
  const std::int64_t* reads;
  std::int64_t end;
  int num_tiles;
  std::int64_t begin;

  struct Visit {
    std::int64_t read;
    int tile;
  };

  LOOKBACK_DEVICE bool has(const Visit& visit) const { return visit.read < end; }
  LOOKBACK_DEVICE Visit first() const { return {begin, 0}; }
  LOOKBACK_DEVICE Visit next(const Visit& visit) const {
    return visit.tile + 1 < num_tiles ? Visit{visit.read, visit.tile + 1} : Visit{visit.read + 1, 0};
  }
};

// The columns of key and value gradients that one block sums: two accumulators of them must fit into registers.
template <int Dim>
constexpr int slice_dim = Dim <= 128 ? Dim : 128;
template <int Dim>
constexpr int num_slices = Dim / slice_dim<Dim>;

template <int Dim>
constexpr int backward_keys_shared_bytes =
    SharedTiles<Dim, 2>::bytes + num_stages<Dim> * tile_rows * static_cast<int>(sizeof(RowStatistics));

// The sums over a tile of queries for a block's 64 keys: scale(products) makes scores to base 2 of the products
// [key, query], exp2(score - lse) is the probability p, and grad_value += factor p (grad_output), grad_key +=
// factor scale p (g - mean gain) (query).
template <class Half, int Dim, class Lane, class Scale>
LOOKBACK_DEVICE void add_queries(Lane lane, const std::uint16_t* key, const std::uint16_t* value,
                                 const std::uint16_t* query, const std::uint16_t* grad_output,
                                 const RowStatistics* statistics, float factor, float softmax_scale, int first_column,
                                 Scale scale, float (&grad_key)[slice_dim<Dim> / 8][4],
                                 float (&grad_value)[slice_dim<Dim> / 8][4]) {
  Product scores;
  Product gains;
  multiply_transposed<Half, Dim>(lane, key, query, scores);
  multiply_transposed<Half, Dim>(lane, value, grad_output, gains);
  scale(scores);
  for (int j = 0; j < tile_rows / 8; ++j) {
    for (int i = 0; i < 4; ++i) {
      const RowStatistics& row = statistics[product_column(lane, j, i)];
      const float share = factor * lane.exp2(scores[j][i] - row.lse);
      gains[j][i] = softmax_scale * share * (gains[j][i] - row.mean_gain);
      scores[j][i] = share;
    }
  }
  multiply_accumulate<Half, Dim, slice_dim<Dim>>(lane, scores, grad_output + first_column, grad_value);
  multiply_accumulate<Half, Dim, slice_dim<Dim>>(lane, gains, query + first_column, grad_key);
}

// Items: for each sequence, stored chunk and key head its tiles of 64 keys, in slices of columns.
template <class Half, int Dim>
struct ChunkAttentionBackwardChunksKernel {
  static constexpr int shared_bytes = backward_keys_shared_bytes<Dim>;
  static constexpr int slices = num_slices<Dim>;
  static constexpr int blocks_side_by_side = backward_blocks<Dim>;

  template <class Lane>
  LOOKBACK_DEVICE static void run(const ChunkAttentionParams& params, const ChunkAttentionGradients& gradients,
                                  std::int64_t item, Lane lane, std::uint16_t* shared) {
    const int slice = static_cast<int>(item % num_slices<Dim>);
    item /= num_slices<Dim>;
    const int num_tiles = tiles_of(params.chunk_size);
    const int first_key = static_cast<int>(item % num_tiles) * tile_rows;
    item /= num_tiles;
    const int kv_head = static_cast<int>(item % params.num_kv_heads);
    item /= params.num_kv_heads;  // now n E + e
    const int chunk = static_cast<int>(item % params.stored_chunks);
    const int batch = static_cast<int>(item / params.stored_chunks);

    const SharedTiles<Dim, 2> memory{shared};
    std::uint16_t* const key = shared;
    std::uint16_t* const value = memory.fixed(1);
    const auto query = [memory](int stage) { return memory.first(stage); };
    const auto grad_output = [memory](int stage) { return memory.second(stage); };
    const auto statistics = [memory](std::int64_t stage) {
      return memory.template behind<RowStatistics>() + stage * tile_rows;
    };
    const int num_keys = smaller(tile_rows, params.chunk_size - first_key);
    const ReaderTiles tiles{gradients.reads, gradients.read_offsets[item + 1], query_tiles(params),
                            gradients.read_offsets[item]};
    const std::int64_t retrievals = static_cast<std::int64_t>(batch) * params.num_chunks * params.top_k;
    const float scale = params.softmax_scale * log2_e;

    fetch_stored_tiles<Dim>(lane, params, batch, chunk, kv_head, first_key, key, value);
    float grad_key[slice_dim<Dim> / 8][4] = {};
    float grad_value[slice_dim<Dim> / 8][4] = {};
    walk_tiles<num_stages<Dim>>(
        lane, tiles,
        [&](const ReaderTiles::Visit& visit, int stage) {
          const std::int64_t read = tiles.reads[visit.read];
          const int reader = static_cast<int>(read) / params.top_k;
          const int num_rows = smaller(tile_rows, query_rows(params) - visit.tile * tile_rows);
          const auto fetch_queries = [&](std::uint16_t* tile, const Rows& rows) {
            fetch_tile<Dim>(lane, tile, num_rows, params.head_dim,
                            [&](int i) { return QueryPlace(params, kv_head, visit.tile, i).in(rows, batch, reader); });
          };
          fetch_queries(query(stage), params.query);
          fetch_queries(grad_output(stage), gradients.grad_output);
          if (lane.thread() >= tile_rows) return;
          // A query that is not there has probability 0.
          RowStatistics found{lane.infinity(), 0};
          if (lane.thread() < num_rows) {
            const QueryPlace place(params, kv_head, visit.tile, lane.thread());
            const std::int64_t row = ((retrievals + read) * params.num_heads + place.head) * params.chunk_positions;
            found = gradients.statistics[row + place.position];
          }
          statistics(stage)[lane.thread()] = found;
        },
        [&](const ReaderTiles::Visit& visit, int stage) {
          if (!warp_has_rows(lane, num_keys)) return;
          const float weight = params.weights[retrievals + tiles.reads[visit.read]];
          add_queries<Half, Dim>(
              lane, key, value, query(stage), grad_output(stage), statistics(stage), weight, params.softmax_scale,
              slice * slice_dim<Dim>,
              [scale](Product& scores) {
                for (auto& columns : scores) {
                  for (float& score : columns) score *= scale;
                }
              },
              grad_key, grad_value);
        });
    const auto store = [&](const float(&sum)[slice_dim<Dim> / 8][4], std::uint16_t* gradient) {
      const int first_column = slice * slice_dim<Dim>;
      store_rows<Half, slice_dim<Dim>>(lane, sum, num_keys, params.head_dim - first_column, [&](int i) {
        const std::int64_t group = static_cast<std::int64_t>(batch) * params.stored_chunks + chunk;
        const std::int64_t row = (group * params.chunk_size + first_key + i) * params.num_kv_heads + kv_head;
        return gradient + row * params.head_dim + first_column;
      });
    };
    store(grad_key, gradients.grad_key);
    store(grad_value, gradients.grad_value);
  }
};

}  // namespace lookback::cuda
