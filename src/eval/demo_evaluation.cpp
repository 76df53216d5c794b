#include "eval/demo_evaluation.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <utility>

#include "core/error.h"
#include "data/needle_sequence.h"
#include "data/needle_task.h"
#include "eval/needle.h"

namespace lookback {
namespace {

constexpr std::int64_t haystack_bytes = 2'000'000;
constexpr std::int64_t example_prompt_chunks = 64;
// Apart from every stream that training and evaluation draw from.
constexpr std::uint64_t haystack_stream = 1'000'000'007;
constexpr std::uint64_t inspection_stream = 1'000'000'008;
constexpr std::uint64_t example_stream = 1'000'000'009;
// Far back, and not at the very beginning.
constexpr double shown_depth = 0.25;

std::vector<std::int64_t> make_haystack(std::uint64_t seed) {
  Random random(seed, haystack_stream);
  const std::string text = make_sentences(haystack_bytes, random);
  return {text.begin(), text.end()};
}

NeedleTask task_of(const DemoPlan& plan, std::int64_t num_chunks, double depth) {
  NeedleTask task;
  task.kind = NeedleKind::recipe;
  task.chunk_size = plan.drt.chunk_size;
  task.length = num_chunks * plan.drt.chunk_size;
  task.depth = depth;
  task.num_needles = plan.num_needles;
  task.num_empty_chunks = plan.num_empty_chunks;
  return task;
}

NeedleSample make_sample(const Tokenizer& tokenizer, const DemoPlan& plan, std::int64_t num_chunks, std::uint64_t seed,
                         std::uint64_t stream) {
  const std::vector<std::int64_t> haystack = make_haystack(seed);
  Random random(seed, stream);
  return NeedleGenerator(task_of(plan, num_chunks, shown_depth), haystack, tokenizer).make(random);
}

std::string text_of(const std::vector<std::int64_t>& ids, std::int64_t begin, std::int64_t end) {
  return {ids.begin() + begin, ids.begin() + end};
}

// Ids beyond the bytes (end of text, landmark) are no characters.
std::string character_of(std::int64_t id) { return id < 256 ? std::string(1, static_cast<char>(id)) : "\xEF\xBF\xBD"; }

// A callback that hears of increments, from one that hears of sums.
class Increments {
 public:
  explicit Increments(const TokensRead& on_tokens) : on_tokens_(on_tokens) {}
  void report(std::int64_t sum) { on_tokens_(sum - std::exchange(reported_, sum)); }

 private:
  const TokensRead& on_tokens_;
  std::int64_t reported_ = 0;
};

}  // namespace

DemoCell evaluate_demo_cell(const Model& model, const Tokenizer& tokenizer, const DemoPlan& plan,
                            const DemoLengthPlan& length, std::size_t depth_index, std::uint64_t seed,
                            const TokensRead& on_tokens, const StopToken& stop) {
  NeedleEvaluationConfig config;
  config.task = task_of(plan, length.num_chunks, plan.depths[depth_index]);
  config.lengths = {config.task.length};
  config.depths = {config.task.depth};
  config.num_samples = length.samples_per_depth;
  config.seed = seed;
  Increments increments(on_tokens);
  const NeedleEvaluation evaluation = evaluate_needles(
      model, tokenizer, make_haystack(seed), config,
      [&](double done_tokens, double) { increments.report(static_cast<std::int64_t>(done_tokens)); }, stop);
  if (!evaluation.complete) throw Interrupted();
  const NeedleCell& cell = evaluation.cells.at(0);
  DemoCell result{cell.num_samples, cell.num_correct, 0, !cell.recall.empty()};
  if (result.retrieves) result.num_recalled = cell.recall.at(0).at(0).num_recalled;
  return result;
}

DemoInspection inspect_demo_sample(const Model& model, const Tokenizer& tokenizer, const DemoPlan& plan,
                                   std::uint64_t seed, const TokensRead& on_tokens, const StopToken& stop) {
  const std::int64_t chunk_size = plan.drt.chunk_size;
  const NeedleSample sample = make_sample(tokenizer, plan, plan.sample.num_chunks, seed, inspection_stream);
  const std::vector<std::int64_t>& ids = sample.prompt_ids;
  const auto length = static_cast<std::int64_t>(ids.size());

  Increments increments(on_tokens);
  NeedleQuestioning questioning;
  questioning.on_progress = [&](std::int64_t num_tokens) { increments.report(num_tokens); };
  questioning.stop = stop;
  const NeedleAnswer answer = ask_needles(model, {sample}, questioning).front();
  if (answer.ids.empty()) throw Interrupted();

  DemoInspection inspection;
  inspection.num_chunks = plan.sample.num_chunks;
  // The prompt ends with the question's chunk and the answer's blank.
  const std::string question_chunk = text_of(ids, length - 1 - chunk_size, length - 1);
  inspection.question = question_chunk.substr(question_chunk.rfind('|'));
  inspection.needle = text_of(ids, sample.needle_begins.at(0), sample.needle_ends.at(0));
  for (const std::int64_t id : sample.answer_ids) inspection.expected += character_of(id);
  for (const std::int64_t id : answer.ids) inspection.answer += character_of(id);
  if (answer.retrievals.empty()) return inspection;
  const at::Tensor indices = answer.retrievals[0].indices.flatten();
  const at::Tensor weights = answer.retrievals[0].weights.flatten();
  for (std::int64_t k = 0; k < indices.size(0); ++k) {
    const auto chunk = indices[k].item<std::int64_t>();
    if (chunk < 0) continue;
    inspection.retrieved.push_back({chunk, weights[k].item<double>(),
                                    text_of(ids, chunk * chunk_size, (chunk + 1) * chunk_size),
                                    chunk == sample.needle_begins.at(0) / chunk_size});
  }
  std::sort(inspection.retrieved.begin(), inspection.retrieved.end(),
            [](const DemoRetrieved& a, const DemoRetrieved& b) { return a.weight > b.weight; });
  return inspection;
}

std::string demo_example_prompt(const Tokenizer& tokenizer, const DemoPlan& plan, std::uint64_t seed) {
  const NeedleSample sample = make_sample(tokenizer, plan, example_prompt_chunks, seed, example_stream);
  return text_of(sample.prompt_ids, 0, static_cast<std::int64_t>(sample.prompt_ids.size()));
}

}  // namespace lookback
