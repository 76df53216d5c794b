#include "cli/generate_output.h"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "core/progress.h"
#include "generate/token_ids.h"
#include "text/utf8_stream.h"

namespace lookback {
namespace {

Json rate(double count, double seconds) { return count > 0 && seconds > 0 ? Json(count / seconds) : Json(nullptr); }

std::string text_of(std::span<const std::int64_t> ids, const Tokenizer* tokenizer) {
  if (tokenizer == nullptr) return fmt::format("{}", fmt::join(ids, " "));
  std::string bytes;
  for (const std::int64_t id : ids) decode_any(*tokenizer, id, bytes);
  Utf8Stream characters;
  return characters.push(bytes) + characters.flush();
}

// Where a retrieved chunk comes from, and what it says.
Json explain_source(const RetrievalSource& source, std::span<const std::shared_ptr<const StoredMemory>> memories,
                    std::span<const std::int64_t> text_ids, const InferenceModel& opened) {
  Json json = {{"group", source.group}, {"weight", source.weight}};
  if (source.place.archive < memories.size()) {
    const StoredMemory& memory = *memories[source.place.archive];
    const ChunkOrigin origin = memory.origin(source.place.chunk);
    json["memory"] = memory.path().string();
    json["document"] = std::ranges::find(memory.documents(), origin.document, &MemoryDocument::id)->name;
    json["chunk"] = origin.chunk;
    json["text_begin"] = origin.text_begin;
    json["text"] = text_of(origin.token_ids, opened.tokenizer.get());
    return json;
  }
  const auto size = static_cast<std::size_t>(opened.model->config().chunk_size);
  json["memory"] = nullptr;  // the prompt and the answer themselves
  json["chunk"] = source.place.chunk;
  json["text"] =
      text_of(text_ids.subspan(static_cast<std::size_t>(source.place.chunk) * size, size), opened.tokenizer.get());
  return json;
}

}  // namespace

Json to_json(const GenerateResult& result, bool with_text) {
  Json json;
  json["ids"] = result.ids;
  json["text"] = with_text ? Json(result.text) : Json(nullptr);
  json["stop_reason"] = stop_reason_name(result.stop_reason);
  json["prompt_tokens"] = result.prompt_tokens;
  json["new_tokens"] = result.ids.size();
  json["prefill_seconds"] = result.prefill_seconds;
  json["prefill_tokens_per_second"] = rate(static_cast<double>(result.prompt_tokens), result.prefill_seconds);
  json["decode_seconds"] = result.decode_seconds;
  json["decode_tokens_per_second"] = rate(static_cast<double>(result.num_decode_steps), result.decode_seconds);
  json["memory_bytes"] = result.memory_bytes;
  json["window_bytes"] = result.window_bytes;
  if (!result.hypotheses.empty()) {
    json["beams"] = Json::array();
    for (const Hypothesis& hypothesis : result.hypotheses) {
      json["beams"].push_back({{"ids", hypothesis.ids},
                               {"text", with_text ? Json(hypothesis.text) : Json(nullptr)},
                               {"stop_reason", stop_reason_name(hypothesis.stop_reason)},
                               {"log_probability", hypothesis.log_probability},
                               {"score", hypothesis.score}});
    }
  }
  return json;
}

Json explain(const GenerateResult& result, std::span<const std::shared_ptr<const StoredMemory>> memories,
             std::span<const std::int64_t> text_ids, const InferenceModel& opened) {
  Json chunks = Json::array();
  for (const Explanation& explanation : result.explanations) {
    Json retrieved = Json::array();
    for (const RetrievalSource& source : explanation.sources) {
      retrieved.push_back(explain_source(source, memories, text_ids, opened));
    }
    chunks.push_back({{"first_token", explanation.first_token}, {"retrieved", std::move(retrieved)}});
  }
  return chunks;
}

std::string explanation_text(const Json& chunks) {
  std::string text;
  for (const Json& chunk : chunks) {
    text += fmt::format("\nfrom new token {} on:\n", chunk["first_token"].get<std::int64_t>());
    if (chunk["retrieved"].empty()) text += "  nothing retrieved\n";
    for (const Json& retrieved : chunk["retrieved"]) {
      const std::string place = retrieved["memory"].is_null()
                                    ? "this text"
                                    : fmt::format("{} at byte {}", retrieved["document"].get<std::string>(),
                                                  retrieved["text_begin"].get<std::uint64_t>());
      text += fmt::format("  {:5.1f}%  {}  {}\n", 100 * retrieved["weight"].get<double>(), place,
                          retrieved["text"].dump(-1, ' ', false, Json::error_handler_t::replace));
    }
  }
  return text;
}

std::string hypotheses_text(const GenerateResult& result) {
  std::string text;
  for (std::size_t i = 0; i < result.hypotheses.size(); ++i) {
    const Hypothesis& one = result.hypotheses[i];
    text += fmt::format("[beam {}: score {:.4f}, log-probability {:.4f}, {} tokens, ended by {}] {}\n", i + 1,
                        one.score, one.log_probability, one.ids.size(), stop_reason_name(one.stop_reason),
                        Json(one.text).dump(-1, ' ', false, Json::error_handler_t::replace));
  }
  return text;
}

std::string rate_text(double count, double seconds) {
  return count > 0 && seconds > 0 ? format_count(count / seconds) + " tokens/s" : "-";
}

std::string summary(const GenerateResult& result) {
  return fmt::format("[prompt {} tokens, {}; new {} tokens, {}; chunk memory {}; ended by {}]",
                     format_count(static_cast<double>(result.prompt_tokens)),
                     rate_text(static_cast<double>(result.prompt_tokens), result.prefill_seconds), result.ids.size(),
                     rate_text(static_cast<double>(result.num_decode_steps), result.decode_seconds),
                     format_bytes(static_cast<double>(result.memory_bytes)), stop_reason_name(result.stop_reason));
}

}  // namespace lookback
