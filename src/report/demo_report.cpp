#include "report/demo_report.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "core/progress.h"
#include "core/units.h"
#include "report/context_strip.h"
#include "report/escape.h"
#include "report/html.h"

namespace lookback {
namespace {

// Weight of the past in the smoothed curves.
constexpr double smoothing = 0.9;

ChartSeries raw_series(const DemoModelResult& model, double DemoTrainingStep::* field, std::size_t colour) {
  ChartSeries series{.name = model.name, .markers = false, .faint = true, .colour = colour};
  for (const DemoTrainingStep& step : model.steps) {
    if (std::isfinite(step.*field)) series.points.push_back({static_cast<double>(step.step), step.*field});
  }
  return series;
}

// Exponential mean, corrected for its start (as in Adam).
ChartSeries smoothed(ChartSeries series) {
  series.faint = false;
  double mean = 0;
  double past = 1;
  for (ChartPoint& point : series.points) {
    mean = smoothing * mean + (1 - smoothing) * point.y;
    past *= smoothing;
    point.y = mean / (1 - past);
  }
  return series;
}

// The first steps' losses would leave all that follows in the lowest fifth of the picture.
double loss_limit(const DemoReport& report) {
  double limit = 0;
  for (const DemoModelResult* model : {&report.drt, &report.sliding_window}) {
    limit = std::max(limit, model->steps[model->steps.size() / 16].loss);
  }
  return 1.2 * limit;
}

LineChart training_chart(const DemoReport& report, const std::string& title, const std::string& y_label,
                         double DemoTrainingStep::* field, bool percent) {
  LineChart chart{.title = title,
                  .x_label = "optimizer step",
                  .y_label = y_label,
                  .percent_y = percent,
                  .y_limit = percent ? 1 : loss_limit(report),
                  .marks = report.drt.stages};
  const ChartSeries sliding = raw_series(report.sliding_window, field, 1);
  const ChartSeries drt = raw_series(report.drt, field, 0);
  chart.series = {sliding, drt, smoothed(drt), smoothed(sliding)};
  return chart;
}

ChartSeries accuracy_series(const DemoModelResult& model, std::size_t colour) {
  ChartSeries series{.name = model.name, .colour = colour};
  for (const DemoLength& length : model.lengths) {
    series.points.push_back({static_cast<double>(length.length_tokens), length.accuracy(), length.low, length.high,
                             fmt::format("{}: {} of {} at {} tokens", model.name, length.num_correct,
                                         length.num_samples, group_digits(length.length_tokens))});
  }
  return series;
}

const DemoLength* find_length(const DemoModelResult& model, std::int64_t length_tokens) {
  for (const DemoLength& length : model.lengths) {
    if (length.length_tokens == length_tokens) return &length;
  }
  return nullptr;
}

std::string interval_text(const DemoLength& length) {
  return fmt::format("{:.0f}–{:.0f}%", 100 * length.low, 100 * length.high);
}

std::string multiple_text(const DemoReport& report, std::int64_t length_tokens) {
  const double multiple = static_cast<double>(length_tokens) / static_cast<double>(report.training_length);
  return fmt::format("{}×", group_digits(std::llround(multiple)));
}

std::string retrieved_cards(const DemoSample& sample) {
  std::string html = "<ul class=\"cards\">\n";
  for (const DemoRetrievedChunk& chunk : sample.retrieved) {
    const std::string_view text = chunk.text;
    html += fmt::format(
        "<li class=\"card{}\"><div class=\"head\"><b>{:.1f}%</b><div class=\"bar\"><i "
        "style=\"width:{:.1f}%\"></i></div><span>chunk {} of {}</span></div>",
        chunk.holds_needle() ? " found" : "", 100 * chunk.weight, 100 * chunk.weight,
        group_digits(chunk.chunk_index + 1), group_digits(sample.num_chunks));
    html += fmt::format("<p class=\"text\">{}", escape_markup(text.substr(0, chunk.needle_begin)));
    if (chunk.holds_needle()) {
      html += fmt::format("<mark>{}</mark>",
                          escape_markup(text.substr(chunk.needle_begin, chunk.needle_end - chunk.needle_begin)));
    }
    html += fmt::format("{}</p></li>\n", escape_markup(text.substr(chunk.needle_end)));
  }
  return html + "</ul>\n";
}

std::string answer_list(const DemoSample& sample) {
  std::string html = fmt::format("<dl class=\"answers\"><dt>question</dt><dd>{}</dd><dt>right answer</dt><dd>{}</dd>\n",
                                 escape_markup(sample.question), escape_markup(sample.expected));
  for (const auto& [name, answer] : sample.answers) {
    const bool right = answer == sample.expected;
    html += fmt::format("<dt>{}</dt><dd>{} <span class=\"{}\">{}</span></dd>\n", escape_markup(name),
                        escape_markup(answer), right ? "right" : "wrong", right ? "✓ right" : "✗ wrong");
  }
  return html + "</dl>\n";
}

ContextStrip strip_of(const DemoReport& report) {
  const DemoSample& sample = report.sample;
  ContextStrip strip{
      .title = fmt::format("Where it looked: {} tokens, {} chunks", group_digits(sample.num_chunks * sample.chunk_size),
                           group_digits(sample.num_chunks)),
      .num_chunks = sample.num_chunks,
      .chunk_size = sample.chunk_size,
      .question_chunk = sample.num_chunks - 1,
      .training_length = report.training_length};
  for (const DemoRetrievedChunk& chunk : sample.retrieved) {
    strip.marks.push_back({chunk.chunk_index, chunk.weight, chunk.holds_needle(),
                           fmt::format("{}{:.1f}%", chunk.holds_needle() ? "the needle, " : "", 100 * chunk.weight)});
  }
  return strip;
}

void add_accuracy(const DemoReport& report, HtmlPage& page) {
  page.heading("Right answers by length of the context");
  page.paragraph(
      "Each sample is a text with six needles such as |key fox is 48213| and, at its end, a question for "
      "one of them. Counted are answers with all five digits right, chosen greedily; nothing of the "
      "answer stands within reach of the attention window. Bars are 95% Wilson intervals.");
  page.figure(line_chart_svg(demo_accuracy_chart(report)), "");
  const auto table = demo_accuracy_table(report);
  HtmlTable numbers{.caption =
                        "The same in figures. n: samples; recall: how often the needle's chunk was among "
                        "the retrieved ones.",
                    .headers = table.front(),
                    .rows = {table.begin() + 1, table.end()}};
  page.table(numbers);
}

void add_depths(const DemoReport& report, HtmlPage& page) {
  if (report.depths.values.empty()) return;
  page.heading("Does it matter where the needle lies?");
  page.paragraph(
      fmt::format("Right answers of {} by length of the context and by depth, the place of the needle "
                  "from the beginning (0%) to the question (100%). Each cell: answers that were right, "
                  "of all that were asked.",
                  report.drt.name));
  page.figure(heatmap_svg(report.depths), "");
}

void add_sample(const DemoReport& report, HtmlPage& page) {
  const DemoSample& sample = report.sample;
  if (sample.retrieved.empty()) return;
  page.heading("One sample, seen from inside");
  page.paragraph(
      fmt::format("At the end of the question the model compares it with the landmark of each of the {} "
                  "chunks before it, takes the {} best and reads those, each with the weight shown. "
                  "Nobody told it which chunk was right: the retriever was trained by the loss of the "
                  "text alone.",
                  group_digits(sample.num_chunks - 1), sample.retrieved.size()));
  page.figure(context_strip_svg(strip_of(report)), "Columns: the chunks retrieved, as high as their weight.");
  page.markup(answer_list(sample));
  page.markup(retrieved_cards(sample));
}

void add_training(const DemoReport& report, HtmlPage& page) {
  page.heading("Training");
  page.paragraph(
      "Both models read the same batches from the same seed. The dotted lines are stages of the "
      "curriculum: the texts grow when the DRT answers well. Pale: each step; strong: running mean.");
  page.figure(line_chart_svg(training_chart(report, "Loss", "loss", &DemoTrainingStep::loss, false)),
              "The loss counts the answers' tokens once and half of all tokens; it rises when a stage brings "
              "more to find. The first steps lie above the picture.");
  page.figure(line_chart_svg(training_chart(report, "Right answers in training", "exact match",
                                            &DemoTrainingStep::exact_match, true)),
              "");
}

std::string lead_of(const DemoReport& report) {
  const DemoLength& longest = report.drt.lengths.back();
  const std::string model =
      fmt::format("A model of {} parameters, trained from scratch in {} on texts of at most {} tokens, ",
                  group_digits(report.drt.num_parameters), format_duration(report.drt.training_seconds),
                  group_digits(report.training_length));
  const std::string found = fmt::format("{} of the needles in texts of {} tokens", percent_text(longest.accuracy()),
                                        group_digits(longest.length_tokens));
  if (!demo_learned(report)) return model + fmt::format("found only {}. Another seed or more steps may do.", found);
  return model + fmt::format("finds {}. Its retriever learned this from the language-model loss alone.", found);
}

}  // namespace

bool demo_learned(const DemoReport& report) {
  return !report.drt.lengths.empty() && report.drt.lengths.back().accuracy() >= demo_success_accuracy;
}

std::vector<std::vector<std::string>> demo_accuracy_table(const DemoReport& report) {
  std::vector<std::vector<std::string>> table{{"tokens", "× training", report.drt.name, "95% interval", "n", "recall",
                                               report.sliding_window.name, "95% interval", "n"}};
  for (const DemoLength& length : report.drt.lengths) {
    std::vector<std::string> row{
        group_digits(length.length_tokens),    multiple_text(report, length.length_tokens),
        percent_text(length.accuracy()),       interval_text(length),
        fmt::format("{}", length.num_samples), length.recall < 0 ? "–" : percent_text(length.recall)};
    if (const DemoLength* other = find_length(report.sliding_window, length.length_tokens)) {
      row.insert(row.end(),
                 {percent_text(other->accuracy()), interval_text(*other), fmt::format("{}", other->num_samples)});
    } else {
      row.insert(row.end(), {"–", "–", "–"});
    }
    table.push_back(std::move(row));
  }
  return table;
}

LineChart demo_accuracy_chart(const DemoReport& report) {
  LineChart chart{.title = "Exact match by length of the context",
                  .x_label = "tokens of context (logarithmic); below: multiples of the longest text in training",
                  .y_label = "exact match",
                  .log_x = true,
                  .percent_y = true};
  chart.series = {accuracy_series(report.drt, 0), accuracy_series(report.sliding_window, 1)};
  for (const DemoLength& length : report.drt.lengths) {
    chart.x_ticks.push_back({static_cast<double>(length.length_tokens), group_digits(length.length_tokens),
                             multiple_text(report, length.length_tokens)});
  }
  return chart;
}

std::string demo_report_html(const DemoReport& report) {
  for (const DemoModelResult* model : {&report.drt, &report.sliding_window}) {
    require(!model->lengths.empty() && !model->steps.empty(), "the demo's report: no results of {}", model->name);
  }
  const DemoLength& longest = report.drt.lengths.back();
  const DemoLength& sliding = report.sliding_window.lengths.back();
  HtmlPage page(demo_learned(report) ? "It learned to look back" : "This run did not learn to look back",
                lead_of(report));
  page.tiles(
      {{percent_text(longest.accuracy()),
        fmt::format("{} right at {} tokens, {} its longest training text", report.drt.name,
                    group_digits(longest.length_tokens), multiple_text(report, longest.length_tokens))},
       {percent_text(sliding.accuracy()), fmt::format("{} of the same size, at {} tokens", report.sliding_window.name,
                                                      group_digits(sliding.length_tokens))},
       {format_duration(report.drt.training_seconds),
        fmt::format("to train {}; {} for everything on this page", report.drt.name,
                    format_duration(report.total_seconds))},
       {format_bytes(report.peak_memory_bytes), "most memory in use at any time"}});
  add_accuracy(report, page);
  add_sample(report, page);
  add_depths(report, page);
  add_training(report, page);
  page.heading("How it was made");
  HtmlTable settings{
      .caption = "Models, training and machine.", .headers = {"what", "value"}, .rows = {}, .prose = true};
  for (const auto& [name, value] : report.settings) settings.rows.push_back({name, value});
  page.table(settings);
  page.paragraph("Both models lie in ordinary run folders. To go on from here:");
  page.code(report.next_commands);
  return page.finish(fmt::format("Lookback {}, seed {}.", report.version, report.seed));
}

}  // namespace lookback
