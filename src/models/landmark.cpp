#include "models/landmark.h"

#include <algorithm>
#include <cmath>

#include "memory/chunk_memory.h"
#include "models/kind.h"
#include "models/layer_sizes.h"
#include "models/packed_rows.h"
#include "models/window_layer.h"
#include "ops/landmark_attention.h"
#include "ops/landmark_blocks.h"
#include "ops/parallel.h"

namespace lookback {
namespace {

// Keys and values of finished blocks' text, keys of their landmarks; and all of the unfinished block.
class LandmarkState : public LayerState {
 public:
  LandmarkState(const ModelConfig& config, const at::TensorOptions& options) : config_(config) {
    unfinished_key = at::empty({0, config.num_kv_heads, config.head_dim()}, options);
    unfinished_value = unfinished_key;
  }

  std::unique_ptr<LayerState> copy() const override {
    // Tensors that are replaced, never written to, are shared.
    auto copy = std::make_unique<LandmarkState>(config_, unfinished_key.options());
    copy->blocks = blocks.fork();
    copy->unfinished_key = unfinished_key;
    copy->unfinished_value = unfinished_value;
    return copy;
  }
  std::int64_t memory_bytes() const override { return blocks.bytes(); }
  std::int64_t window_bytes() const override {
    return static_cast<std::int64_t>(unfinished_key.nbytes() + unfinished_value.nbytes());
  }
  void save(NamedTensors& state, const std::string& name) const override {
    save_chunks(state, name + ".blocks", blocks);
    state.emplace_back(name + ".unfinished_key", unfinished_key);
    state.emplace_back(name + ".unfinished_value", unfinished_value);
  }
  void restore(StateReader& reader, const std::string& name, std::int64_t num_positions) override {
    const std::int64_t block_size = config_.chunk_size + 1;
    blocks = reader.take_chunks(name + ".blocks", num_positions / block_size,
                                {config_.chunk_size, config_.num_kv_heads, config_.head_dim()},
                                config_.num_kv_heads * config_.head_dim());
    const std::vector<std::int64_t> shape = {num_positions % block_size, config_.num_kv_heads, config_.head_dim()};
    unfinished_key = reader.take(name + ".unfinished_key", shape);
    unfinished_value = reader.take(name + ".unfinished_value", shape);
  }

  ChunkMemory blocks;
  at::Tensor unfinished_key, unfinished_value;  // [fewer than P, Hkv, D]

 private:
  const ModelConfig& config_;
};

class LandmarkLayer : public StackLayer {
 public:
  LandmarkLayer(LlamaLayer layer, const ModelConfig& config) : layer_(std::move(layer)), config_(config) {}

  at::Tensor forward(const at::Tensor& x, const AttentionWindow&, bool training) const override {
    const AttentionHeads heads = attention_heads(layer_, x);
    LandmarkAttentionSizes sizes = sizes_of_inference();
    if (training) sizes.top_k = 0;
    const at::Tensor attended =
        add_attention(layer_, x, landmark_attention(heads.query, heads.key, heads.value, sizes));
    return mlp_block(layer_, attended, attended);
  }

  at::Tensor step(const at::Tensor& x, const AttentionWindow&, const std::vector<StepRows>& sequences) const override {
    const AttentionHeads heads = attention_heads(layer_, x);
    std::vector<at::Tensor> mixed(sequences.size());
    for_each_in_parallel(sequences.size(), [&](std::size_t i) {
      const StepRows& one = sequences[i];
      const auto rows = [&one](const at::Tensor& all) { return all.narrow(0, one.first_row, one.num_rows); };
      mixed[i] = attend({rows(heads.query), rows(heads.key), rows(heads.value)}, one.first_position,
                        static_cast<LandmarkState&>(*one.state));
    });
    const at::Tensor attended = add_attention(layer_, x, join_rows(mixed));
    return mlp_block(layer_, attended, attended);
  }

  std::unique_ptr<LayerState> new_state(const at::TensorOptions& options) const override {
    return std::make_unique<LandmarkState>(config_, options);
  }
  std::optional<std::int64_t> reach() const override { return std::nullopt; }

 private:
  LandmarkAttentionSizes sizes_of_inference() const {
    return {config_.chunk_size + 1, config_.window_size, config_.top_k};
  }

  // New positions' heads [T, ...] -> what they attend to [T, H, D]; the state moves on.
  at::Tensor attend(const AttentionHeads& heads, std::int64_t first_position, LandmarkState& state) const {
    const std::int64_t block_size = config_.chunk_size + 1;
    const std::int64_t first_block = first_position / block_size;
    const std::int64_t first_slot = first_position % block_size;
    const at::Tensor key = at::cat({state.unfinished_key, heads.key});  // from the first block's begin on
    const at::Tensor value = at::cat({state.unfinished_value, heads.value});
    const std::int64_t end = key.size(0);
    const std::int64_t num_full = end / block_size;
    if (num_full > 0) {
      const auto full = [&](const at::Tensor& rows) {
        return rows.narrow(0, 0, num_full * block_size).unflatten(0, {num_full, block_size});
      };
      const auto text = [&](const at::Tensor& rows) { return full(rows).narrow(1, 0, config_.chunk_size); };
      state.blocks.append({text(key), text(value), full(key).select(1, config_.chunk_size).flatten(1)});
    }
    std::vector<at::Tensor> mixed;
    for (std::int64_t begin = 0; begin < end; begin += block_size) {
      const std::int64_t num_keys = std::min(block_size, end - begin);
      const std::int64_t skipped = std::max<std::int64_t>(0, first_slot - begin);  // positions read before
      const auto own = [&](const at::Tensor& rows) {
        return rows.narrow(0, begin, num_keys).unsqueeze(0).unsqueeze(0);
      };
      const at::Tensor query = heads.query.narrow(0, begin + skipped - first_slot, num_keys - skipped);
      const LandmarkQueries queries{query.unsqueeze(0).unsqueeze(0), own(key), own(value),
                                    first_block + begin / block_size};
      mixed.push_back(read_blocks(queries, state.blocks));
    }
    const std::int64_t rest = end - num_full * block_size;
    // Copies, so that a long segment is not kept alive by its last positions.
    state.unfinished_key = key.narrow(0, end - rest, rest).clone();
    state.unfinished_value = value.narrow(0, end - rest, rest).clone();
    return join_rows(mixed);
  }

  // Fetches the blocks that any of the queries reads, and attends to them: [T, H, D].
  at::Tensor read_blocks(const LandmarkQueries& queries, const ChunkMemory& memory) const {
    const LandmarkAttentionSizes sizes = sizes_of_inference();
    const std::int64_t num_before = queries.first_block;
    const at::TensorOptions options = queries.query.options();
    const std::vector<std::int64_t> heads = {config_.num_kv_heads, config_.head_dim()};
    LandmarkBlocks blocks;
    blocks.index = at::arange(num_before, options.dtype(at::kLong));
    if (num_before == 0) {
      blocks.landmark = at::empty({1, 0, heads[0], heads[1]}, options);
      blocks.key = blocks.value = at::empty({1, 0, config_.chunk_size, heads[0], heads[1]}, options);
      return attend_to_blocks(queries, blocks, readable_blocks(queries, blocks, sizes), sizes).flatten(0, 2);
    }
    std::vector<at::Tensor> landmarks;
    for (const ChunkMemory::Block& block : memory.blocks()) landmarks.push_back(block.landmarks);
    blocks.landmark = join_rows(landmarks).narrow(0, 0, num_before).unflatten(1, heads).unsqueeze(0);
    const at::Tensor readable = readable_blocks(queries, blocks, sizes);
    const at::Tensor read = readable.flatten(0, 3).any(0).nonzero().squeeze(1);
    const FetchedChunks fetched = memory.fetch(read, {}, false).at(0);
    // Chunks come in ascending order, as in `read`.
    blocks.key = fetched.key.unsqueeze(0);
    blocks.value = fetched.value.unsqueeze(0);
    blocks.landmark = blocks.landmark.index_select(1, read);
    blocks.index = read;
    const std::int64_t num_keys = queries.key.size(2);
    const std::int64_t first_query = queries.first_block * sizes.block_size + num_keys - queries.query.size(2);
    const std::int64_t num_beyond = num_blocks_beyond_window(num_before, first_query, sizes);
    blocks.num_beyond_window = read.lt(num_beyond).sum().item<std::int64_t>();
    return attend_to_blocks(queries, blocks, readable.index_select(-1, read), sizes).flatten(0, 2);
  }

  LlamaLayer layer_;
  const ModelConfig& config_;
};

StackLayers make_landmark_layers(ParameterSet& parameters, const ModelConfig& config) {
  StackLayers layers;
  for (std::int64_t i = 0; i < config.num_layers; ++i) {
    layers.push_back(std::make_unique<LandmarkLayer>(
        make_llama_layer(parameters, layer_prefix(i), decoder_layer_sizes(config)), config));
  }
  return layers;
}

// Training with landmarks reads all that came before.
double landmark_flops(const ModelConfig& config, std::int64_t length) {
  const auto chunk_size = static_cast<double>(config.chunk_size);
  const double positions = std::ceil(static_cast<double>(length) / chunk_size) * (chunk_size + 1);
  return layer_flops(config, static_cast<double>(config.num_layers), positions, positions) +
         convolution_flops(config, config.num_layers, positions);
}

double landmark_memory_elements(const ModelConfig& config) {
  const std::int64_t row = config.num_layers * config.num_kv_heads * config.head_dim();
  return static_cast<double>((2 * config.chunk_size + 1) * row) / static_cast<double>(config.chunk_size);
}

// The unfinished block.
std::int64_t landmark_window_elements(const ModelConfig& config) {
  return key_value_elements(config, config.num_layers, config.chunk_size) +
         convolution_elements(config, config.num_layers);
}

}  // namespace

constinit const Kind landmark_kind{.name = "landmark",
                                   .make = make_stack<make_landmark_layers>,
                                   .has_landmarks = true,
                                   .has_windows = false,
                                   .cost = {.flops = landmark_flops,
                                            .memory_elements = landmark_memory_elements,
                                            .window_elements = landmark_window_elements}};

}  // namespace lookback
