#include "report/compare_report.h"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "core/error.h"
#include "core/progress.h"
#include "core/units.h"
#include "report/html.h"
#include "report/line_chart.h"

namespace lookback {
namespace {

// "5.544", with several seeds "5.544 (5.51-5.58)".
template <typename Format>
std::string range_text(const SeedRange& range, const Format& format) {
  if (range.count == 0) return "-";
  if (range.count == 1) return format(range.mean);
  return fmt::format("{} ({}-{})", format(range.mean), format(range.low), format(range.high));
}

// Costs hardly differ between seeds: the mean alone.
template <typename Format>
std::string mean_text(const SeedRange& range, const Format& format) {
  return range.count == 0 ? "-" : format(range.mean);
}

std::string decimal(double value) { return fmt::format("{:.{}f}", value, value < 10 ? 3 : 2); }
std::string fine_decimal(double value) { return fmt::format("{:.4f}", value); }
std::string bytes(double value) { return format_bytes(value); }
std::string count(double value) { return format_count(value); }
std::string whole(double value) { return group_digits(std::llround(value)); }

std::string position_name(const std::pair<std::int64_t, std::int64_t>& bucket) {
  return fmt::format("{}-{}", size_text(bucket.first), size_text(bucket.second));
}

// A curve a model, of its points(model); "" when no model has any.
template <typename Points>
std::string chart_of_models(LineChart chart, const CompareReport& report, const Points& points) {
  for (std::size_t m = 0; m < report.models.size(); ++m) {
    ChartSeries series;
    series.name = report.models[m].name;
    series.colour = m;
    series.points = points(report.models[m]);
    if (!series.points.empty()) chart.series.push_back(std::move(series));
  }
  return chart.series.empty() ? "" : line_chart_svg(chart);
}

// One figure a tick, with its range where there are several seeds.
std::vector<ChartPoint> points_at_ticks(const std::vector<SeedRange>& figures, const std::vector<ChartTick>& ticks) {
  std::vector<ChartPoint> points;
  for (std::size_t i = 0; i < figures.size(); ++i) {
    if (figures[i].count == 0) continue;
    points.push_back({.x = ticks[i].at, .y = figures[i].mean});
    if (figures[i].count == 1) continue;
    points.back().low = figures[i].low;
    points.back().high = figures[i].high;
  }
  return points;
}

std::string position_chart(const CompareReport& report) {
  LineChart chart;
  chart.title = "Loss by position in the document";
  chart.x_label = "tokens before the scored one, up to (logarithmic)";
  chart.y_label = "nats a token";
  chart.zoom_y = true;
  chart.log_x = true;
  for (const auto& [begin, end] : report.positions) {
    chart.x_ticks.push_back({static_cast<double>(end), size_text(end), ""});
  }
  return chart_of_models(chart, report,
                         [&](const ComparedModel& model) { return points_at_ticks(model.by_position, chart.x_ticks); });
}

std::string training_chart(const CompareReport& report) {
  LineChart chart;
  chart.title = "Validation loss while training, first seed";
  chart.x_label = "thousand tokens trained on";
  chart.y_label = "nats a token";
  chart.zoom_y = true;
  return chart_of_models(chart, report, [](const ComparedModel& model) {
    std::vector<ChartPoint> points;
    for (const auto& [tokens, loss] : model.validation_curve) points.push_back({.x = tokens / 1000, .y = loss});
    return points;
  });
}

std::string needle_chart(const CompareReport& report) {
  LineChart chart;
  chart.title = "Needles found after training further on them";
  chart.x_label = "tokens of text (logarithmic)";
  chart.y_label = "found";
  chart.percent_y = true;
  chart.log_x = true;
  for (const NeedleLength& length : report.needle_lengths) {
    chart.x_ticks.push_back({length.num_tokens, length.name, ""});
  }
  return chart_of_models(chart, report,
                         [&](const ComparedModel& model) { return points_at_ticks(model.needles, chart.x_ticks); });
}

HtmlTable html_table(const std::string& caption, const CompareTable& rows) {
  HtmlTable table{.caption = caption, .headers = rows.front(), .rows = {}};
  table.rows.assign(rows.begin() + 1, rows.end());
  return table;
}

std::string markdown_table(const CompareTable& rows) {
  std::string text = fmt::format("| {} |\n|", fmt::join(rows.front(), " | "));
  for (std::size_t i = 0; i < rows.front().size(); ++i) text += "---|";
  text += "\n";
  for (std::size_t i = 1; i < rows.size(); ++i) text += fmt::format("| {} |\n", fmt::join(rows[i], " | "));
  return text;
}

}  // namespace

SeedRange range_of(const std::vector<double>& values) {
  SeedRange range;
  for (const double value : values) {
    range.low = range.count == 0 ? value : std::min(range.low, value);
    range.high = range.count == 0 ? value : std::max(range.high, value);
    range.mean += value;
    ++range.count;
  }
  if (range.count > 0) range.mean /= static_cast<double>(range.count);
  return range;
}

CompareTable compare_quality_table(const CompareReport& report) {
  CompareTable table(1, {"model", "parameters", "seeds"});
  for (const std::string& context : report.contexts) table[0].push_back(context);
  for (const ComparedModel& model : report.models) {
    std::vector<std::string> row = {model.name, group_digits(model.num_parameters), group_digits(model.num_seeds)};
    for (const SeedRange& range : model.perplexities) row.push_back(range_text(range, decimal));
    table.push_back(row);
  }
  return table;
}

CompareTable compare_bits_table(const CompareReport& report) {
  CompareTable table(1, {"model"});
  for (const std::string& context : report.contexts) table[0].push_back(context);
  for (const ComparedModel& model : report.models) {
    std::vector<std::string> row = {model.name};
    for (const SeedRange& range : model.bits_per_byte) row.push_back(range_text(range, fine_decimal));
    table.push_back(row);
  }
  return table;
}

CompareTable compare_training_table(const CompareReport& report) {
  CompareTable table(1, {"model", "training tokens/s", "memory", "validation loss"});
  for (const ComparedModel& model : report.models) {
    table.push_back({model.name, mean_text(model.training_tokens_per_second, count),
                     mean_text(model.training_peak_bytes, bytes), range_text(model.validation_loss, fine_decimal)});
  }
  return table;
}

CompareTable compare_inference_table(const CompareReport& report) {
  CompareTable table(
      1, {"model", "reading tokens/s", "writing tokens/s", "memory", "state a token", "state at any length"});
  for (const ComparedModel& model : report.models) {
    table.push_back({model.name, mean_text(model.ingest_tokens_per_second, count),
                     mean_text(model.decode_tokens_per_second, count), mean_text(model.inference_peak_bytes, bytes),
                     mean_text(model.memory_bytes_per_token, whole), mean_text(model.window_bytes, bytes)});
  }
  return table;
}

CompareTable compare_position_table(const CompareReport& report) {
  CompareTable table(1, {"model"});
  for (const auto& bucket : report.positions) table[0].push_back(position_name(bucket));
  for (const ComparedModel& model : report.models) {
    std::vector<std::string> row = {model.name};
    for (std::size_t i = 0; i < report.positions.size(); ++i) {
      row.push_back(i < model.by_position.size() ? range_text(model.by_position[i], fine_decimal) : "-");
    }
    table.push_back(row);
  }
  return table;
}

CompareTable compare_needle_table(const CompareReport& report) {
  CompareTable table(1, {"model"});
  for (const NeedleLength& length : report.needle_lengths) table[0].push_back(length.name);
  for (const ComparedModel& model : report.models) {
    std::vector<std::string> row = {model.name};
    for (std::size_t i = 0; i < report.needle_lengths.size(); ++i) {
      row.push_back(i < model.needles.size() ? range_text(model.needles[i], percent_text) : "-");
    }
    table.push_back(row);
  }
  return table;
}

std::string compare_markdown(const CompareReport& report) {
  const std::string needles =
      report.needle_lengths.empty()
          ? ""
          : fmt::format("\nNeedles ({}) found after training further on them, {} questions a length and seed\n\n{}",
                        report.needle_task, group_digits(report.needle_samples),
                        markdown_table(compare_needle_table(report)));
  return fmt::format(
      "Perplexity by context; {} scored tokens; mean (lowest-highest) over seeds\n\n{}\nBits per byte\n\n{}\n"
      "Loss (nats a token) by position in the document\n\n{}\nTraining\n\n{}\n"
      "Reading a prompt of {} tokens and writing; state in bytes\n\n{}{}",
      group_digits(report.scored_tokens), markdown_table(compare_quality_table(report)),
      markdown_table(compare_bits_table(report)), markdown_table(compare_position_table(report)),
      markdown_table(compare_training_table(report)), group_digits(report.prompt_tokens),
      markdown_table(compare_inference_table(report)), needles);
}

std::string compare_csv(const CompareReport& report) {
  std::string text = "model,kind,parameters,figure,at,mean,low,high,seeds\n";
  for (const ComparedModel& model : report.models) {
    const auto add = [&](const std::string& figure, const std::string& at, const SeedRange& range) {
      if (range.count == 0) return;
      text += fmt::format("{},{},{},{},{},{:.9g},{:.9g},{:.9g},{}\n", model.name, model.kind, model.num_parameters,
                          figure, at, range.mean, range.low, range.high, range.count);
    };
    for (std::size_t i = 0; i < model.perplexities.size(); ++i) {
      add("perplexity", report.contexts[i], model.perplexities[i]);
      add("bits_per_byte", report.contexts[i], model.bits_per_byte[i]);
    }
    for (std::size_t i = 0; i < model.by_position.size(); ++i) {
      add("loss", std::to_string(report.positions[i].second), model.by_position[i]);
    }
    for (std::size_t i = 0; i < model.needles.size(); ++i) {
      add("needles_found", report.needle_lengths[i].name, model.needles[i]);
    }
    add("validation_loss", "", model.validation_loss);
    add("training_tokens_per_second", "", model.training_tokens_per_second);
    add("training_peak_bytes", "", model.training_peak_bytes);
    add("ingest_tokens_per_second", "", model.ingest_tokens_per_second);
    add("decode_tokens_per_second", "", model.decode_tokens_per_second);
    add("inference_peak_bytes", "", model.inference_peak_bytes);
    add("memory_bytes_per_token", "", model.memory_bytes_per_token);
    add("window_bytes", "", model.window_bytes);
  }
  return text;
}

std::string compare_report_html(const CompareReport& report) {
  require(std::ranges::any_of(report.models, [](const ComparedModel& model) { return model.num_seeds > 0; }),
          "the comparison has no finished model yet");
  HtmlPage page("Long-range models side by side",
                fmt::format("Each model trained on the same {} tokens, in the same order, and measured on the same {} "
                            "tokens of other text. Mean over seeds, lowest and highest beside it.",
                            group_digits(report.models.front().training_tokens), group_digits(report.scored_tokens)));
  page.heading("Perplexity by context");
  page.table(html_table("Perplexity: each scored token is predicted from so many tokens before it.",
                        compare_quality_table(report)));
  page.table(html_table("Bits per byte of text.", compare_bits_table(report)));
  if (const std::string chart = position_chart(report); !chart.empty()) {
    page.figure(chart, "Each token with all of its document before it. Bars: lowest and highest over seeds.");
    page.table(html_table("Loss, nats a token, by position in the document.", compare_position_table(report)));
  }
  page.heading("Training");
  page.table(html_table("Memory: of the whole process, at most. Means over seeds.", compare_training_table(report)));
  if (const std::string chart = training_chart(report); !chart.empty()) page.figure(chart, "Lower is better.");
  page.heading("Reading and writing");
  page.table(
      html_table(fmt::format("A prompt of {} tokens. Memory: of the whole process, at most. State: bytes kept of "
                             "the context.",
                             group_digits(report.prompt_tokens)),
                 compare_inference_table(report)));
  if (!report.needle_lengths.empty()) {
    page.heading("Needles");
    page.table(html_table(
        fmt::format("Task \"{}\": found in a text of so many tokens, {} questions a length and seed, after training "
                    "further on the task.",
                    report.needle_task, group_digits(report.needle_samples)),
        compare_needle_table(report)));
    if (const std::string chart = needle_chart(report); !chart.empty()) page.figure(chart, "Higher is better.");
  }
  page.heading("How it was made");
  page.paragraph(report.machine);
  page.code(fmt::format("{}", fmt::join(report.commands, "\n")));
  return page.finish(fmt::format("Lookback {}.", report.version));
}

}  // namespace lookback
