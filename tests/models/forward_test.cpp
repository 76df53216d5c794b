// Properties of every model's whole forward that no golden number shows.
#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/error.h"
#include "models/sequence_batch.h"
#include "models/small_models.h"
#include "ops/linear_cross_entropy.h"

namespace lookback {
namespace {

class Forward : public testing::TestWithParam<ModelConfig> {};

TEST_P(Forward, NoPositionSeesALaterToken) {
  const auto model = make_model(GetParam(), at::kCPU, 3);
  constexpr std::int64_t length = 53;
  const at::Tensor ids = random_ids(1, length, 39, 1);
  const auto whole = [&](const at::Tensor& text, bool training) {
    ForwardOptions options;
    options.training = training;
    options.generator = at::detail::createCPUGenerator(5);
    return model->logits(model->hidden_states(text, options)).detach();
  };
  // Several chunks in one step, and a step that ends within one.
  const auto in_session = [&](const at::Tensor& text) {
    SequenceBatch sequences(*model, 1);
    std::vector<at::Tensor> hidden;
    std::int64_t first = 0;
    for (const std::int64_t count : {29, 3, 21}) {
      hidden.push_back(sequences.append(text.narrow(1, first, count)));
      first += count;
    }
    return model->logits(at::cat(hidden, 1)).detach();
  };
  const auto expect_no_leak = [&](const auto& logits_of, const char* path) {
    const at::Tensor before = logits_of(ids);
    for (std::int64_t changed = 0; changed < length; ++changed) {
      at::Tensor other = ids.clone();
      other[0][changed] = (ids[0][changed].item<std::int64_t>() + 1) % 39;
      const at::Tensor after = logits_of(other);
      EXPECT_TRUE(at::allclose(before.narrow(1, 0, changed), after.narrow(1, 0, changed), 0, 1e-5))
          << path << ", token " << changed;
      EXPECT_FALSE(at::allclose(before[0][changed], after[0][changed], 0, 1e-5)) << path << ", token " << changed;
    }
  };
  expect_no_leak([&](const at::Tensor& text) { return whole(text, false); }, "whole forward");
  expect_no_leak([&](const at::Tensor& text) { return whole(text, true); }, "whole forward in training");
  expect_no_leak(in_session, "session");
}

TEST_P(Forward, SequencesGiveWhatItGives) {
  const auto model = make_model(GetParam(), at::kCPU, 3);
  const at::Tensor ids = random_ids(2, 97, 39, 4);
  SequenceBatch sequences(*model, 2);
  std::vector<at::Tensor> parts;
  std::int64_t first = 0;
  for (const std::int64_t count : {1, 30, 2, 1, 1, 62}) {
    parts.push_back(sequences.append(ids.narrow(1, first, count)));
    first += count;
  }
  EXPECT_LT((at::cat(parts, 1) - model->hidden_states(ids, {})).abs().max().item<double>(), 2e-4);
}

TEST_P(Forward, TextOfAnyLengthIsThePrefixOfALongerOne) {
  const auto model = make_model(GetParam(), at::kCPU, 3);
  const at::Tensor ids = random_ids(2, 40, 39, 2);
  const at::Tensor whole = model->hidden_states(ids, {}).detach();
  for (const std::int64_t length : {1, 7, 8, 9, 15, 16, 17, 39}) {
    const at::Tensor part = model->hidden_states(ids.narrow(1, 0, length), {}).detach();
    EXPECT_TRUE(at::allclose(part, whole.narrow(1, 0, length), 0, 1e-5)) << length;
  }
}

TEST_P(Forward, GradientCheckpointingChangesNoGradient) {
  const auto model = make_model(GetParam(), at::kCPU, 3);
  const at::Tensor ids = random_ids(2, 40, 39, 2);
  const auto gradients = [&](bool checkpointing) {
    model->parameters().zero_gradients();
    ForwardOptions options;
    options.gradient_checkpointing = checkpointing;
    const at::Tensor hidden = model->hidden_states(ids, options).flatten(0, 1);
    linear_cross_entropy(hidden, model->embedding(), ids.flatten()).loss.backward();
    std::vector<at::Tensor> found;
    for (const auto& [name, tensor] : model->parameters().named()) {
      // Nothing trains a retriever whose choices all weigh the same.
      found.push_back(tensor.grad().defined() ? tensor.grad().clone() : at::zeros_like(tensor));
    }
    return found;
  };
  const auto plain = gradients(false);
  const auto recomputed = gradients(true);
  for (std::size_t i = 0; i < plain.size(); ++i) {
    const double size = plain[i].abs().max().item<double>();
    EXPECT_LT((plain[i] - recomputed[i]).abs().max().item<double>(), 1e-6 * size + 1e-9)
        << model->parameters().named()[i].first;
  }
}

TEST_P(Forward, Bfloat16StaysNearFloat32) {
  const auto model = make_model(GetParam(), at::kCPU, 3);
  const at::Tensor ids = random_ids(1, 40, 39, 2);
  ForwardOptions options;
  options.dtype = at::kBFloat16;
  const at::Tensor expected = model->hidden_states(ids, {}).detach();
  const at::Tensor found = model->hidden_states(ids, options).detach();
  EXPECT_EQ(found.scalar_type(), at::kBFloat16);
  // Retrieval may flip on near-ties, which moves single positions far; the bulk stays at bfloat16's rounding.
  EXPECT_LT((found.to(at::kFloat) - expected).abs().median().item<double>(), 0.05);
}

TEST_P(Forward, IdsOutOfTheVocabularyAreNamed) {
  const auto model = make_model(GetParam(), at::kCPU, 3);
  for (const std::int64_t id : {40, -1}) {
    try {
      model->hidden_states(at::full({1, 3}, id, at::kLong), {});
      FAIL();
    } catch (const Error& error) {
      EXPECT_EQ(error.what(), fmt::format("input_ids: id {} is not in the model's vocabulary of 40", id));
    }
  }
}

// Where a model needs them there, a device is not waited for.
TEST_P(Forward, IdsAreTakenFromTheHostAlone) {
  const auto model = make_model(GetParam(), at::kCPU, 3);
  const at::Tensor elsewhere = at::zeros({1, 16}, at::TensorOptions(at::kLong).device(at::kMeta));
  EXPECT_THAT([&] { model->hidden_states(elsewhere, {}); },
              testing::ThrowsMessage<Error>(testing::HasSubstr("expected on the host, found on meta")));
}

std::vector<ModelConfig> small_ablations() {
  std::vector<ModelConfig> configs = {small_config("rpt"), small_config("memorizing")};
  configs[0].own<DrtConfig>().retriever = "encoder";
  configs[1].own<MemorizingConfig>().memory_width = 6;
  for (bool DrtConfig::* ablation :
       {&DrtConfig::random_retrieval, &DrtConfig::uniform_chunk_weights, &DrtConfig::residual_reset}) {
    configs.push_back(small_drt_config());
    configs.back().own<DrtConfig>().*ablation = true;
  }
  return configs;
}

INSTANTIATE_TEST_SUITE_P(Ablations, Forward, testing::ValuesIn(small_ablations()));
INSTANTIATE_TEST_SUITE_P(Convolutions, Forward, testing::ValuesIn(small_configs_with_convolutions()));
INSTANTIATE_TEST_SUITE_P(Variants, Forward, testing::ValuesIn(small_drt_variants()));
INSTANTIATE_TEST_SUITE_P(Positions, Forward, testing::ValuesIn(small_configs_of_all_positions()));
INSTANTIATE_TEST_SUITE_P(Kinds, Forward, testing::ValuesIn(small_configs_of_all_kinds()), kind_name);

TEST(DrtForward, GumbelNoiseComesFromTheGivenGeneratorAlone) {
  const auto model = make_model(small_drt_config(), at::kCPU, 3);
  const at::Tensor ids = random_ids(1, 120, 39, 2);
  const auto with_seed = [&](std::uint64_t seed) {
    ForwardOptions options;
    options.training = true;
    options.generator = at::detail::createCPUGenerator(seed);
    return model->hidden_states(ids, options).detach();
  };
  EXPECT_TRUE(at::equal(with_seed(1), with_seed(1)));
  EXPECT_FALSE(at::equal(with_seed(1), with_seed(2)));
}

}  // namespace
}  // namespace lookback
