#include "report/demo_report_json.h"

namespace lookback {
namespace {

Json length_json(const DemoLength& length) {
  return {{"length", length.length_tokens},
          {"num_samples", length.num_samples},
          {"num_correct", length.num_correct},
          {"accuracy", length.accuracy()},
          {"wilson_95", {length.low, length.high}},
          {"recall_at_k", length.recall < 0 ? Json(nullptr) : Json(length.recall)},
          {"seconds", length.seconds}};
}

Json model_json(const DemoModelResult& model) {
  Json lengths = Json::array();
  for (const DemoLength& length : model.lengths) lengths.push_back(length_json(length));
  return {{"model", model.folder},
          {"num_parameters", model.num_parameters},
          {"training_seconds", model.training_seconds},
          {"by_length", lengths}};
}

}  // namespace

Json demo_report_json(const DemoReport& report) {
  return {{"version", report.version},
          {"seed", report.seed},
          {"learned", demo_learned(report)},
          {"training_length", report.training_length},
          {"total_seconds", report.total_seconds},
          {"peak_memory_bytes", report.peak_memory_bytes},
          {"drt", model_json(report.drt)},
          {"sliding_window", model_json(report.sliding_window)}};
}

}  // namespace lookback
