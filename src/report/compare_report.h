// What a comparison of models found, as plain values, and the tables and the page made of it.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace lookback {

// Over a model's seeds.
struct SeedRange {
  double mean = 0, low = 0, high = 0;
  std::int64_t count = 0;  // 0: not measured
};

// Of values that are there, in any order.
SeedRange range_of(const std::vector<double>& values);

struct ComparedModel {
  std::string name, kind;
  std::int64_t num_parameters = 0;
  std::int64_t num_seeds = 0;  // that are finished
  std::int64_t training_tokens = 0;
  SeedRange validation_loss;                                // at the end of training
  std::vector<SeedRange> perplexities;                      // one a context
  std::vector<SeedRange> bits_per_byte;                     // one a context
  std::vector<SeedRange> by_position;                       // loss, nats, by bucket of the position in the document
  std::vector<std::pair<double, double>> validation_curve;  // (tokens, loss) of the first seed
  SeedRange training_tokens_per_second, training_peak_bytes;
  SeedRange ingest_tokens_per_second, decode_tokens_per_second, inference_peak_bytes;
  SeedRange memory_bytes_per_token, window_bytes;
  std::vector<SeedRange> needles;  // fraction found after training further, one a length
};

struct NeedleLength {
  std::string name;  // as people write it
  double num_tokens = 0;
};

struct CompareReport {
  std::vector<ComparedModel> models;
  std::vector<std::string> contexts;                             // as people write them
  std::vector<std::pair<std::int64_t, std::int64_t>> positions;  // [begin, end) of each bucket
  std::vector<NeedleLength> needle_lengths;                      // empty: none were asked for
  std::string needle_task;
  std::int64_t needle_samples = 0;  // of a model, seed and length
  std::int64_t scored_tokens = 0;
  std::int64_t prompt_tokens = 0;
  std::vector<std::string> commands;  // of the first model's first seed, and how to do it all again
  std::string version, machine;
};

using CompareTable = std::vector<std::vector<std::string>>;

// A row a model, headers first: perplexity by context, bits per byte, costs of training, of reading and writing, loss
// by position, needles found by length.
CompareTable compare_quality_table(const CompareReport& report);
CompareTable compare_bits_table(const CompareReport& report);
CompareTable compare_training_table(const CompareReport& report);
CompareTable compare_inference_table(const CompareReport& report);
CompareTable compare_position_table(const CompareReport& report);
CompareTable compare_needle_table(const CompareReport& report);

// The tables of a report, as Markdown and as one CSV (all figures, a row a model, context and figure).
std::string compare_markdown(const CompareReport& report);
std::string compare_csv(const CompareReport& report);

// The whole page. Throws Error when no model has a result.
std::string compare_report_html(const CompareReport& report);

}  // namespace lookback
