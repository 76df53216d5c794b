// The switches that turn parts of DRT off.
#include <ATen/core/grad_mode.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <utility>

#include "core/error.h"
#include "models/small_models.h"
#include "retrieval/causal_top_k.h"

namespace lookback {
namespace {

struct Outcome {
  at::Tensor hidden;
  std::vector<Retrieval> retrievals;
};

Outcome run(Model& model) {
  Outcome outcome;
  ForwardOptions options;
  options.retrievals = &outcome.retrievals;
  outcome.hidden = model.hidden_states(random_ids(2, 77, 39, 4), options).detach();
  return outcome;
}

std::unique_ptr<Model> model_with(bool DrtConfig::* ablation) {
  ModelConfig config = small_drt_config();
  if (ablation != nullptr) config.own<DrtConfig>().*ablation = true;
  return make_model(config, at::kCPU, 3);
}

TEST(Ablations, RandomRetrievalChoosesByTheHashAndWeighsByScores) {
  const auto model = model_with(&DrtConfig::random_retrieval);
  const Outcome found = run(*model);
  for (std::size_t g = 0; g < found.retrievals.size(); ++g) {
    const Retrieval& retrieval = found.retrievals[g];
    const at::Tensor selection = random_selection(0, 10, 10, static_cast<std::int64_t>(g), at::kCPU)
                                     .tril(-1)
                                     .masked_fill_(at::ones({10, 10}).triu().to(at::kBool), -INFINITY);
    for (std::int64_t c = 0; c < 10; ++c) {
      const std::int64_t count = std::min<std::int64_t>(3, c);
      const at::Tensor expected = std::get<1>(selection[c].topk(std::max<std::int64_t>(count, 1)));
      for (std::int64_t k = 0; k < 3; ++k) {
        EXPECT_EQ(retrieval.indices[1][c][k].item<std::int64_t>(), k < count ? expected[k].item<std::int64_t>() : -1);
      }
      if (count == 0) continue;
      const at::Tensor weights = at::softmax(retrieval.scores[1][c].index_select(0, expected), 0);
      EXPECT_TRUE(retrieval.weights[1][c].narrow(0, 0, count).allclose(weights, 1e-5, 1e-6)) << c;
    }
  }
  EXPECT_THROW(
      model->new_sequence(at::kFloat)->attach(std::make_shared<const MemorySet>(std::vector<SearchedArchive>())),
      Error);
}

TEST(Ablations, UniformWeightsChooseTheSameChunks) {
  const Outcome plain = run(*model_with(nullptr));
  const Outcome uniform = run(*model_with(&DrtConfig::uniform_chunk_weights));
  // Later groups see what the first one's chunks gave.
  EXPECT_TRUE(uniform.retrievals[0].indices.equal(plain.retrievals[0].indices));
  EXPECT_TRUE(uniform.retrievals[0].weights[0][9].allclose(at::full({3}, 1.0 / 3)));
  EXPECT_FALSE(uniform.hidden.allclose(plain.hidden, 1e-3, 1e-3));
}

// Without chunk attention's output there is nothing that the residual could keep or lose.
TEST(Ablations, ResidualResetMattersThroughChunkAttentionOnly) {
  const auto plain = model_with(nullptr);
  const auto reset = model_with(&DrtConfig::residual_reset);
  EXPECT_FALSE(run(*plain).hidden.allclose(run(*reset).hidden, 1e-3, 1e-3));
  for (const auto& model : {plain.get(), reset.get()}) {
    for (const auto& [name, parameter] : model->parameters().named()) {
      if (name.find("gca.o_proj") != std::string::npos) parameter.detach().zero_();
    }
  }
  EXPECT_TRUE(run(*plain).hidden.equal(run(*reset).hidden));
}

// With MLPs that give nothing, a layer gives its residual: x + self-attention, or with the reset also chunk attention.
TEST(Ablations, ResidualResetKeepsChunkAttentionInTheResidual) {
  for (const bool reset : {false, true}) {
    const auto model = model_with(reset ? &DrtConfig::residual_reset : nullptr);
    for (const auto& [name, parameter] : model->parameters().named()) {
      if (name.find("mlp.down_proj") != std::string::npos) parameter.detach().zero_();
    }
    const at::Tensor before = run(*model).hidden;
    for (const auto& [name, parameter] : model->parameters().named()) {
      if (name.find("gca.o_proj") != std::string::npos) parameter.detach().mul_(2);
    }
    EXPECT_EQ(run(*model).hidden.equal(before), !reset);
  }
}

TEST(Ablations, AreNamedInConfigurationsOnlyWhereTheyAreOn) {
  const ModelConfig plain = small_drt_config();
  for (const char* key : {"random_retrieval", "uniform_chunk_weights", "residual_reset"}) {
    EXPECT_FALSE(to_json(plain).contains(key)) << "fingerprints of older models would change";
    EXPECT_THAT(model_config_keys(plain), testing::Contains(key));
    Json with = to_json(plain);
    with[key] = true;
    EXPECT_EQ(to_json(parse_model_config(with, "config")).at(key), true);
  }
  const Json others = {{"retrieved_into", "residual"},
                       {"retrieve_successors", true},
                       {"mask_slide_window", true},
                       {"landmark_from", "mean"},
                       {"query_from", "landmark"},
                       {"stick_breaking", true},
                       {"retrieval_temperature", 0.5},
                       {"retrieval_projections", true},
                       {"aligned_init", true},
                       {"fed_retrieval", "latest"},
                       {"recency_bias", true},
                       {"term_scores", true},
                       {"encoder_conv_kernel", 3},
                       {"key_conv_kernel", 2},
                       {"conv_kernel", 4},
                       {"conv_layers", 1}};
  for (const auto& [key, value] : others.items()) {
    EXPECT_FALSE(to_json(plain).contains(key)) << key;
    EXPECT_THAT(model_config_keys(plain), testing::Contains(key));
    Json with = to_json(plain);
    with[key] = value;
    EXPECT_EQ(to_json(parse_model_config(with, "config")).at(key), value);
  }
  EXPECT_THAT(model_config_keys(small_sliding_window_config()), testing::Not(testing::Contains("residual_reset")));
}

TEST(Ablations, ThatThereAreNotAreNamed) {
  const std::map<std::string, std::pair<Json, std::string>> wrong = {
      {"retrieved_into", {"stream", "retrieved_into \"stream\": there are mlp, residual, both"}},
      {"landmark_from", {"text", "landmark_from \"text\": there are position, vector, mean"}},
      {"query_from", {"text", "query_from \"text\": there are position, landmark"}},
      {"fed_retrieval", {"nearest", "fed_retrieval \"nearest\": there are trained, random, latest, bm25 and none"}},
      {"retrieval_temperature", {0, "retrieval_temperature must be positive, found 0"}},
      {"key_conv_kernel", {1, "key_conv_kernel must be 0 (none) or 2 to 64, found 1"}},
      {"conv_kernel", {65, "conv_kernel must be 0 (none) or 2 to 64, found 65"}},
      {"conv_layers", {-1, "conv_layers must be at least 0, found -1"}}};
  for (const auto& [key, value_and_message] : wrong) {
    Json with = to_json(small_drt_config());
    with[key] = value_and_message.first;
    EXPECT_THAT([&] { parse_model_config(with, "config"); },
                testing::ThrowsMessage<Error>(testing::HasSubstr("config: " + value_and_message.second)));
  }
  Json both = to_json(small_drt_config());
  both["residual_reset"] = true;
  both["retrieved_into"] = "residual";
  EXPECT_THROW(parse_model_config(both, "config"), Error);
}

// A chunk that is read once more: at first, before any training, chunk attention hands on what stood behind the same
// tokens, so that the tokens of the repeat are likelier than by chance.
TEST(AlignedInit, CopiesBeforeAnyTraining) {
  ModelConfig config = small_drt_config();
  config.hidden_size = 64;
  config.vocab_size = 120;
  config.landmark_id = 119;
  config.initializer_range = 0.02;
  config.window_size = 4;
  auto& own = config.own<DrtConfig>();
  own.decoder_layers = {1, 1};
  own.key_conv_kernel = 2;
  own.retrieved_into = "both";
  const at::Tensor text = random_ids(4, 32, 119, 5);
  const at::Tensor ids = at::cat({text, text}, 1);
  const auto advantage = [&](bool aligned) {
    own.aligned_init = aligned;
    const auto model = make_model(config, at::kCPU, 3);
    const at::NoGradGuard no_gradients;
    const at::Tensor logits = model->logits(model->hidden_states(ids, {})).narrow(1, 32, 31);
    const at::Tensor next = text.narrow(1, 1, 31).unsqueeze(-1);
    return (logits.gather(-1, next).mean() - logits.mean()).item<double>() / logits.std().item<double>();
  };
  EXPECT_GT(advantage(true), 0.5);
  EXPECT_LT(advantage(false), 0.2);
}

}  // namespace
}  // namespace lookback
