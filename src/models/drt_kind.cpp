#include "models/drt_kind.h"

#include "core/error.h"
#include "models/config_checks.h"
#include "models/drt.h"
#include "models/kind.h"

namespace lookback {
namespace {

using Need = ConfigKey::Need;

std::unique_ptr<Model> make_drt(const ModelConfig& config, at::Device device, std::uint64_t seed) {
  return std::make_unique<Drt>(config, device, seed);
}

ConfigKeys layer_keys(ModelConfig& config) {
  return {{"encoder_layers", &config.num_encoder_layers},
          {"decoder_layers", &config.decoder_layers},
          {"rope_theta", &config.rope_theta, Need::optional}};
}

ConfigKeys learned_retrieval_keys(ModelConfig& config) {
  return {{"enable_softmax_one", &config.softmax_plus_one, Need::optional},
          {"gumbel_noise", &config.gumbel_noise, Need::optional}};
}

ConfigKeys drt_keys(ModelConfig& config) {
  // Ablations come last, and only where they are on: the fingerprints of models that know none of them stay as they
  // are.
  return with(with(layer_keys(config), learned_retrieval_keys(config)),
              {{"random_retrieval", &config.random_retrieval, Need::only_where_true},
               {"uniform_chunk_weights", &config.uniform_chunk_weights, Need::only_where_true},
               {"residual_reset", &config.residual_reset, Need::only_where_true}});
}

ConfigKeys rpt_keys(ModelConfig& config) {
  return with(layer_keys(config),
              {{"retriever", &config.retriever}, {"retriever_size", &config.retriever_size, Need::optional}});
}

ConfigKeys compressed_memory_keys(ModelConfig& config) {
  return with(with(layer_keys(config), learned_retrieval_keys(config)), {{"memory_vectors", &config.memory_vectors}});
}

void check_drt(const ModelConfig& config, const std::string& source) {
  require(config.decoder_layers.size() >= 2,
          "{}: decoder_layers needs the lower layers and at least one upper group, found {} numbers", source,
          config.decoder_layers.size());
  std::int64_t num_layers = 0;
  for (const std::int64_t layers : config.decoder_layers) {
    check_range(layers, 1, most_layers, "each of decoder_layers", source);
    num_layers += layers;
  }
  require(num_layers <= most_layers, "{}: decoder_layers must be at most {} in all, found {}", source, most_layers,
          num_layers);
  check_range(config.num_encoder_layers, 1, most_layers, "encoder_layers", source);
  require(config.chunk_size >= 8, "{}: enc_chunk_size must be at least 8, found {}", source, config.chunk_size);
  check_rotary(config.head_dim(), config.rope_theta, source);
}

void check_rpt(const ModelConfig& config, const std::string& source) {
  check_drt(config, source);
  require(config.retriever == "bm25" || config.retriever == "encoder" || config.retriever == "embeddings",
          "{}: retriever \"{}\": there are bm25, encoder and embeddings", source, config.retriever);
  check_positive(config.retriever_size, "retriever_size", source);
}

void check_compressed_memory(const ModelConfig& config, const std::string& source) {
  check_drt(config, source);
  check_positive(config.memory_vectors, "memory_vectors", source);
}

}  // namespace

constinit const Kind drt_kind{
    .name = "drt", .make = make_drt, .has_landmarks = true, .keys = drt_keys, .check = check_drt};

constinit const Kind rpt_kind{
    .name = "rpt", .make = make_drt, .has_landmarks = true, .keys = rpt_keys, .check = check_rpt};

constinit const Kind compressed_memory_kind{.name = "compressed-memory",
                                            .make = make_drt,
                                            .has_landmarks = true,
                                            .keys = compressed_memory_keys,
                                            .check = check_compressed_memory};

}  // namespace lookback
