// Attention to retrieved chunks, forward (arXiv 2410.01651, section 3.3): output = sum over the K retrieved chunks of
// weight x softmax(scale q K^T) V.
//
// A block has 64 queries that share a key head and a chunk of queries, and goes through the chunks that these
// retrieved, 64 keys at a time. Probabilities stay in registers. A chunk of more than 64 positions is gone through
// twice, first for its softmax's denominator.
#pragma once

#include "kernels/cuda/attention_params.h"
#include "kernels/cuda/tile.h"

namespace lookback::cuda {

// A block of queries: forward's and the query pass's item.
struct QueryBlock {
  int tile, kv_head, chunk, batch;

  LOOKBACK_DEVICE QueryBlock(const ChunkAttentionParams& params, std::int64_t item) {
    const int num_tiles = query_tiles(params);
    tile = static_cast<int>(item % num_tiles);
    item /= num_tiles;
    kv_head = static_cast<int>(item % params.num_kv_heads);
    item /= params.num_kv_heads;
    chunk = static_cast<int>(item % params.num_chunks);
    batch = static_cast<int>(item / params.num_chunks);
  }
};

// Row i of tile `tile` of the queries of a key head.
struct QueryPlace {
  int head, position;

  LOOKBACK_DEVICE QueryPlace(const ChunkAttentionParams& params, int kv_head, int tile, int i) {
    const int row = tile * tile_rows + i;
    head = kv_head;
    position = row;
    if (params.num_heads == params.num_kv_heads) return;  // spares most models the divisions
    head = kv_head * (params.num_heads / params.num_kv_heads) + row / params.chunk_positions;
    position = row % params.chunk_positions;
  }

  LOOKBACK_DEVICE const std::uint16_t* in(const Rows& rows, int batch, int chunk) const {
    return rows.data + batch * rows.batch_stride + chunk * rows.group_stride + position * rows.row_stride +
           head * rows.head_stride;
  }

  // In a contiguous [N, C, P, H, D].
  LOOKBACK_DEVICE std::int64_t offset(const ChunkAttentionParams& params, int batch, int chunk) const {
    const std::int64_t group = static_cast<std::int64_t>(batch) * params.num_chunks + chunk;
    return ((group * params.chunk_positions + position) * params.num_heads + head) * params.head_dim;
  }
};

// 64 keys and values of a stored chunk, from position `first` on, into two tiles.
template <int Dim, class Lane>
LOOKBACK_DEVICE void fetch_stored_tiles(Lane lane, const ChunkAttentionParams& params, int batch, std::int64_t chunk,
                                        int kv_head, int first, std::uint16_t* key, std::uint16_t* value) {
  const int num_keys = smaller(tile_rows, params.chunk_size - first);
  const auto fetch = [&](std::uint16_t* tile, const Rows& rows) {
    const std::uint16_t* const begin = rows.data + batch * rows.batch_stride + chunk * rows.group_stride +
                                       first * rows.row_stride + kv_head * rows.head_stride;
    fetch_tile<Dim>(lane, tile, num_keys, params.head_dim, [&](int i) { return begin + i * rows.row_stride; });
  };
  fetch(key, params.key);
  fetch(value, params.value);
}

// The key tiles that a block of queries goes through: of each retrieved chunk all tiles, num_passes times.
struct RetrievedTiles {
  const std::int64_t* indices;  // [K]
  int top_k, num_tiles, num_passes;

  struct Visit {
    int slot, pass, tile;
  };

  LOOKBACK_DEVICE bool has(const Visit& visit) const { return visit.slot < top_k; }

  LOOKBACK_DEVICE int retrieved_slot(int slot) const {
    while (slot < top_k && indices[slot] < 0) ++slot;
    return slot;
  }

  LOOKBACK_DEVICE Visit first() const { return {retrieved_slot(0), 0, 0}; }

  LOOKBACK_DEVICE Visit next(Visit visit) const {
    if (++visit.tile < num_tiles) return visit;
    visit.tile = 0;
    if (++visit.pass < num_passes) return visit;
    return {retrieved_slot(visit.slot + 1), 0, 0};
  }
};

// Scores to base 2; keys beyond the chunk's last get none.
template <class Lane>
LOOKBACK_DEVICE void scale_scores(Lane lane, Product& scores, float scale, int num_keys) {
  for (auto& columns : scores) {
    for (float& score : columns) score *= scale;
  }
  if (num_keys >= tile_rows) return;
  for (int j = 0; j < tile_rows / 8; ++j) {
    for (int i = 0; i < 4; ++i) {
      if (product_column(lane, j, i) >= num_keys) scores[j][i] = -lane.infinity();
    }
  }
}

// What the passes after the first make of a chunk's scores: exp2(score - largest), as the first one leaves them.
template <class Lane>
LOOKBACK_DEVICE void exponentials(Lane lane, Product& scores, const RunningSoftmax& softmax) {
  for (auto& columns : scores) {
    for (int i = 0; i < 4; ++i) columns[i] = lane.exp2(columns[i] - softmax.largest[i / 2]);
  }
}

// Every index names a stored chunk, or none.
template <class Lane>
LOOKBACK_DEVICE void check_indices(Lane lane, const ChunkAttentionParams& params, const std::int64_t* indices) {
  for (int k = lane.thread(); k < params.top_k; k += block_threads) {
    lane.require(indices[k] >= -1 && indices[k] < params.stored_chunks,
                 "indices: expected -1 to the number of stored chunks - 1");
  }
}

template <class Half, int Dim>
struct ChunkAttentionForwardKernel {
  static constexpr int shared_bytes = SharedTiles<Dim, 1>::bytes;
  static constexpr int slices = 1;
  static constexpr int blocks_side_by_side = forward_blocks<Dim>;

  template <class Lane>
  LOOKBACK_DEVICE static void run(const ChunkAttentionParams& params, std::int64_t item, Lane lane,
                                  std::uint16_t* shared) {
    const QueryBlock block(params, item);
    const SharedTiles<Dim, 1> memory{shared};
    std::uint16_t* const query = shared;
    const auto key = [memory](int stage) { return memory.first(stage); };
    const auto value = [memory](int stage) { return memory.second(stage); };
    const int num_rows = smaller(tile_rows, query_rows(params) - block.tile * tile_rows);
    const std::int64_t retrieval =
        (static_cast<std::int64_t>(block.batch) * params.num_chunks + block.chunk) * params.top_k;
    const int num_tiles = tiles_of(params.chunk_size);
    const bool one_tile = num_tiles == 1;
    const RetrievedTiles tiles{params.indices + retrieval, params.top_k, num_tiles, one_tile ? 1 : 2};
    const float scale = params.softmax_scale * log2_e;

    check_indices(lane, params, tiles.indices);
    fetch_tile<Dim>(lane, query, num_rows, params.head_dim, [&](int i) {
      return QueryPlace(params, block.kv_head, block.tile, i).in(params.query, block.batch, block.chunk);
    });
    float sum[Dim / 8][4] = {};
    RunningSoftmax softmax;
    walk_tiles<num_stages<Dim>>(
        lane, tiles,
        [&](const RetrievedTiles::Visit& visit, int stage) {
          fetch_stored_tiles<Dim>(lane, params, block.batch, tiles.indices[visit.slot], block.kv_head,
                                  visit.tile * tile_rows, key(stage), value(stage));
        },
        [&](const RetrievedTiles::Visit& visit, int stage) {
          if (!warp_has_rows(lane, num_rows)) return;
          Product scores;
          multiply_transposed<Half, Dim>(lane, query, key(stage), scores);
          scale_scores(lane, scores, scale, params.chunk_size - visit.tile * tile_rows);
          if (visit.pass == 0) {
            if (visit.tile == 0) softmax.start(params.softmax_plus_one, -lane.infinity());
            float rescale[2];
            softmax.add(lane, scores, rescale);
            if (!one_tile) return;
          }
          if (!one_tile) exponentials(lane, scores, softmax);
          const float weight = params.weights[retrieval + visit.slot];
          const float factor[2] = {weight / softmax.sum[0], weight / softmax.sum[1]};
          for (auto& columns : scores) {
            for (int i = 0; i < 4; ++i) columns[i] *= factor[i / 2];
          }
          multiply_accumulate<Half, Dim, Dim>(lane, scores, value(stage), sum);
        });
    store_rows<Half, Dim>(lane, sum, num_rows, params.head_dim, [&](int i) {
      return params.output + QueryPlace(params, block.kv_head, block.tile, i).offset(params, block.batch, block.chunk);
    });
  }
};

}  // namespace lookback::cuda
