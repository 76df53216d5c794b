#include "train/metrics.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <cstring>
#include <string>

#include "core/error.h"
#include "core/file_operations.h"
#include "core/files.h"
#include "core/json_lines.h"

namespace lookback {
namespace {

// The leading lines that are whole and not after last_step.
std::string lines_until(const std::string& content, std::int64_t last_step) {
  std::size_t end = 0;
  while (true) {
    const std::size_t newline = content.find('\n', end);
    if (newline == std::string::npos) break;
    const std::string_view line = std::string_view(content).substr(end, newline - end);
    if (!is_blank_line(line)) {
      const Json value = try_parse_json_line(line).value;
      if (!value.is_object() || !value.contains("step") || !value["step"].is_number_integer()) break;
      if (value["step"].get<std::int64_t>() > last_step) break;
    }
    end = newline + 1;
  }
  return content.substr(0, end);
}

}  // namespace

Json to_json(const StepMetrics& metrics) {
  Json line = {{"step", metrics.step}};
  if (metrics.stage > 0) line["stage"] = metrics.stage;
  line["loss"] = metrics.loss;
  line["perplexity"] = std::exp(metrics.loss);
  line["recent_loss"] = metrics.recent_loss;
  line["lr"] = metrics.lr;
  line["gradient_norm"] = metrics.gradient_norm;
  if (std::isfinite(metrics.exact_match)) line["exact_match"] = metrics.exact_match;
  line["tokens"] = metrics.tokens;
  line["tokens_per_second"] = metrics.tokens_per_second;
  if (metrics.peak_fraction > 0) line["peak_fraction"] = metrics.peak_fraction;
  if (metrics.validation_loss) {
    line["validation_loss"] = *metrics.validation_loss;
    line["validation_perplexity"] = std::exp(*metrics.validation_loss);
  }
  return line;
}

Json to_json(const TrainResult& result, const std::string& run) {
  Json json = {{"run", run},
               {"steps", result.steps},
               {"interrupted", result.interrupted},
               {"loss", result.loss},
               {"perplexity", std::exp(result.loss)},
               {"best_loss", result.best_loss},
               {"best_step", result.best_step},
               {"tokens", result.tokens},
               {"seconds", result.seconds},
               {"tokens_per_second", result.tokens_per_second},
               {"peak_fraction", result.peak_fraction}};
  if (result.validation_loss) {
    json["validation_loss"] = *result.validation_loss;
    json["validation_perplexity"] = std::exp(*result.validation_loss);
  }
  return json;
}

MetricsLog::MetricsLog(const std::filesystem::path& path, std::int64_t last_step) : path_(path) {
  if (std::filesystem::exists(path)) {
    const std::string content = read_file(path);
    const std::string kept = lines_until(content, last_step);
    if (kept.size() != content.size()) write_file_atomic(path, kept);
  }
  descriptor_ = ::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
  if (descriptor_ < 0) fail("cannot write {}: {}", path.string(), std::strerror(errno));
}

MetricsLog::~MetricsLog() { ::close(descriptor_); }

void MetricsLog::record(const StepMetrics& metrics) {
  write_all(descriptor_, dump_line(to_json(metrics)) + "\n", path_);
}

void MetricsLog::sync() {
  if (uninterrupted([this] { return file_operations().fsync(descriptor_); }) != 0)
    fail("cannot write {}: {}", path_.string(), std::strerror(errno));
}

}  // namespace lookback
