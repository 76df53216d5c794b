// The demo's questions: a text of any length with needles, one question at its end, the answer chosen
// greedily.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "core/stop.h"
#include "eval/demo_plan.h"
#include "models/model.h"
#include "text/tokenizer.h"

namespace lookback {

// Called with each number of tokens just read, from the thread that reads them.
using TokensRead = std::function<void(std::int64_t)>;

// Answers at one length and depth.
struct DemoCell {
  std::int64_t num_samples = 0;
  std::int64_t num_correct = 0;
  std::int64_t num_recalled = 0;  // the needle's chunk was among the retrieved ones
  bool retrieves = false;
};

// Asks `length.samples_per_depth` questions whose needle lies at plan.depths[depth_index]. Both models are
// asked the same.
DemoCell evaluate_demo_cell(const Model& model, const Tokenizer& tokenizer, const DemoPlan& plan,
                            const DemoLengthPlan& length, std::size_t depth_index, std::uint64_t seed,
                            const TokensRead& on_tokens, const StopToken& stop = {});

struct DemoRetrieved {
  std::int64_t chunk_index = 0;
  double weight = 0;
  std::string text;
  bool holds_needle = false;
};

// One question from inside.
struct DemoInspection {
  std::int64_t num_chunks = 0;
  std::string question;
  std::string needle;    // as it stands in the text
  std::string expected;  // digits
  std::string answer;
  std::vector<DemoRetrieved> retrieved;  // weights falling; empty for models that retrieve nothing
};
DemoInspection inspect_demo_sample(const Model& model, const Tokenizer& tokenizer, const DemoPlan& plan,
                                   std::uint64_t seed, const TokensRead& on_tokens, const StopToken& stop = {});

// The text before the answer of one more question, for a reader to try: the answer's blank is its last
// character.
std::string demo_example_prompt(const Tokenizer& tokenizer, const DemoPlan& plan, std::uint64_t seed);

}  // namespace lookback
