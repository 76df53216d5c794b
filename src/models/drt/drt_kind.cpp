#include "models/drt/drt_kind.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <numeric>

#include "core/error.h"
#include "models/config_checks.h"
#include "models/drt/drt.h"
#include "models/drt/drt_config.h"
#include "models/drt/fed_retriever.h"
#include "models/kind.h"

namespace lookback {
namespace {

using Need = ConfigKey::Need;

std::unique_ptr<Model> make_drt(const ModelConfig& config, at::Device device, std::uint64_t seed) {
  return std::make_unique<Drt>(config, device, seed);
}

ConfigKeys layer_keys(ModelConfig& config) {
  auto& own = config.own<DrtConfig>();
  return {{"encoder_layers", &own.num_encoder_layers},
          {"decoder_layers", &own.decoder_layers},
          {"rope_theta", &config.rope_theta, Need::optional},
          {"retrieved_into", &own.retrieved_into, Need::only_where_changed},
          {"aligned_init", &own.aligned_init, Need::only_where_changed},
          {"retrieve_successors", &own.retrieve_successors, Need::only_where_changed},
          {"mask_slide_window", &own.mask_slide_window, Need::only_where_changed},
          {"encoder_conv_kernel", &own.encoder_conv_kernel, Need::only_where_changed},
          {"key_conv_kernel", &own.key_conv_kernel, Need::only_where_changed}};
}

ConfigKeys learned_retrieval_keys(ModelConfig& config) {
  auto& own = config.own<DrtConfig>();
  return {{"enable_softmax_one", &own.softmax_plus_one, Need::optional},
          {"gumbel_noise", &own.gumbel_noise, Need::optional},
          {"retrieval_projections", &own.retrieval_projections, Need::only_where_changed},
          {"retrieval_temperature", &own.retrieval_temperature, Need::only_where_changed},
          {"recency_bias", &own.recency_bias, Need::only_where_changed},
          {"term_scores", &own.term_scores, Need::only_where_changed},
          {"stick_breaking", &own.stick_breaking, Need::only_where_changed},
          {"landmark_from", &own.landmark_from, Need::only_where_changed},
          {"query_from", &own.query_from, Need::only_where_changed}};
}

ConfigKeys drt_keys(ModelConfig& config) {
  // Ablations come last, and only where they are on: the fingerprints of models that know none of them stay as they
  // are.
  auto& own = config.own<DrtConfig>();
  return with(with(layer_keys(config), learned_retrieval_keys(config)),
              {{"random_retrieval", &own.random_retrieval, Need::only_where_changed},
               {"uniform_chunk_weights", &own.uniform_chunk_weights, Need::only_where_changed},
               {"residual_reset", &own.residual_reset, Need::only_where_changed},
               {"fed_retrieval", &own.fed, Need::only_where_changed}});
}

ConfigKeys rpt_keys(ModelConfig& config) {
  auto& own = config.own<DrtConfig>();
  return with(layer_keys(config),
              {{"retriever", &own.retriever}, {"retriever_size", &own.retriever_size, Need::optional}});
}

ConfigKeys compressed_memory_keys(ModelConfig& config) {
  return with(with(layer_keys(config), learned_retrieval_keys(config)),
              {{"memory_vectors", &config.own<DrtConfig>().memory_vectors}});
}

void check_name(const std::string& name, const std::vector<std::string>& known, const char* key,
                const std::string& source) {
  require(std::ranges::find(known, name) != known.end(), "{}: {} \"{}\": there are {}", source, key, name,
          fmt::join(known, ", "));
}

void check_drt(const ModelConfig& config, const std::string& source) {
  const auto& own = config.own<DrtConfig>();
  require(own.decoder_layers.size() >= 2,
          "{}: decoder_layers needs the lower layers and at least one upper group, found {} numbers", source,
          own.decoder_layers.size());
  std::int64_t num_layers = 0;
  for (const std::int64_t layers : own.decoder_layers) {
    check_range(layers, 1, most_layers, "each of decoder_layers", source);
    num_layers += layers;
  }
  require(num_layers <= most_layers, "{}: decoder_layers must be at most {} in all, found {}", source, most_layers,
          num_layers);
  check_name(own.retrieved_into, {"mlp", "residual", "both"}, "retrieved_into", source);
  check_name(own.landmark_from, {"position", "vector", "mean"}, "landmark_from", source);
  check_name(own.query_from, {"position", "landmark"}, "query_from", source);
  require(!own.residual_reset || own.retrieved_into != "residual",
          "{}: residual_reset = true is retrieved_into = \"both\"; leave one of the two out", source);
  require(own.retrieval_temperature > 0, "{}: retrieval_temperature must be positive, found {}", source,
          own.retrieval_temperature);
  if (!own.fed.empty()) check_fed(own.fed, source + ": fed_retrieval");
  check_conv_kernel(own.encoder_conv_kernel, "encoder_conv_kernel", source);
  check_conv_kernel(own.key_conv_kernel, "key_conv_kernel", source);
  check_range(own.num_encoder_layers, 1, most_layers, "encoder_layers", source);
  require(config.chunk_size >= 8, "{}: enc_chunk_size must be at least 8, found {}", source, config.chunk_size);
  check_rotary(config.head_dim(), config.rope_theta, source);
}

void check_rpt(const ModelConfig& config, const std::string& source) {
  const auto& own = config.own<DrtConfig>();
  check_drt(config, source);
  require(own.retriever == "bm25" || own.retriever == "encoder" || own.retriever == "embeddings",
          "{}: retriever \"{}\": there are bm25, encoder and embeddings", source, own.retriever);
  check_positive(own.retriever_size, "retriever_size", source);
}

void check_compressed_memory(const ModelConfig& config, const std::string& source) {
  const auto& own = config.own<DrtConfig>();
  check_drt(config, source);
  check_positive(own.memory_vectors, "memory_vectors", source);
}

void feed_drt(ModelConfig& config, const std::string& retrieval) {
  check_fed(retrieval, "retrieval");
  config.own<DrtConfig>().fed = retrieval == "trained" ? "" : retrieval;
}

std::int64_t drt_chunk_vectors(const ModelConfig& config) {
  const std::int64_t count = config.own<DrtConfig>().memory_vectors;
  return count > 0 ? count : config.chunk_size;
}

std::int64_t num_upper_layers(const ModelConfig& config) {
  const auto& own = config.own<DrtConfig>();
  return std::accumulate(own.decoder_layers.begin() + 1, own.decoder_layers.end(), std::int64_t{0});
}

std::int64_t num_decoder_layers(const ModelConfig& config) {
  const auto& own = config.own<DrtConfig>();
  return own.decoder_layers[0] + num_upper_layers(config);
}

// Positions that a convolution of `width` sees besides its own.
double num_before(std::int64_t width) { return static_cast<double>(std::max<std::int64_t>(width - 1, 0)); }

double drt_parameters(const ModelConfig& config) {
  const auto& own = config.own<DrtConfig>();
  const auto d = static_cast<double>(config.hidden_size);
  const double layers =
      static_cast<double>(num_decoder_layers(config)) * (layer_matrix_elements(config, key_value_size(config)) + 2 * d);
  const double encoder = static_cast<double>(own.num_encoder_layers) * (layer_matrix_elements(config, d) + 2 * d);
  const double encoder_norms_and_chunk_projections = 2 * d + 2 * d * d;
  const double chunk_attention = static_cast<double>(num_upper_layers(config)) * (d + 2 * d * d);
  const double landmark_norms = static_cast<double>(own.num_upper_groups()) * d;
  const double convolutions = convolution_parameters(config, own.decoder_layers[0]) +
                              d * (num_before(own.encoder_conv_kernel) + static_cast<double>(own.key_conv_kernel));
  const double projections = own.retrieval_projections ? static_cast<double>(1 + own.num_upper_groups()) * d * d : 0;
  const double landmark_vector = own.landmark_from == "vector" ? d : 0;
  return layers + encoder + encoder_norms_and_chunk_projections + chunk_attention + landmark_norms + convolutions +
         projections + landmark_vector + (own.recency_bias ? static_cast<double>(own.num_upper_groups()) : 0) +
         (own.term_scores ? 1 : 0);
}

// Its retriever has no parameters.
double rpt_parameters(const ModelConfig& config) {
  const auto& own = config.own<DrtConfig>();
  return drt_parameters(config) - static_cast<double>(own.num_upper_groups() * config.hidden_size);
}

double compressed_memory_parameters(const ModelConfig& config) {
  const auto& own = config.own<DrtConfig>();
  return drt_parameters(config) + static_cast<double>(own.memory_vectors * config.hidden_size);
}

// Chunks that chunk c finds: each of the earlier ones at most once, but for those that follow what it chose.
std::int64_t num_read(const ModelConfig& config, std::int64_t c) {
  const std::int64_t chosen = std::clamp<std::int64_t>(c - num_masked_chunks(config), 0, config.top_k);
  return config.own<DrtConfig>().retrieve_successors ? 2 * chosen : chosen;
}

double drt_flops(const ModelConfig& config, std::int64_t length) {
  const auto& own = config.own<DrtConfig>();
  const auto d = static_cast<double>(config.hidden_size);
  const double per_pair = 4 * d;  // scores and weighted values: 2 d each a (query, key) pair
  const std::int64_t num_chunks = (length + config.chunk_size - 1) / config.chunk_size;
  const auto chunks = static_cast<double>(num_chunks);
  const auto chunk_positions = static_cast<double>(config.chunk_size + 1);
  const double positions = chunks * chunk_positions;
  const auto vectors = static_cast<double>(config.chunk_vectors());
  double flops = layer_flops(config, static_cast<double>(num_decoder_layers(config)), positions,
                             static_cast<double>(config.window_size));
  flops += static_cast<double>(own.num_encoder_layers) *
           (2 * positions * layer_matrix_elements(config, d) + per_pair * positions * chunk_positions);
  flops += convolution_flops(config, own.decoder_layers[0], positions);
  flops +=
      2 * d *
      (positions * num_before(own.encoder_conv_kernel) + chunks * vectors * static_cast<double>(own.key_conv_kernel));
  if (own.retrieval_projections) flops += static_cast<double>(1 + own.num_upper_groups()) * 2 * chunks * d * d;
  flops += 4 * chunks * vectors * d * d;  // chunk keys and values
  flops += static_cast<double>(own.num_upper_groups()) * 2 * static_cast<double>(landmark_size(config)) * chunks *
           (chunks - 1) / 2;  // chunk scores
  double retrieved = 0;       // chunks that all chunks attend to together; chunk c reads what chunk c - 1 found
  for (std::int64_t c = 1; c < num_chunks; ++c) retrieved += static_cast<double>(num_read(config, c - 1));
  flops += static_cast<double>(num_upper_layers(config)) *
           (4 * (chunks - 1) * chunk_positions * d * d + per_pair * chunk_positions * retrieved * vectors);
  return flops;
}

// Tokens of whole chunks.
double chunk_tokens(const ModelConfig& config, std::int64_t length) {
  const std::int64_t num_chunks = (length + config.chunk_size - 1) / config.chunk_size;
  return static_cast<double>(num_chunks * config.chunk_size);
}

double rpt_flops(const ModelConfig& config, std::int64_t length) {
  const auto& own = config.own<DrtConfig>();
  if (own.retriever != "encoder") return drt_flops(config, length);
  const auto d = static_cast<double>(config.hidden_size);
  const double text = chunk_tokens(config, length);
  return drt_flops(config, length) +
         static_cast<double>(own.num_encoder_layers) *
             (2 * text * layer_matrix_elements(config, d) + 4 * d * text * static_cast<double>(config.chunk_size));
}

double compressed_memory_flops(const ModelConfig& config, std::int64_t length) {
  const auto& own = config.own<DrtConfig>();
  const double pooling = chunk_tokens(config, length) * 4 * static_cast<double>(config.hidden_size) *
                         static_cast<double>(own.memory_vectors);
  return drt_flops(config, length) + pooling;
}

// An upper layer keeps, of chunk attention, its own norm, query and output.
double drt_activations(const ModelConfig& config, bool gradient_checkpointing) {
  const auto& own = config.own<DrtConfig>();
  const auto d = static_cast<double>(config.hidden_size);
  const double plain = layer_activations(config);
  const double upper = plain + 5 * d;
  const auto num_plain = static_cast<double>(own.decoder_layers[0] + own.num_encoder_layers);
  const auto num_upper = static_cast<double>(num_upper_layers(config));
  const double encoder_norms_and_chunk_rows = 5 * d;
  return encoder_norms_and_chunk_rows +
         (gradient_checkpointing ? (num_plain + num_upper) * d + upper : num_plain * plain + num_upper * upper);
}

double drt_memory_elements(const ModelConfig& config) {
  return static_cast<double>(2 * config.chunk_vectors() * config.hidden_size + landmark_size(config)) /
         static_cast<double>(config.chunk_size);
}

std::int64_t drt_window_elements(const ModelConfig& config) {
  return key_value_elements(config, num_decoder_layers(config), config.window_size) +
         convolution_elements(config, config.own<DrtConfig>().decoder_layers[0]);
}

double rpt_given_parameters(const ModelConfig& config) {
  const auto& own = config.own<DrtConfig>();
  if (own.retriever != "embeddings") return 0;
  return static_cast<double>(config.vocab_size) * static_cast<double>(own.retriever_size);
}

constexpr KindCost drt_cost{.parameters = drt_parameters,
                            .flops = drt_flops,
                            .activations = drt_activations,
                            .memory_elements = drt_memory_elements,
                            .window_elements = drt_window_elements};

// What differs from DRT's.
constexpr KindCost rpt_cost = [] {
  KindCost cost = drt_cost;
  cost.parameters = rpt_parameters;
  cost.given_parameters = rpt_given_parameters;
  cost.flops = rpt_flops;
  return cost;
}();
constexpr KindCost compressed_memory_cost = [] {
  KindCost cost = drt_cost;
  cost.parameters = compressed_memory_parameters;
  cost.flops = compressed_memory_flops;
  return cost;
}();

}  // namespace

std::int64_t most_retrieved_chunks(const ModelConfig& config) {
  return config.own<DrtConfig>().retrieve_successors ? 2 * config.top_k : config.top_k;
}

std::int64_t num_masked_chunks(const ModelConfig& config) {
  if (!config.own<DrtConfig>().mask_slide_window) return 0;
  // Chunk c asks for c + 1, whose first position sees W before it; c itself is never chosen.
  return std::max<std::int64_t>(config.window_size / (config.chunk_size + 1) - 1, 0);
}

std::int64_t landmark_size(const ModelConfig& config) {
  const auto& own = config.own<DrtConfig>();
  const bool by_hidden_state = own.retriever.empty() || own.retriever == "encoder";
  return (by_hidden_state ? config.hidden_size : own.retriever_size) + (own.fed == "bm25" ? fed_terms : 0) +
         (own.term_scores ? fed_terms : 0);
}

constinit const Kind drt_kind{.name = "drt",
                              .make = make_drt,
                              .has_landmarks = true,
                              .keys = drt_keys,
                              .check = check_drt,
                              .cost = drt_cost,
                              .feed = feed_drt,
                              .chunk_vectors = drt_chunk_vectors};

constinit const Kind rpt_kind{.name = "rpt",
                              .make = make_drt,
                              .has_landmarks = true,
                              .keys = rpt_keys,
                              .check = check_rpt,
                              .cost = rpt_cost,
                              .feed = feed_drt};

constinit const Kind compressed_memory_kind{.name = "compressed-memory",
                                            .make = make_drt,
                                            .has_landmarks = true,
                                            .keys = compressed_memory_keys,
                                            .check = check_compressed_memory,
                                            .cost = compressed_memory_cost,
                                            .feed = feed_drt,
                                            .chunk_vectors = drt_chunk_vectors};

}  // namespace lookback
