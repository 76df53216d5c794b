#include "api/answer_json.h"

#include <utility>

namespace lookback {
namespace {

Json rate(double count, double seconds) { return count > 0 && seconds > 0 ? Json(count / seconds) : Json(nullptr); }

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

}  // namespace lookback
