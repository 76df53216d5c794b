#include "train/training_step.h"

#include "models/cost.h"
#include "train/batch_loss.h"
#include "train/clipping.h"
#include "train/generator.h"
#include "train/schedule.h"

namespace lookback {

TrainingStep::TrainingStep(Model& model, const TrainConfig& config)
    : model_(model),
      config_(config),
      optimizer_(model.parameters(), config),
      generator_(make_generator(model.parameters().device(), config.seed)) {}

TrainingStep::Result TrainingStep::take(std::span<const TokenBatch> batches, std::int64_t num_steps_done) {
  ForwardOptions options;
  options.training = true;
  options.generator = generator_;
  options.gradient_checkpointing = config_.gradient_checkpointing;
  options.dtype = config_.dtype;
  model_.parameters().zero_gradients();
  const StepLoss loss = accumulate_gradients(model_, batches, options);
  Result result;
  result.loss = loss.loss;
  result.exact_match = loss.exact_match;
  result.gradient_norm = clip_gradients(model_.parameters(), config_.clip_grad_norm).to(at::kDouble);
  result.learning_rate = learning_rate(config_, num_steps_done);
  const at::Tensor finite = result.loss.isfinite().logical_and_(result.gradient_norm.isfinite());
  optimizer_.step(result.learning_rate, finite.logical_not_().to(at::kFloat));
  result.num_tokens = loss.tokens;
  for (const TokenBatch& batch : batches) {
    result.flops += static_cast<double>(batch.num_sequences) * training_flops(model_.config(), batch.length);
  }
  return result;
}

}  // namespace lookback
