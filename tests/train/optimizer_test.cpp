// AdamW, clipping and the schedule against PyTorch's (tests/data/train/make_adamw.py) and hand-computed numbers.
#include "train/optimizer.h"

#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "train/clipping.h"
#include "train/schedule.h"

namespace lookback {
namespace {

at::Tensor fixture(const std::string& name) {
  static const NamedTensors all = read_safetensors(LOOKBACK_SOURCE_DIR "/tests/data/train/adamw.safetensors");
  for (const auto& [found, tensor] : all) {
    if (found == name) return tensor.clone();
  }
  return {};
}

ParameterSet make_parameters(const std::string& step) {
  ParameterSet parameters(at::kCPU, 0);
  parameters.add("matrix", {3, 4}, {});
  parameters.add("vector", {4}, {});
  const at::NoGradGuard no_gradients;
  for (const char* name : {"matrix", "vector"}) at::Tensor(parameters.get(name)).copy_(fixture(name + ("." + step)));
  return parameters;
}

TrainConfig adamw_config() {
  TrainConfig config;
  config.weight_decay = 0.1;
  return config;
}

void set_gradients(ParameterSet& parameters, int step) {
  for (const char* name : {"matrix", "vector"}) {
    at::Tensor(parameters.get(name)).mutable_grad() = fixture(std::string(name) + "_grad." + std::to_string(step));
  }
}

TEST(AdamW, FollowsPyTorchWithTwoGroupsAndMissingGradients) {
  ParameterSet parameters = make_parameters("0");
  AdamW optimizer(parameters, adamw_config());
  for (int step = 0; step < 6; ++step) {
    set_gradients(parameters, step);
    optimizer.step(0.01 * (step + 1));
    for (const char* name : {"matrix", "vector"}) {
      const at::Tensor expected = fixture(std::string(name) + "." + std::to_string(step + 1));
      EXPECT_LE((parameters.get(name) - expected).abs().max().item<double>(), 2e-7) << name << " step " << step;
    }
  }
}

TEST(AdamW, StateGoesIntoAnotherOptimizerBitByBit) {
  ParameterSet one = make_parameters("0");
  AdamW first(one, adamw_config());
  for (int step = 0; step < 3; ++step) {
    set_gradients(one, step);
    first.step(0.01);
  }
  ParameterSet other = make_parameters("0");
  {
    const at::NoGradGuard no_gradients;
    for (const char* name : {"matrix", "vector"}) at::Tensor(other.get(name)).copy_(one.get(name));
  }
  AdamW second(other, adamw_config());
  second.restore(first.state(), "state");
  for (int step = 3; step < 6; ++step) {
    for (ParameterSet* parameters : {&one, &other}) set_gradients(*parameters, step);
    first.step(0.02);
    second.step(0.02);
  }
  for (const char* name : {"matrix", "vector"}) EXPECT_TRUE(at::equal(one.get(name), other.get(name)));
}

TEST(AdamW, DecaysVectorsOnlyWhenAsked) {
  for (const bool all : {false, true}) {
    ParameterSet parameters = make_parameters("0");
    TrainConfig config = adamw_config();
    config.decay_all_parameters = all;
    AdamW optimizer(parameters, config);
    at::Tensor(parameters.get("vector")).mutable_grad() = at::zeros({4});
    optimizer.step(0.5);
    const at::Tensor expected = fixture("vector.0") * (all ? 1 - 0.5 * 0.1 : 1.0);
    EXPECT_LE((parameters.get("vector") - expected).abs().max().item<double>(), 1e-6);
  }
}

TEST(AdamW, ASkippedStepChangesNothing) {
  ParameterSet parameters = make_parameters("0");
  AdamW optimizer(parameters, adamw_config());
  set_gradients(parameters, 0);
  optimizer.step(0.01, at::zeros({}));
  EXPECT_LE((parameters.get("matrix") - fixture("matrix.1")).abs().max().item<double>(), 2e-7) << "0: as without it";
  const auto all = [&] {
    std::vector<at::Tensor> tensors = {parameters.get("matrix").detach().clone(),
                                       parameters.get("vector").detach().clone()};
    for (const auto& [name, tensor] : optimizer.state()) tensors.push_back(tensor.clone());
    return tensors;
  };
  const std::vector<at::Tensor> before = all();
  at::Tensor(parameters.get("matrix")).mutable_grad().fill_(NAN);
  optimizer.step(0.01, at::ones({}));
  const std::vector<at::Tensor> after = all();
  for (std::size_t i = 0; i < before.size(); ++i) EXPECT_TRUE(at::equal(after[i], before[i])) << i;
}

TEST(Clipping, FollowsPyTorch) {
  ParameterSet parameters(at::kCPU, 0);
  parameters.add("a", {5, 5}, {});
  parameters.add("b", {7}, {});
  at::Tensor(parameters.get("a")).mutable_grad() = fixture("clip.before.0");
  at::Tensor(parameters.get("b")).mutable_grad() = fixture("clip.before.1");
  EXPECT_NEAR(clip_gradients(parameters, 0).item<double>(), fixture("clip.norm").item<double>(), 1e-5);
  EXPECT_TRUE(at::equal(parameters.get("a").grad(), fixture("clip.before.0"))) << "0 means no clipping";
  EXPECT_NEAR(clip_gradients(parameters, 1.5).item<double>(), fixture("clip.norm").item<double>(), 1e-5);
  EXPECT_LE((parameters.get("a").grad() - fixture("clip.after.0")).abs().max().item<double>(), 1e-6);
  EXPECT_LE((parameters.get("b").grad() - fixture("clip.after.1")).abs().max().item<double>(), 1e-6);
  const at::Tensor clipped = parameters.get("a").grad().clone();
  clip_gradients(parameters, 1e6);
  EXPECT_TRUE(at::equal(parameters.get("a").grad(), clipped)) << "a small gradient stays";
  at::Tensor(parameters.get("b")).mutable_grad()[3] = NAN;
  EXPECT_TRUE(std::isnan(clip_gradients(parameters, 1.5).item<double>()));
  EXPECT_TRUE(at::equal(parameters.get("a").grad(), clipped)) << "nor does one that is no number change the others";
}

TEST(Schedule, WarmsUpThenFallsToTheMinimum) {
  TrainConfig config;
  config.steps = 800;
  config.lr = 2e-3;
  config.min_lr = 1e-4;
  config.warmup_steps = 50;
  EXPECT_DOUBLE_EQ(learning_rate(config, 0), 2e-3 / 50);
  EXPECT_NEAR(learning_rate(config, 24), 0.5 * 1.9957838663729258e-3,
              1e-9);  // 2e-3 (0.05 + 0.475 (1 + cos(24 pi / 800)))
  EXPECT_NEAR(learning_rate(config, 400), 1.05e-3, 1e-12);
  EXPECT_NEAR(learning_rate(config, 799), 1e-4, 1e-8);
  config.warmup_steps = 0;
  EXPECT_DOUBLE_EQ(learning_rate(config, 0), 2e-3);
}

}  // namespace
}  // namespace lookback
