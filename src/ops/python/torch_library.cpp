// The operators for the tensor library's dispatcher, in a shared library that Python loads:
//   torch.ops.load_library("build/release/liblookback_torch.so")
//   torch.ops.lookback.chunk_attention(query, key, value, indices, weights, scale, softmax_off_by_one)
// Each has an implementation for every device, one for shapes alone (meta, fake tensors) and its autograd; the
// backward is an operator too, so that it can be traced.
#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <tuple>

#include "ops/chunk_attention.h"
#include "ops/sliding_window_attention.h"

namespace lookback {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

using FourTensors = std::tuple<Tensor, Tensor, Tensor, Tensor>;
using ThreeTensors = std::tuple<Tensor, Tensor, Tensor>;
using TwoTensors = std::tuple<Tensor, Tensor>;

// Schemas have no undefined tensors: a gradient that nobody asked for has no elements.
Tensor defined(const Tensor& gradient, const Tensor& like) {
  return gradient.defined() ? gradient.contiguous() : at::empty({0}, like.options());
}

Tensor undefined_unless(bool asked, const Tensor& gradient) { return asked ? gradient : Tensor(); }

// What the above gives, for shapes alone.
Tensor empty_like_if(bool asked, const Tensor& like) {
  return asked ? at::empty_symint(like.sym_sizes(), like.options()) : at::empty({0}, like.options());
}

template <typename Signature>
auto operator_named(const char* name) {
  return c10::Dispatcher::singleton().findSchemaOrThrow(name, "").typed<Signature>();
}

Tensor chunk_attention_plain(const Tensor& query, const Tensor& key, const Tensor& value, const Tensor& indices,
                             const Tensor& weights, double scale, bool softmax_off_by_one) {
  const at::NoGradGuard no_gradients;
  return chunk_attention(query, key, value, indices, weights, scale, softmax_off_by_one);
}

Tensor chunk_attention_meta(const Tensor& query, const Tensor& /*key*/, const Tensor& /*value*/,
                            const Tensor& /*indices*/, const Tensor& /*weights*/, double /*scale*/,
                            bool /*softmax_off_by_one*/) {
  return empty_like_if(true, query);
}

FourTensors chunk_attention_backward_plain(const Tensor& grad_output, const Tensor& query, const Tensor& key,
                                           const Tensor& value, const Tensor& indices, const Tensor& weights,
                                           double scale, bool softmax_off_by_one, bool queries, bool chunks) {
  const at::NoGradGuard no_gradients;
  const ChunkAttentionGrads grads = chunk_attention_backward(grad_output, query, key, value, indices, weights, scale,
                                                             softmax_off_by_one, queries, chunks);
  return {defined(grads.query, query), defined(grads.key, key), defined(grads.value, value),
          defined(grads.weights, weights)};
}

FourTensors chunk_attention_backward_meta(const Tensor& /*grad_output*/, const Tensor& query, const Tensor& key,
                                          const Tensor& value, const Tensor& /*indices*/, const Tensor& weights,
                                          double /*scale*/, bool /*softmax_off_by_one*/, bool queries, bool chunks) {
  return {empty_like_if(queries, query), empty_like_if(chunks, key), empty_like_if(chunks, value),
          empty_like_if(queries, weights)};
}

class ChunkAttentionNode : public torch::autograd::Function<ChunkAttentionNode> {
 public:
  static Tensor forward(AutogradContext* context, const Tensor& query, const Tensor& key, const Tensor& value,
                        const Tensor& indices, const Tensor& weights, double scale, bool softmax_off_by_one) {
    const at::AutoDispatchBelowADInplaceOrView below_autograd;
    context->save_for_backward({query, key, value, indices, weights});
    context->saved_data["scale"] = scale;
    context->saved_data["softmax_off_by_one"] = softmax_off_by_one;
    static const auto forward_operator = operator_named<decltype(chunk_attention_plain)>("lookback::chunk_attention");
    return forward_operator.call(query, key, value, indices, weights, scale, softmax_off_by_one);
  }

  static variable_list backward(AutogradContext* context, variable_list grad_outputs) {
    const variable_list saved = context->get_saved_variables();
    const bool queries = context->needs_input_grad(0) || context->needs_input_grad(4);
    const bool chunks = context->needs_input_grad(1) || context->needs_input_grad(2);
    static const auto backward_operator =
        operator_named<decltype(chunk_attention_backward_plain)>("lookback::chunk_attention_backward");
    const auto [query, key, value, weights] = backward_operator.call(
        grad_outputs[0], saved[0], saved[1], saved[2], saved[3], saved[4], context->saved_data["scale"].toDouble(),
        context->saved_data["softmax_off_by_one"].toBool(), queries, chunks);
    return {undefined_unless(queries, query),
            undefined_unless(chunks, key),
            undefined_unless(chunks, value),
            Tensor(),
            undefined_unless(queries, weights),
            Tensor(),
            Tensor()};
  }
};

Tensor chunk_attention_autograd(const Tensor& query, const Tensor& key, const Tensor& value, const Tensor& indices,
                                const Tensor& weights, double scale, bool softmax_off_by_one) {
  return ChunkAttentionNode::apply(query, key, value, indices, weights, scale, softmax_off_by_one);
}

// Schemas have no enumerations.
PositionBias bias_of(bool alibi) { return alibi ? PositionBias::alibi : PositionBias::none; }

Tensor sliding_window_plain(const Tensor& query, const Tensor& key, const Tensor& value, std::int64_t window_size,
                            bool alibi) {
  const at::NoGradGuard no_gradients;
  return sliding_window_attention(query, key, value, window_size, bias_of(alibi)).contiguous();
}

Tensor sliding_window_meta(const Tensor& query, const Tensor& /*key*/, const Tensor& /*value*/,
                           std::int64_t /*window_size*/, bool /*alibi*/) {
  return empty_like_if(true, query);
}

TwoTensors sliding_window_forward_plain(const Tensor& query, const Tensor& key, const Tensor& value,
                                        std::int64_t window_size, bool alibi) {
  const at::NoGradGuard no_gradients;
  const SlidingWindowForward forward = sliding_window_attention_forward(query, key, value, window_size, bias_of(alibi));
  return {forward.output.contiguous(), forward.softmax_lse};
}

TwoTensors sliding_window_forward_meta(const Tensor& query, const Tensor& /*key*/, const Tensor& /*value*/,
                                       std::int64_t /*window_size*/, bool /*alibi*/) {
  return {empty_like_if(true, query), at::empty_symint({query.sym_size(0), query.sym_size(2), query.sym_size(1)},
                                                       query.options().dtype(at::kFloat))};
}

ThreeTensors sliding_window_backward_plain(const Tensor& grad_output, const Tensor& query, const Tensor& key,
                                           const Tensor& value, const Tensor& output, const Tensor& softmax_lse,
                                           std::int64_t window_size, bool queries, bool keys, bool alibi) {
  const at::NoGradGuard no_gradients;
  const SlidingWindowGrads grads = sliding_window_attention_backward(
      grad_output, query, key, value, {output, softmax_lse}, window_size, bias_of(alibi), queries, keys);
  return {defined(grads.query, query), defined(grads.key, key), defined(grads.value, value)};
}

ThreeTensors sliding_window_backward_meta(const Tensor& /*grad_output*/, const Tensor& query, const Tensor& key,
                                          const Tensor& value, const Tensor& /*output*/, const Tensor& /*softmax_lse*/,
                                          std::int64_t /*window_size*/, bool queries, bool keys, bool /*alibi*/) {
  return {empty_like_if(queries, query), empty_like_if(keys, key), empty_like_if(keys, value)};
}

class SlidingWindowNode : public torch::autograd::Function<SlidingWindowNode> {
 public:
  static Tensor forward(AutogradContext* context, const Tensor& query, const Tensor& key, const Tensor& value,
                        std::int64_t window_size, bool alibi) {
    const at::AutoDispatchBelowADInplaceOrView below_autograd;
    static const auto forward_operator =
        operator_named<decltype(sliding_window_forward_plain)>("lookback::sliding_window_attention_forward");
    const auto [output, softmax_lse] = forward_operator.call(query, key, value, window_size, alibi);
    context->save_for_backward({query, key, value, output, softmax_lse});
    context->saved_data["window_size"] = window_size;
    context->saved_data["alibi"] = alibi;
    return output;
  }

  static variable_list backward(AutogradContext* context, variable_list grad_outputs) {
    const variable_list saved = context->get_saved_variables();
    const bool queries = context->needs_input_grad(0);
    const bool keys = context->needs_input_grad(1) || context->needs_input_grad(2);
    static const auto backward_operator =
        operator_named<decltype(sliding_window_backward_plain)>("lookback::sliding_window_attention_backward");
    const auto [query, key, value] = backward_operator.call(grad_outputs[0], saved[0], saved[1], saved[2], saved[3],
                                                            saved[4], context->saved_data["window_size"].toInt(),
                                                            queries, keys, context->saved_data["alibi"].toBool());
    return {undefined_unless(queries, query), undefined_unless(keys, key), undefined_unless(keys, value), Tensor(),
            Tensor()};
  }
};

Tensor sliding_window_autograd(const Tensor& query, const Tensor& key, const Tensor& value, std::int64_t window_size,
                               bool alibi) {
  return SlidingWindowNode::apply(query, key, value, window_size, alibi);
}

}  // namespace

TORCH_LIBRARY(lookback, library) {
  library.def(
      "chunk_attention(Tensor query, Tensor key, Tensor value, Tensor indices, Tensor weights, float scale, "
      "bool softmax_off_by_one) -> Tensor");
  library.def(
      "chunk_attention_backward(Tensor grad_output, Tensor query, Tensor key, Tensor value, Tensor indices, "
      "Tensor weights, float scale, bool softmax_off_by_one, bool queries, bool chunks) "
      "-> (Tensor, Tensor, Tensor, Tensor)");
  library.def(
      "sliding_window_attention(Tensor query, Tensor key, Tensor value, int window_size, bool alibi=True) -> Tensor");
  library.def(
      "sliding_window_attention_forward(Tensor query, Tensor key, Tensor value, int window_size, bool alibi=True) "
      "-> (Tensor, Tensor)");
  library.def(
      "sliding_window_attention_backward(Tensor grad_output, Tensor query, Tensor key, Tensor value, Tensor output, "
      "Tensor softmax_lse, int window_size, bool queries, bool keys, bool alibi=True) -> (Tensor, Tensor, Tensor)");
}

TORCH_LIBRARY_IMPL(lookback, CompositeExplicitAutograd, library) {
  library.impl("chunk_attention", chunk_attention_plain);
  library.impl("chunk_attention_backward", chunk_attention_backward_plain);
  library.impl("sliding_window_attention", sliding_window_plain);
  library.impl("sliding_window_attention_forward", sliding_window_forward_plain);
  library.impl("sliding_window_attention_backward", sliding_window_backward_plain);
}

TORCH_LIBRARY_IMPL(lookback, Meta, library) {
  library.impl("chunk_attention", chunk_attention_meta);
  library.impl("chunk_attention_backward", chunk_attention_backward_meta);
  library.impl("sliding_window_attention", sliding_window_meta);
  library.impl("sliding_window_attention_forward", sliding_window_forward_meta);
  library.impl("sliding_window_attention_backward", sliding_window_backward_meta);
}

TORCH_LIBRARY_IMPL(lookback, Autograd, library) {
  library.impl("chunk_attention", chunk_attention_autograd);
  library.impl("sliding_window_attention", sliding_window_autograd);
}

}  // namespace lookback
