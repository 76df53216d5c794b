// What the demo trains and measures: a recipe by which a model of 0.2M parameters learns to retrieve from
// scratch.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/needle_curriculum.h"
#include "models/config.h"
#include "train/train_config.h"

namespace lookback {

// How many samples are asked at one length.
struct DemoLengthPlan {
  std::int64_t num_chunks = 0;
  std::int64_t samples_per_depth = 0;
};

struct DemoPlan {
  ModelConfig drt;
  ModelConfig sliding_window;  // as many parameters, within half a percent
  TrainConfig train;
  NeedleCurriculumConfig curriculum;
  std::int64_t num_needles = 6;
  std::int64_t num_empty_chunks = 6;  // without needles before the question: the answer is beyond the window
  std::vector<double> depths;
  std::vector<DemoLengthPlan> lengths;  // rising; the first is the training length
  DemoLengthPlan sample;                // of which the report shows the retrieval
};

// vocab_size: the tokenizer's; the landmark comes behind. quick: contexts up to 64 times the training length
// only.
DemoPlan make_demo_plan(std::int64_t vocab_size, std::uint64_t seed, std::int64_t steps, bool quick);

inline constexpr std::int64_t demo_default_steps = 800;

}  // namespace lookback
