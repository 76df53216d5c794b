#include "cli/generate_output.h"

#include <fmt/core.h>

#include "core/counted.h"
#include "core/json.h"
#include "core/progress.h"

namespace lookback {
namespace {

// As a JSON string: control characters can be seen, broken UTF-8 does no harm.
std::string quoted(const std::string& text) { return Json(text).dump(-1, ' ', false, Json::error_handler_t::replace); }

}  // namespace

std::string sources_text(const std::vector<RetrievedSources>& retrieved) {
  std::string text;
  for (const RetrievedSources& at_work : retrieved) {
    text += fmt::format("\nfrom new token {} on:\n", at_work.first_token);
    if (at_work.sources.empty()) text += "  nothing retrieved\n";
    for (const Source& source : at_work.sources) {
      const std::string place =
          source.memory.empty() ? "this text" : fmt::format("{} at byte {}", source.document, source.text_begin);
      text += fmt::format("  {:5.1f}%  {}  {}\n", 100 * source.weight, place, quoted(source.text));
    }
  }
  return text;
}

std::string hypotheses_text(const Answer& answer) {
  std::string text;
  for (std::size_t i = 0; i < answer.hypotheses.size(); ++i) {
    const Hypothesis& one = answer.hypotheses[i];
    text += fmt::format("[beam {}: score {:.4f}, log-probability {:.4f}, {}, ended by {}] {}\n", i + 1, one.score,
                        one.log_probability, counted(one.ids.size(), "token"), stop_reason_name(one.stop_reason),
                        quoted(one.text));
  }
  return text;
}

std::string summary(const Answer& answer) {
  return fmt::format("[prompt {}, {}; new {}, {}; chunk memory {}; ended by {}]",
                     counted(format_count(static_cast<double>(answer.prompt_tokens)), "token"),
                     rate_text(static_cast<double>(answer.prompt_tokens), answer.prefill_seconds),
                     counted(answer.ids.size(), "token"),
                     rate_text(static_cast<double>(answer.num_decode_steps), answer.decode_seconds),
                     format_bytes(static_cast<double>(answer.memory_bytes)), stop_reason_name(answer.stop_reason));
}

}  // namespace lookback
