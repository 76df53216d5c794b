#include "train/batch_loss.h"

#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <limits>

#include "core/error.h"
#include "models/device.h"
#include "ops/linear_cross_entropy.h"

namespace lookback {
namespace {

// Before the first of them changes a gradient.
void check_batch(const TokenBatch& batch, std::int64_t vocab_size) {
  const auto size = static_cast<std::size_t>(batch.num_sequences * batch.length);
  require(batch.num_sequences >= 1 && batch.length >= 1 && batch.input_ids.size() == size &&
              batch.labels.size() == size && (batch.loss_weights.empty() || batch.loss_weights.size() == size),
          "batch: {} sequences of {} tokens came with {} ids, {} labels and {} weights", batch.num_sequences,
          batch.length, batch.input_ids.size(), batch.labels.size(), batch.loss_weights.size());
  check_in_vocabulary(batch.input_ids, vocab_size, "batch");
  for (const std::int64_t label : batch.labels) {
    require(label == ignored_label || (label >= 0 && label < vocab_size),
            "batch: label {} is not in the model's vocabulary of {}", label, vocab_size);
  }
}

template <typename T>
at::Tensor to_tensor(const std::vector<T>& values, at::ScalarType type, at::Device device) {
  const at::Tensor copy = at::empty({static_cast<std::int64_t>(values.size())}, type);
  std::ranges::copy(values, copy.mutable_data_ptr<T>());
  return copy_to_device(copy, device);
}

std::int64_t count_labels(const TokenBatch& batch) {
  return std::count_if(batch.labels.begin(), batch.labels.end(),
                       [](std::int64_t label) { return label != ignored_label; });
}

at::Tensor final_hidden(const Model& model, const TokenBatch& batch, const ForwardOptions& options) {
  const at::Tensor ids = to_tensor(batch.input_ids, at::kLong, at::kCPU);
  return model.hidden_states(ids.view({batch.num_sequences, batch.length}), options).flatten(0, 1);
}

struct Answers {
  at::Tensor exact;  // how many [] float64; undefined: of none
  std::int64_t count = 0;
};

void count_exact_answers(const Model& model, const TokenBatch& batch, const at::Tensor& hidden,
                         const at::Tensor& labels, Answers& answers) {
  if (batch.answer_positions.empty() || batch.answer_length < 1) return;
  const at::NoGradGuard no_gradients;
  const at::Tensor positions = to_tensor(batch.answer_positions, at::kLong, hidden.device());
  const at::Tensor likeliest = model.logits(hidden.detach().index_select(0, positions)).argmax(-1);
  const at::Tensor exact = likeliest.eq(labels.index_select(0, positions)).view({-1, batch.answer_length}).all(-1);
  const at::Tensor number = exact.sum(at::kDouble);
  answers.exact = answers.exact.defined() ? answers.exact + number : number;
  answers.count += exact.numel();
}

}  // namespace

StepLoss accumulate_gradients(Model& model, std::span<const TokenBatch> batches, const ForwardOptions& options) {
  std::int64_t num_labels = 0;
  for (const TokenBatch& batch : batches) {
    check_batch(batch, model.config().vocab_size);
    num_labels += count_labels(batch);
  }
  const at::TensorOptions scalar = at::TensorOptions(at::kDouble).device(model.parameters().device());
  StepLoss result{.loss = at::zeros({}, scalar), .exact_match = {}};
  Answers answers;
  for (const TokenBatch& batch : batches) {
    const at::Tensor hidden = final_hidden(model, batch, options);
    const at::Tensor labels = to_tensor(batch.labels, at::kLong, hidden.device());
    const at::TensorOptions weight_options = hidden.options().dtype(at::kFloat);
    const at::Tensor weights =
        batch.loss_weights.empty()
            ? at::full({labels.numel()}, 1.0 / static_cast<double>(std::max<std::int64_t>(1, num_labels)),
                       weight_options)
            : to_tensor(batch.loss_weights, at::kFloat, hidden.device()) / static_cast<double>(batches.size());
    const at::Tensor loss = linear_cross_entropy(hidden, model.embedding(), labels, weights).loss;
    if (loss.requires_grad()) loss.backward();
    result.loss += loss.detach();
    result.tokens += labels.numel();
    count_exact_answers(model, batch, hidden, labels, answers);
  }
  result.exact_match = answers.count > 0 ? answers.exact / static_cast<double>(answers.count)
                                         : at::full({}, std::numeric_limits<double>::quiet_NaN(), scalar);
  return result;
}

LossSum& LossSum::operator+=(const LossSum& other) {
  if (other.sum.defined()) sum = sum.defined() ? sum + other.sum : other.sum;
  num_labels += other.num_labels;
  return *this;
}

double LossSum::mean() const {
  if (num_labels == 0) return std::numeric_limits<double>::quiet_NaN();
  return sum.item<double>() / static_cast<double>(num_labels);
}

LossSum evaluate_batch(const Model& model, const TokenBatch& batch, at::ScalarType dtype) {
  check_batch(batch, model.config().vocab_size);
  const at::NoGradGuard no_gradients;
  ForwardOptions options;
  options.dtype = dtype;
  const at::Tensor hidden = final_hidden(model, batch, options);
  const at::Tensor labels = to_tensor(batch.labels, at::kLong, hidden.device());
  const at::Tensor losses = linear_cross_entropy(hidden, model.embedding(), labels).token_losses;
  return {losses.sum(at::kDouble), count_labels(batch)};
}

}  // namespace lookback
