#include "ops/chunk_attention.h"

#include <ATen/Parallel.h>
#include <fmt/ranges.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>

#include "kernels/chunk_attention.h"
#include "ops/chunk_attention_composed.h"
#include "ops/chunk_tensors.h"
#include "ops/cuda_attention.h"
#include "ops/kernel_tensors.h"
#include "ops/tensor_checks.h"

namespace lookback {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// The operator's arguments as the kernels want them: rows contiguous, weights float32.
struct Arguments {
  at::Tensor query, key, value, indices, weights;
  double softmax_scale;
  bool softmax_plus_one;
  at::Tensor key_scales, value_scales;  // with int8 keys and values

  ChunkAttentionParams params() const {
    return {.batch_size = query.size(0),
            .num_chunks = query.size(1),
            .chunk_positions = query.size(2),
            .num_heads = query.size(3),
            .num_kv_heads = key.size(3),
            .head_dim = query.size(4),
            .stored_chunks = key.size(1),
            .chunk_size = key.size(2),
            .top_k = indices.size(2),
            .softmax_scale = static_cast<float>(softmax_scale),
            .softmax_plus_one = softmax_plus_one,
            .query = query_rows(query),
            .key = chunk_rows(key, key_scales),
            .value = chunk_rows(value, value_scales),
            .indices = indices.const_data_ptr<std::int64_t>(),
            .weights = weights.const_data_ptr<float>()};
  }
};

Arguments make_arguments(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                         const at::Tensor& indices, const at::Tensor& weights, double softmax_scale,
                         bool softmax_plus_one) {
  return {with_contiguous_rows(query),
          with_contiguous_rows(key),
          with_contiguous_rows(value),
          indices.contiguous(),
          weights.to(at::kFloat).contiguous(),
          softmax_scale,
          softmax_plus_one,
          at::Tensor(),
          at::Tensor()};
}

// A single position a chunk leaves nothing but to read keys and values once, so it is the retrieved chunks that threads
// divide among themselves.
void decode(const ChunkAttentionParams& params, std::int64_t element_bytes) {
  constexpr std::int64_t chunks_at_a_time = 64;  // bounds the memory of what they add to the output
  constexpr double flops_a_byte = 8;             // that take as long as reading a byte
  const std::int64_t num_chunks = params.batch_size * params.num_chunks;
  const std::int64_t output_size = params.num_heads * params.head_dim;
  const double item_bytes =
      2.0 * static_cast<double>(params.chunk_size * params.num_kv_heads * params.head_dim * element_bytes);
  const at::DataPtr memory = at::getCPUAllocator()->allocate(std::min(num_chunks, chunks_at_a_time) * params.top_k *
                                                             output_size * sizeof(float));
  auto* const partials = static_cast<float*>(memory.get());
  for (std::int64_t start = 0; start < num_chunks; start += chunks_at_a_time) {
    const std::int64_t end = std::min(start + chunks_at_a_time, num_chunks);
    const std::int64_t first_item = start * params.top_k;
    parallel_with_scratch(end * params.top_k - first_item, flops_a_byte * item_bytes,
                          chunk_attention_decode_scratch(params), [&](auto first, auto last, float* scratch) {
                            chunk_attention_decode(params, first_item + first, first_item + last,
                                                   partials + first * output_size, scratch);
                          });
    chunk_attention_sum_partials(params, start, end, partials);
  }
}

at::Tensor run_forward(const Arguments& arguments) {
  at::Tensor output = at::empty(arguments.query.sizes(), arguments.query.options());
  ChunkAttentionParams params = arguments.params();
  params.output = output.mutable_data_ptr<float>();
  if (params.chunk_positions == 1) {
    decode(params, arguments.key.element_size());
    return output;
  }
  parallel_with_scratch(
      chunk_attention_forward_items(params), item_flops(params), chunk_attention_forward_scratch(params),
      [&](auto first, auto last, float* scratch) { chunk_attention_forward(params, first, last, scratch); });
  return output;
}

at::Tensor forward_by_kernel(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                             const at::Tensor& indices, const at::Tensor& weights, double softmax_scale,
                             bool softmax_plus_one) {
  if (has_cuda_kernel(query)) {
    return cuda_chunk_attention_forward(query, key, value, indices, weights, softmax_scale, softmax_plus_one);
  }
  return run_forward(make_arguments(query, key, value, indices, weights, softmax_scale, softmax_plus_one));
}

void backward_by_heads(const ChunkAttentionParams& params, const ChunkAttentionGradients& gradients) {
  parallel_with_scratch(params.batch_size * params.num_kv_heads,
                        2.5 * item_flops(params) * static_cast<double>(params.num_chunks),
                        chunk_attention_backward_scratch(params), [&](auto first, auto last, float* scratch) {
                          chunk_attention_backward_heads(params, gradients, first, last, scratch);
                        });
}

void backward_of_queries(const ChunkAttentionParams& params, const ChunkAttentionGradients& gradients) {
  parallel_with_scratch(chunk_attention_forward_items(params), 1.5 * item_flops(params),
                        chunk_attention_backward_scratch(params), [&](auto first, auto last, float* scratch) {
                          chunk_attention_backward_queries(params, gradients, first, last, scratch);
                        });
}

void backward_of_chunks(const ChunkAttentionParams& params, const ChunkAttentionGradients& gradients) {
  const ChunkReadersList list(params);
  const ChunkReaders readers = list.readers();
  const double reads_each = static_cast<double>(params.num_chunks) / static_cast<double>(params.stored_chunks);
  parallel_with_scratch(params.batch_size * params.num_kv_heads * params.stored_chunks,
                        2 * item_flops(params) * reads_each, chunk_attention_backward_scratch(params),
                        [&](auto first, auto last, float* scratch) {
                          chunk_attention_backward_chunks(params, gradients, readers, first, last, scratch);
                        });
}

class ChunkAttention : public torch::autograd::Function<ChunkAttention> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& query, const at::Tensor& key,
                            const at::Tensor& value, const at::Tensor& indices, const at::Tensor& weights,
                            double softmax_scale, bool softmax_plus_one) {
    context->save_for_backward({query, key, value, indices, weights});
    context->saved_data["scale"] = softmax_scale;
    context->saved_data["plus_one"] = softmax_plus_one;
    return forward_by_kernel(query, key, value, indices, weights, softmax_scale, softmax_plus_one);
  }

  static variable_list backward(AutogradContext* context, variable_list grad_outputs) {
    const variable_list saved = context->get_saved_variables();
    const ChunkAttentionGrads grads = chunk_attention_backward(
        grad_outputs[0], saved[0], saved[1], saved[2], saved[3], saved[4], context->saved_data["scale"].toDouble(),
        context->saved_data["plus_one"].toBool(), context->needs_input_grad(0) || context->needs_input_grad(4),
        context->needs_input_grad(1) || context->needs_input_grad(2));
    return {grads.query, grads.key, grads.value, at::Tensor(), grads.weights, at::Tensor(), at::Tensor()};
  }
};

constexpr const char* query_layout = "[N, C, P, H, D]";
constexpr const char* key_layout = "[N, E, S, Hkv, D]";
constexpr const char* index_layout = "[N, C, K]";

// What holds whatever the element type of keys and values.
void check_shapes(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value, const at::Tensor& indices,
                  const at::Tensor& weights) {
  check_dimensions(query, 5, "query", query_layout);
  check_dimensions(key, 5, "key", key_layout);
  check_dimensions(value, 5, "value", key_layout);
  check_dimensions(indices, 3, "indices", index_layout);
  check_dimensions(weights, 3, "weights", index_layout);
  check_floating(query, "query");
  check_floating(weights, "weights");
  check_same_kind(value, key, "value", "key");
  check_size(key, 0, query.size(0), "key", key_layout);
  check_size(key, 4, query.size(4), "key", key_layout);
  check_size(indices, 0, query.size(0), "indices", index_layout);
  check_size(indices, 1, query.size(1), "indices", index_layout);
  require(value.sizes() == key.sizes(), "value: expected the shape of key [{}], found [{}]",
          fmt::join(key.sizes(), ", "), fmt::join(value.sizes(), ", "));
  require(weights.sizes() == indices.sizes(), "weights: expected the shape of indices [{}], found [{}]",
          fmt::join(indices.sizes(), ", "), fmt::join(weights.sizes(), ", "));
  require(indices.scalar_type() == at::kLong, "indices: expected int64, found {}",
          c10::toString(indices.scalar_type()));
  require(indices.device() == query.device() && weights.device() == query.device(),
          "indices and weights: expected on the device of query ({}), found on {} and {}", query.device().str(),
          indices.device().str(), weights.device().str());
  require(key.size(3) > 0 && query.size(3) % key.size(3) == 0, "key: its {} heads must divide the query's {}",
          key.size(3), query.size(3));
  require(key.size(1) > 0 && key.size(2) > 0, "key: expected at least one chunk of at least one position");
  check_range(indices, -1, key.size(1), "indices");
}

void check_scales(const at::Tensor& scales, const at::Tensor& elements, const char* name) {
  require(scales.defined() && scales.sizes() == elements.sizes().slice(0, 4), "{}: expected [N, E, S, Hkv] [{}]{}",
          name, fmt::join(elements.sizes().slice(0, 4), ", "),
          scales.defined() ? fmt::format(", found [{}]", fmt::join(scales.sizes(), ", ")) : ", found none");
  require(scales.is_cpu() && scales.scalar_type() == at::kFloat, "{}: expected float32 on the CPU, found {} on {}",
          name, c10::toString(scales.scalar_type()), scales.device().str());
}

// bfloat16 or float16 keys and values beside a float32 query.
bool is_compressed(const at::Tensor& query, const at::Tensor& key) {
  return query.is_cpu() && key.is_cpu() && query.scalar_type() == at::kFloat &&
         (key.scalar_type() == at::kBFloat16 || key.scalar_type() == at::kHalf);
}

}  // namespace

at::Tensor chunk_attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                           const at::Tensor& indices, const at::Tensor& weights, double softmax_scale,
                           bool softmax_plus_one) {
  check_shapes(query, key, value, indices, weights);
  const bool gradient = needs_gradient({query, key, value, weights});
  if (is_compressed(query, key)) {
    require(!gradient, "key: {} serves without gradients only; for training expected the type of query (Float)",
            c10::toString(key.scalar_type()));
    if (!has_kernel(query)) {
      return chunk_attention_composed(query, key.to(at::kFloat), value.to(at::kFloat), indices, weights, softmax_scale,
                                      softmax_plus_one);
    }
  } else {
    check_same_kind(key, query, "key", "query");
  }
  if (has_kernel(query) || has_cuda_kernel(query)) {
    if (!gradient) {
      return forward_by_kernel(query, key, value, indices, weights, softmax_scale, softmax_plus_one);
    }
    return ChunkAttention::apply(query, key, value, indices, weights, softmax_scale, softmax_plus_one);
  }
  return chunk_attention_composed(query, key, value, indices, weights, softmax_scale, softmax_plus_one);
}

ChunkAttentionGrads chunk_attention_backward(const at::Tensor& grad_output, const at::Tensor& query,
                                             const at::Tensor& key, const at::Tensor& value, const at::Tensor& indices,
                                             const at::Tensor& weights, double softmax_scale, bool softmax_plus_one,
                                             bool queries, bool chunks) {
  check_shapes(query, key, value, indices, weights);
  check_same_kind(key, query, "key", "query");
  check_same_kind(grad_output, query, "grad_output", "query");
  require(grad_output.sizes() == query.sizes(), "grad_output: expected the shape of query [{}], found [{}]",
          fmt::join(query.sizes(), ", "), fmt::join(grad_output.sizes(), ", "));
  if (has_cuda_kernel(query)) {
    return cuda_chunk_attention_backward(grad_output, query, key, value, indices, weights, softmax_scale,
                                         softmax_plus_one, chunks);
  }
  if (!has_kernel(query)) {
    return chunk_attention_composed_backward(grad_output, query, key, value, indices, weights, softmax_scale,
                                             softmax_plus_one);
  }
  const Arguments arguments = make_arguments(query, key, value, indices, weights, softmax_scale, softmax_plus_one);
  const ChunkAttentionParams params = arguments.params();
  const at::Tensor grad_rows = with_contiguous_rows(grad_output);
  const at::TensorOptions options = grad_rows.options();
  ChunkAttentionGrads grads;
  ChunkAttentionGradients gradients{.grad_output = query_rows(grad_rows)};
  if (queries) {
    grads.query = at::empty(arguments.query.sizes(), options);
    grads.weights = at::empty({params.batch_size, params.num_chunks, params.top_k, params.num_kv_heads}, options);
    gradients.grad_query = grads.query.mutable_data_ptr<float>();
    gradients.grad_weights = grads.weights.mutable_data_ptr<float>();
  }
  if (chunks) {
    grads.key = at::zeros(arguments.key.sizes(), options);
    grads.value = at::zeros(arguments.value.sizes(), options);
    gradients.grad_key = grads.key.mutable_data_ptr<float>();
    gradients.grad_value = grads.value.mutable_data_ptr<float>();
  }
  if (queries && chunks && one_pass_is_faster(params.batch_size * params.num_kv_heads)) {
    backward_by_heads(params, gradients);
  } else {
    if (queries) backward_of_queries(params, gradients);
    if (chunks) backward_of_chunks(params, gradients);
  }
  if (queries) grads.weights = grads.weights.sum(-1).to(weights.scalar_type());
  return grads;
}

at::Tensor chunk_attention(const at::Tensor& query, const ScaledChunks& key, const ScaledChunks& value,
                           const at::Tensor& indices, const at::Tensor& weights, double softmax_scale,
                           bool softmax_plus_one) {
  check_shapes(query, key.elements, value.elements, indices, weights);
  require(key.elements.scalar_type() == at::kChar, "key: expected int8, found {}",
          c10::toString(key.elements.scalar_type()));
  require(query.is_cpu() && key.elements.is_cpu() && query.scalar_type() == at::kFloat,
          "query: beside int8 keys expected float32 on the CPU, found {} on {}", c10::toString(query.scalar_type()),
          query.device().str());
  check_scales(key.scales, key.elements, "key scales");
  check_scales(value.scales, value.elements, "value scales");
  require(!needs_gradient({query, weights, key.scales, value.scales}), "query: int8 keys serve without gradients only");
  if (!has_kernel(query)) {
    const auto floats = [](const ScaledChunks& chunks) { return chunks.elements * chunks.scales.unsqueeze(-1); };
    return chunk_attention_composed(query, floats(key), floats(value), indices, weights, softmax_scale,
                                    softmax_plus_one);
  }
  Arguments arguments =
      make_arguments(query, key.elements, value.elements, indices, weights, softmax_scale, softmax_plus_one);
  arguments.key_scales = key.scales.contiguous();
  arguments.value_scales = value.scales.contiguous();
  return run_forward(arguments);
}

bool reads_compressed_chunks(const at::TensorOptions& query, std::int64_t head_dim) {
  return query.device().is_cpu() && query.dtype() == at::kFloat && has_kernel_head_dim(head_dim) &&
         !ComposedOperators::active();
}

}  // namespace lookback
