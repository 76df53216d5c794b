#include "cli/generate_output.h"

#include <fmt/core.h>

#include <utility>

#include "core/progress.h"

namespace lookback {
namespace {

Json rate(double count, double seconds) { return count > 0 && seconds > 0 ? Json(count / seconds) : Json(nullptr); }

// As a JSON string: control characters can be seen, broken UTF-8 does no harm.
std::string quoted(const std::string& text) { return Json(text).dump(-1, ' ', false, Json::error_handler_t::replace); }

Json to_json(const Source& source) {
  Json json = {{"group", source.group}, {"weight", source.weight}};
  if (source.memory.empty()) {
    json["memory"] = nullptr;  // the prompt and the answer themselves
    json["chunk"] = source.chunk;
  } else {
    json["memory"] = source.memory;
    json["document"] = source.document;
    json["chunk"] = source.chunk;
    json["text_begin"] = source.text_begin;
  }
  json["text"] = source.text;
  return json;
}

}  // namespace

Json to_json(const Answer& answer, bool with_text) {
  Json json;
  json["ids"] = answer.ids;
  json["text"] = with_text ? Json(answer.text) : Json(nullptr);
  json["stop_reason"] = stop_reason_name(answer.stop_reason);
  json["prompt_tokens"] = answer.prompt_tokens;
  json["new_tokens"] = answer.ids.size();
  json["prefill_seconds"] = answer.prefill_seconds;
  json["prefill_tokens_per_second"] = rate(static_cast<double>(answer.prompt_tokens), answer.prefill_seconds);
  json["decode_seconds"] = answer.decode_seconds;
  json["decode_tokens_per_second"] = rate(static_cast<double>(answer.num_decode_steps), answer.decode_seconds);
  json["memory_bytes"] = answer.memory_bytes;
  json["window_bytes"] = answer.window_bytes;
  if (!answer.hypotheses.empty()) {
    json["beams"] = Json::array();
    for (const Hypothesis& hypothesis : answer.hypotheses) {
      json["beams"].push_back({{"ids", hypothesis.ids},
                               {"text", with_text ? Json(hypothesis.text) : Json(nullptr)},
                               {"stop_reason", stop_reason_name(hypothesis.stop_reason)},
                               {"log_probability", hypothesis.log_probability},
                               {"score", hypothesis.score}});
    }
  }
  return json;
}

Json to_json(const std::vector<RetrievedSources>& retrieved) {
  Json chunks = Json::array();
  for (const RetrievedSources& at_work : retrieved) {
    Json sources = Json::array();
    for (const Source& source : at_work.sources) sources.push_back(to_json(source));
    chunks.push_back({{"first_token", at_work.first_token}, {"retrieved", std::move(sources)}});
  }
  return chunks;
}

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
    text +=
        fmt::format("[beam {}: score {:.4f}, log-probability {:.4f}, {} tokens, ended by {}] {}\n", i + 1, one.score,
                    one.log_probability, one.ids.size(), stop_reason_name(one.stop_reason), quoted(one.text));
  }
  return text;
}

std::string rate_text(double count, double seconds) {
  return count > 0 && seconds > 0 ? format_count(count / seconds) + " tokens/s" : "-";
}

std::string summary(const Answer& answer) {
  return fmt::format("[prompt {} tokens, {}; new {} tokens, {}; chunk memory {}; ended by {}]",
                     format_count(static_cast<double>(answer.prompt_tokens)),
                     rate_text(static_cast<double>(answer.prompt_tokens), answer.prefill_seconds), answer.ids.size(),
                     rate_text(static_cast<double>(answer.num_decode_steps), answer.decode_seconds),
                     format_bytes(static_cast<double>(answer.memory_bytes)), stop_reason_name(answer.stop_reason));
}

}  // namespace lookback
