// One optimizer step: a model, its optimizer, and the schedule of its learning rate.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <span>

#include "data/token_batch.h"
#include "models/model.h"
#include "train/optimizer.h"
#include "train/train_config.h"

namespace lookback {

class TrainingStep {
 public:
  // What a step leaves behind. Only the numbers on the device have to be waited for.
  struct Result {
    at::Tensor loss, gradient_norm, exact_match;  // scalars float64 on the model's device; NaN: there were no answers
    double learning_rate = 0;
    std::int64_t num_tokens = 0;
    double flops = 0;  // of the model's arithmetic
  };

  // Both must outlive the step.
  TrainingStep(Model& model, const TrainConfig& config);

  // Updates the weights by the gradient of the batches' loss, at the learning rate behind num_steps_done steps. Where
  // the loss or the gradients' norm is no finite number, weights and moments stay as they are. Queues the work of a
  // device without waiting for it. Throws Error as accumulate_gradients does.
  Result take(std::span<const TokenBatch> batches, std::int64_t num_steps_done);

  // What a checkpoint holds of it.
  Model& model() { return model_; }
  AdamW& optimizer() { return optimizer_; }
  at::Generator& generator() { return generator_; }

 private:
  Model& model_;
  const TrainConfig& config_;
  AdamW optimizer_;
  at::Generator generator_;  // of the noise in training
};

}  // namespace lookback
