#include "cli/compare_results.h"

#include <fmt/core.h>

#include <algorithm>

#include "core/json.h"
#include "core/parse_list.h"
#include "lookback/version.h"

namespace lookback {
namespace {

// One figure of every seed that has it.
template <typename Figure>
SeedRange range_over(const std::vector<const CompareResult*>& seeds, const Figure& figure) {
  std::vector<double> values;
  for (const CompareResult* seed : seeds) {
    const Json value = figure(*seed);
    if (value.is_number()) values.push_back(value.get<double>());
  }
  return range_of(values);
}

// What errors call the files of a comparison that these figures are read from.
constexpr const char* source = "the comparison's results (results/*.json, runs/*/metrics.jsonl)";

Json output_of(const Json& step) { return step.is_null() ? Json(nullptr) : json_field<Json>(step, "output", source); }

Json peak_of(const Json& step) {
  return step.is_null() ? Json(nullptr) : json_field<Json>(step, "peak_resident_bytes", source);
}

// `context`: as people write it; null where this model was not measured with it.
Json perplexity_entry(const CompareResult& result, const std::string& context) {
  const Json output = output_of(result.perplexity);
  if (output.is_null()) return nullptr;
  const std::int64_t tokens = context == "full" ? 0 : parse_size(context, "contexts");
  const Json entries = json_field<Json>(output, "results", source);
  const auto found = std::ranges::find_if(
      entries, [&](const Json& entry) { return json_field<Json>(entry, "context", source) == tokens; });
  return found == entries.end() ? Json(nullptr) : *found;
}

Json field_or_null(const Json& value, const char* key) {
  return value.is_object() && value.contains(key) ? value.at(key) : Json(nullptr);
}

// The speed of a typical step: the first ones and those beside other work count little.
Json median_training_speed(const CompareResult& result) {
  std::vector<double> values;
  for (const Json& step : result.metrics)
    values.push_back(json_field_or<double>(step, "tokens_per_second", 0.0, source));
  if (values.empty() || result.train.is_null()) return nullptr;
  std::ranges::nth_element(values, values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2));
  return values[values.size() / 2];
}

Json last_validation_loss(const CompareResult& result) {
  Json loss = nullptr;
  for (const Json& step : result.metrics) {
    const Json here = field_or_null(step, "validation_loss");
    if (here.is_number()) loss = here;
  }
  return loss;
}

// One of `eval needle`'s figures by length.
Json needle_entry(const CompareResult& result, std::size_t length, const char* key) {
  const Json output = output_of(result.needles);
  const Json entries = field_or_null(output, "by_length");
  return entries.is_array() && length < entries.size() ? json_field<Json>(entries.at(length), key, source)
                                                       : Json(nullptr);
}

// State that grows with the context, over what was read and written.
Json state_per_token(const CompareResult& result) {
  const Json speed = output_of(result.speed);
  if (speed.is_null()) return nullptr;
  return json_field<double>(speed, "memory_bytes", source) /
         (json_field<double>(speed, "prompt_tokens", source) + json_field<double>(speed, "new_tokens", source));
}

ComparedModel model_of(const CompareModel& model, const std::vector<const CompareResult*>& seeds,
                       const std::vector<std::string>& contexts, std::size_t num_needle_lengths) {
  ComparedModel row;
  row.name = model.name;
  row.kind = model.kind;
  row.num_parameters = model.num_parameters;
  row.num_seeds = std::ranges::count_if(seeds, [](const CompareResult* seed) { return !seed->speed.is_null(); });
  for (const std::string& context : contexts) {
    const auto field = [&context](const char* key) {
      return [&context, key](const CompareResult& seed) { return field_or_null(perplexity_entry(seed, context), key); };
    };
    row.perplexities.push_back(range_over(seeds, field("perplexity")));
    row.bits_per_byte.push_back(range_over(seeds, field("bits_per_byte")));
  }
  row.validation_loss = range_over(seeds, last_validation_loss);
  row.training_tokens_per_second = range_over(seeds, median_training_speed);
  row.training_peak_bytes = range_over(seeds, [](const CompareResult& seed) { return peak_of(seed.train); });
  row.inference_peak_bytes = range_over(seeds, [](const CompareResult& seed) { return peak_of(seed.speed); });
  const auto speed = [](const char* key) {
    return [key](const CompareResult& seed) { return field_or_null(output_of(seed.speed), key); };
  };
  row.ingest_tokens_per_second = range_over(seeds, speed("prefill_tokens_per_second"));
  row.decode_tokens_per_second = range_over(seeds, speed("decode_tokens_per_second"));
  row.window_bytes = range_over(seeds, speed("window_bytes"));
  row.memory_bytes_per_token = range_over(seeds, state_per_token);
  for (std::size_t i = 0; i < num_needle_lengths; ++i) {
    row.needles.push_back(
        range_over(seeds, [i](const CompareResult& seed) { return needle_entry(seed, i, "accuracy"); }));
  }
  for (const Json& step : seeds.front()->metrics) {
    row.training_tokens = json_field<std::int64_t>(step, "tokens", source);
    const Json loss = field_or_null(step, "validation_loss");
    if (!loss.is_number()) continue;
    row.validation_curve.emplace_back(static_cast<double>(row.training_tokens), loss.get<double>());
  }
  return row;
}

}  // namespace

CompareReport make_compare_report(const ComparePlan& plan, const std::vector<CompareResult>& results) {
  CompareReport report;
  report.contexts = split_list(plan.contexts);
  report.version = version;
  if (plan.needles) {
    report.needle_task = plan.needles->task;
    for (const std::string& length : split_list(plan.needles->lengths)) {
      report.needle_lengths.push_back({length, static_cast<double>(parse_size(length, "[needles] lengths"))});
    }
  }
  // By position: where most of the document can be seen.
  const auto full = std::ranges::find(report.contexts, "full");
  const std::string widest = full == report.contexts.end() ? report.contexts.back() : *full;
  for (const CompareModel& model : plan.models) {
    std::vector<const CompareResult*> seeds;
    for (const CompareResult& result : results) {
      if (result.model == model.name) seeds.push_back(&result);
    }
    ComparedModel row = model_of(model, seeds, report.contexts, report.needle_lengths.size());
    const Json entry = perplexity_entry(*seeds.front(), widest);
    const Json buckets = field_or_null(entry, "positions");
    for (std::size_t i = 0; i < (buckets.is_null() ? 0 : buckets.size()); ++i) {
      row.by_position.push_back(range_over(seeds, [&](const CompareResult& seed) {
        const Json own = field_or_null(perplexity_entry(seed, widest), "positions");
        return own.is_null() || i >= own.size() ? Json(nullptr) : json_field<Json>(own.at(i), "mean_nll", source);
      }));
      if (report.positions.size() > i) continue;
      report.positions.emplace_back(json_field<std::int64_t>(buckets.at(i), "begin", source),
                                    json_field<std::int64_t>(buckets.at(i), "end", source));
    }
    const Json samples = needle_entry(*seeds.front(), 0, "num_samples");
    if (samples.is_number()) report.needle_samples = samples.get<std::int64_t>();
    if (!entry.is_null()) report.scored_tokens = json_field<std::int64_t>(entry, "num_tokens", source);
    const Json speed = output_of(seeds.front()->speed);
    if (!speed.is_null()) report.prompt_tokens = json_field<std::int64_t>(speed, "prompt_tokens", source);
    for (const Json* step : {&seeds.front()->train, &seeds.front()->perplexity, &seeds.front()->speed,
                             &seeds.front()->finetune, &seeds.front()->needles}) {
      if (!step->is_null()) report.commands.push_back(json_field<std::string>(*step, "command", source));
    }
    report.models.push_back(std::move(row));
  }
  return report;
}

}  // namespace lookback
