#include "eval/demo_evaluation.h"

#include <algorithm>
#include <utility>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "data/needle_sequence.h"

namespace lookback {
namespace {

constexpr std::int64_t haystack_bytes = 2'000'000;
// Apart from every stream that training draws from.
constexpr std::uint64_t haystack_stream = 1'000'000'007;
constexpr std::uint64_t first_sample_stream = 1'000'000'008;
// Samples of one length are read side by side up to this many tokens.
constexpr std::int64_t most_tokens_at_once = 1 << 16;

std::vector<std::int64_t> make_haystack(std::uint64_t seed) {
  Random random(seed, haystack_stream);
  const std::string text = make_sentences(haystack_bytes, random);
  return {text.begin(), text.end()};
}

NeedleSequence make_sample(const std::vector<std::int64_t>& haystack, const DemoPlan& plan,
                           std::int64_t num_chunks, std::size_t depth_index, std::int64_t sample,
                           std::uint64_t seed) {
  // A stream of its own for each length, depth and sample: results do not depend on what else is asked.
  Random random(seed, first_sample_stream +
                          static_cast<std::uint64_t>(
                              (num_chunks * 64 + static_cast<std::int64_t>(depth_index)) * 1024 + sample));
  return make_needle_sequence(haystack,
                              {.chunk_size = plan.drt.chunk_size,
                               .num_chunks = num_chunks,
                               .num_needles = plan.num_needles,
                               .num_questions = 1,
                               .num_empty_chunks = plan.num_empty_chunks,
                               .depth = plan.depths[depth_index]},
                              random);
}

struct Answers {
  at::Tensor ids;                     // [N, needle_value_length]
  std::vector<Retrieval> retrievals;  // in effect for the first digit
};

// prompts [N, T] -> the next needle_value_length tokens, each the most probable.
Answers answer_greedily(Model& model, const at::Tensor& prompts, const TokensRead& on_tokens) {
  const at::NoGradGuard no_gradients;
  const std::unique_ptr<Session> session = model.new_session(prompts.size(0), at::kFloat);
  PrefillOptions options;
  std::int64_t reported = 0;
  options.on_progress = [&](std::int64_t num_tokens) {
    const std::int64_t before = std::exchange(reported, num_tokens);
    return on_tokens((num_tokens - before) * prompts.size(0));
  };
  at::Tensor hidden = session->prefill(prompts, options);
  Answers answers;
  answers.retrievals = session->current_retrievals();
  std::vector<at::Tensor> digits;
  while (true) {
    digits.push_back(model.logits(hidden).argmax(-1));  // [N, 1]
    if (static_cast<std::int64_t>(digits.size()) == needle_value_length) break;
    hidden = session->append(digits.back());
  }
  answers.ids = at::cat(digits, 1).cpu();
  return answers;
}

// Everything before the first digit of the answer, as rows [N, T]; all sequences have one length.
at::Tensor prompts_of(const std::vector<NeedleSequence>& sequences) {
  std::vector<at::Tensor> rows;
  for (const NeedleSequence& sequence : sequences) {
    rows.push_back(at::tensor(at::ArrayRef<std::int64_t>(
        sequence.ids.data(), static_cast<std::size_t>(sequence.answer_begins[0]))));
  }
  return at::stack(rows);
}

std::string text_of(const std::vector<std::int64_t>& ids, std::int64_t begin, std::int64_t count) {
  return {ids.begin() + begin, ids.begin() + begin + count};
}

std::string answer_text(const Answers& answers, std::int64_t row) {
  std::string text;
  for (std::int64_t i = 0; i < answers.ids.size(1); ++i) {
    const auto id = answers.ids[row][i].item<std::int64_t>();
    // Ids beyond the bytes (end of text, landmark) are no characters.
    text += id < 256 ? std::string(1, static_cast<char>(id)) : "\xEF\xBF\xBD";
  }
  return text;
}

bool recalled(const Retrieval& retrieval, std::int64_t row, std::int64_t chunk) {
  return retrieval.indices[row].eq(chunk).any().item<bool>();
}

}  // namespace

DemoCell evaluate_demo_cell(Model& model, const DemoPlan& plan, const DemoLengthPlan& length,
                            std::size_t depth_index, std::uint64_t seed, const TokensRead& on_tokens) {
  const std::vector<std::int64_t> haystack = make_haystack(seed);
  const std::int64_t tokens = length.num_chunks * plan.drt.chunk_size;
  const std::int64_t at_once = std::max<std::int64_t>(1, most_tokens_at_once / tokens);
  DemoCell cell;
  while (cell.num_samples < length.samples_per_depth) {
    const std::int64_t count = std::min(at_once, length.samples_per_depth - cell.num_samples);
    std::vector<NeedleSequence> sequences;
    for (std::int64_t i = 0; i < count; ++i) {
      sequences.push_back(
          make_sample(haystack, plan, length.num_chunks, depth_index, cell.num_samples + i, seed));
    }
    const Answers answers = answer_greedily(model, prompts_of(sequences), on_tokens);
    for (std::int64_t i = 0; i < count; ++i) {
      const NeedleSequence& sequence = sequences[static_cast<std::size_t>(i)];
      const std::string expected = text_of(sequence.ids, sequence.answer_begins[0], needle_value_length);
      cell.num_correct += answer_text(answers, i) == expected ? 1 : 0;
      if (answers.retrievals.empty()) continue;
      cell.retrieves = true;
      cell.num_recalled +=
          recalled(answers.retrievals[0], i, sequence.needle_begins[0] / plan.drt.chunk_size) ? 1 : 0;
    }
    cell.num_samples += count;
  }
  return cell;
}

DemoInspection inspect_demo_sample(Model& model, const DemoPlan& plan, std::uint64_t seed,
                                   const TokensRead& on_tokens) {
  const std::int64_t chunk_size = plan.drt.chunk_size;
  const std::int64_t num_chunks = plan.sample.num_chunks;
  // The second depth: far back, and not at the very beginning.
  const NeedleSequence sequence =
      make_sample(make_haystack(seed), plan, num_chunks, 1, plan.sample.samples_per_depth, seed);
  const Answers answers = answer_greedily(model, prompts_of({sequence}), on_tokens);

  DemoInspection inspection;
  inspection.num_chunks = num_chunks;
  const std::string question_chunk = text_of(sequence.ids, (num_chunks - 2) * chunk_size, chunk_size);
  inspection.question = question_chunk.substr(question_chunk.rfind('|'));
  inspection.expected = text_of(sequence.ids, sequence.answer_begins[0], needle_value_length);
  inspection.answer = answer_text(answers, 0);
  const std::int64_t needle_begin = sequence.needle_begins[0];
  const std::string from_needle = text_of(sequence.ids, needle_begin, chunk_size);
  inspection.needle = from_needle.substr(0, from_needle.find('|', 1) + 1);
  if (answers.retrievals.empty()) return inspection;
  const Retrieval& retrieval = answers.retrievals[0];
  for (std::int64_t k = 0; k < retrieval.indices.size(-1); ++k) {
    const auto chunk = retrieval.indices[0][0][k].item<std::int64_t>();
    if (chunk < 0) continue;
    inspection.retrieved.push_back({chunk, retrieval.weights[0][0][k].item<double>(),
                                    text_of(sequence.ids, chunk * chunk_size, chunk_size),
                                    chunk == needle_begin / chunk_size});
  }
  std::sort(inspection.retrieved.begin(), inspection.retrieved.end(),
            [](const DemoRetrieved& a, const DemoRetrieved& b) { return a.weight > b.weight; });
  return inspection;
}

std::string demo_example_prompt(const DemoPlan& plan, std::uint64_t seed) {
  constexpr std::int64_t num_chunks = 64;
  // The sample after those that are counted.
  const NeedleSequence sequence = make_sample(make_haystack(seed), plan, num_chunks, 1, 1000, seed);
  return text_of(sequence.ids, 0, sequence.answer_begins[0]);
}

}  // namespace lookback
