#include "data/needle_task.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <utility>

#include "core/error.h"
#include "data/needle_sequence.h"
#include "data/text_ids.h"

namespace lookback {
namespace {

constexpr std::array<std::pair<NeedleKind, const char*>, 4> kind_names{{{NeedleKind::single, "single"},
                                                                        {NeedleKind::multi, "multi"},
                                                                        {NeedleKind::multi_hop, "multi-hop"},
                                                                        {NeedleKind::recipe, "recipe"}}};
constexpr std::size_t passkey_length = 10;
constexpr std::size_t short_value_length = 5;  // multi's keys and values, multi-hop's names
constexpr std::size_t num_multi_needles = 6;   // the one asked for and five others
constexpr std::size_t num_chains = 2;          // the one asked for and one other
constexpr std::size_t num_hops = 2;
constexpr std::int64_t forbidden_run = 4;
constexpr int most_draws = 100;
// Fewer ids would make values that can be guessed.
constexpr std::size_t fewest_drawable_ids = 16;

using Ids = std::vector<std::int64_t>;

Ids join(std::initializer_list<Ids> parts) {
  Ids joined;
  for (const Ids& part : parts) joined.insert(joined.end(), part.begin(), part.end());
  return joined;
}

}  // namespace

NeedleKind parse_needle_kind(const std::string& text) {
  for (const auto& [kind, name] : kind_names) {
    if (text == name) return kind;
  }
  fail("needle task \"{}\": unknown; the tasks are single, multi, multi-hop and recipe", text);
}

std::string to_string(NeedleKind kind) {
  return std::find_if(kind_names.begin(), kind_names.end(), [&](const auto& entry) { return entry.first == kind; })
      ->second;
}

bool ids_are_bytes(const Tokenizer& tokenizer) {
  const std::string text = "|What is key 90? It is";
  const std::vector<std::int32_t> ids = tokenizer.encode(text);
  return std::equal(ids.begin(), ids.end(), text.begin(), text.end(),
                    [](std::int32_t id, char byte) { return id == static_cast<unsigned char>(byte); });
}

bool occurs_outside(std::span<const std::int64_t> answer, std::span<const std::int64_t> ids,
                    std::span<const std::int64_t> begins, std::span<const std::int64_t> ends, std::int64_t run_length) {
  const auto run =
      static_cast<std::size_t>(std::min<std::int64_t>(run_length, static_cast<std::int64_t>(answer.size())));
  if (run == 0 || ids.size() < run) return false;
  const auto inside_a_needle = [&](std::size_t at) {
    for (std::size_t i = 0; i < begins.size(); ++i) {
      if (static_cast<std::int64_t>(at) >= begins[i] && static_cast<std::int64_t>(at + run) <= ends[i]) return true;
    }
    return false;
  };
  for (std::size_t at = 0; at + run <= ids.size(); ++at) {
    for (std::size_t first = 0; first + run <= answer.size(); ++first) {
      if (ids[at] != answer[first]) continue;
      if (std::equal(answer.begin() + static_cast<std::ptrdiff_t>(first),
                     answer.begin() + static_cast<std::ptrdiff_t>(first + run),
                     ids.begin() + static_cast<std::ptrdiff_t>(at)) &&
          !inside_a_needle(at)) {
        return true;
      }
    }
  }
  return false;
}

NeedleGenerator::NeedleGenerator(const NeedleTask& task, std::span<const std::int64_t> haystack,
                                 const Tokenizer& tokenizer)
    : task_(task), haystack_(haystack), tokenizer_(tokenizer) {
  require(task.chunk_size >= 1, "needle task: chunk_size is {}, expected at least 1", task.chunk_size);
  require(task.depth <= 1, "needle task: depth is {}, expected 0 to 1", task.depth);
  require(!haystack.empty(), "needle task: the haystack is empty");
  if (task.kind == NeedleKind::recipe) {
    require(ids_are_bytes(tokenizer),
            "needle task recipe: its ids are bytes, but this tokenizer's are not; use single, multi or multi-hop");
    check_needle_shape({task.chunk_size, num_chunks(), task.num_needles, 1, task.num_empty_chunks, task.depth});
    return;
  }
  drawable_ids_ = text_ids(tokenizer, "|");  // which delimits needles
  require(drawable_ids_.size() >= fewest_drawable_ids,
          "needle task: the tokenizer has {} ids to draw values from, expected at least {}", drawable_ids_.size(),
          fewest_drawable_ids);
  // The sizes do not depend on what is drawn: a length without room is refused here.
  Random random(0);
  place(draw(random), random);
}

std::vector<std::int64_t> NeedleGenerator::encode(const std::string& text) const {
  const std::vector<std::int32_t> ids = tokenizer_.encode(text);
  return {ids.begin(), ids.end()};
}

std::vector<std::int64_t> NeedleGenerator::random_ids(std::size_t count, Random& random) const {
  Ids ids(count);
  for (std::int64_t& id : ids) id = drawable_ids_[random.below(drawable_ids_.size())];
  return ids;
}

NeedleGenerator::Draft NeedleGenerator::draw(Random& random) const {
  Draft draft;
  if (task_.kind == NeedleKind::single) {
    draft.answer = random_ids(passkey_length, random);
    draft.needles = {join({encode("|The passkey is:"), draft.answer, encode("|")})};
    draft.question = encode("|What is the passkey? The passkey is");
    draft.asked = {0};
  } else if (task_.kind == NeedleKind::multi) {
    for (std::size_t i = 0; i < num_multi_needles; ++i) {
      const Ids key = random_ids(short_value_length, random);
      const Ids value = random_ids(short_value_length, random);
      draft.needles.push_back(
          join({encode("|One of the special magic numbers for "), key, encode(" is "), value, encode("|")}));
      if (i > 0) continue;
      draft.question = join({encode("|The value of "), key, encode("is")});
      draft.answer = value;
    }
    draft.asked = {0};
  } else {
    for (std::size_t chain = 0; chain < num_chains; ++chain) {
      std::vector<Ids> names;
      for (std::size_t i = 0; i <= num_hops; ++i) names.push_back(random_ids(short_value_length, random));
      for (std::size_t i = 0; i < num_hops; ++i) {
        draft.needles.push_back(join({encode("|DEF"), names[i], encode("->"), names[i + 1], encode("|")}));
      }
      if (chain > 0) continue;
      draft.question = join({encode("|The path from"), names[0], encode("is")});
      draft.answer = join({names[1], encode(","), names[2]});
    }
    draft.asked = {0, 1};
  }
  return draft;
}

NeedleSample NeedleGenerator::place(const Draft& draft, Random& random) const {
  const std::int64_t prompt_length = (num_chunks() - 1) * task_.chunk_size + 1;
  const std::int64_t question_begin = prompt_length - static_cast<std::int64_t>(draft.question.size());
  // Needles lie at least two chunks before the end, and before the question.
  const std::int64_t limit = std::min((num_chunks() - 2) * task_.chunk_size, question_begin);
  std::int64_t needle_tokens = 0;
  for (const Ids& needle : draft.needles) needle_tokens += static_cast<std::int64_t>(needle.size());
  const std::int64_t text_before_limit = limit - needle_tokens;
  require(text_before_limit >= 0,
          "needle task {}: a length of {} tokens has no room: needles and question need at least {} with chunks of {}",
          to_string(task_.kind), task_.length,
          needle_tokens + static_cast<std::int64_t>(draft.question.size()) + 2 * task_.chunk_size, task_.chunk_size);

  // Each needle stands before the haystack's token `points[i]`; the order among equals is drawn, too.
  std::vector<std::int64_t> points;
  points.reserve(draft.needles.size());
  for (std::size_t i = 0; i < draft.needles.size(); ++i) {
    points.push_back(static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(text_before_limit) + 1)));
  }
  if (task_.depth >= 0) {
    points[draft.asked[0]] = std::llround(task_.depth * static_cast<double>(text_before_limit));
  }
  std::vector<std::size_t> order(draft.needles.size());
  std::iota(order.begin(), order.end(), 0U);
  random.shuffle(order);
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return points[a] < points[b]; });

  NeedleSample sample;
  sample.answer_ids = draft.answer;
  sample.prompt_ids.reserve(static_cast<std::size_t>(prompt_length));
  std::size_t next_haystack = random.below(haystack_.size());
  const auto add_text_until = [&](std::int64_t end) {
    while (static_cast<std::int64_t>(sample.prompt_ids.size()) < end) {
      sample.prompt_ids.push_back(haystack_[next_haystack]);
      next_haystack = next_haystack + 1 == haystack_.size() ? 0 : next_haystack + 1;
    }
  };
  std::vector<std::int64_t> begins(draft.needles.size());
  std::int64_t needles_so_far = 0;
  for (const std::size_t i : order) {
    add_text_until(points[i] + needles_so_far);
    begins[i] = static_cast<std::int64_t>(sample.prompt_ids.size());
    sample.prompt_ids.insert(sample.prompt_ids.end(), draft.needles[i].begin(), draft.needles[i].end());
    needles_so_far += static_cast<std::int64_t>(draft.needles[i].size());
  }
  add_text_until(question_begin);
  sample.prompt_ids.insert(sample.prompt_ids.end(), draft.question.begin(), draft.question.end());
  for (const std::size_t i : draft.asked) {
    sample.needle_begins.push_back(begins[i]);
    sample.needle_ends.push_back(begins[i] + static_cast<std::int64_t>(draft.needles[i].size()));
  }
  const std::int64_t last_begin = limit - static_cast<std::int64_t>(draft.needles[draft.asked[0]].size());
  sample.depth = last_begin == 0 ? 0.0 : static_cast<double>(sample.needle_begins[0]) / static_cast<double>(last_begin);
  return sample;
}

NeedleSample NeedleGenerator::make_recipe(Random& random) const {
  const NeedleSequence sequence = make_needle_sequence(
      haystack_, {task_.chunk_size, num_chunks(), task_.num_needles, 1, task_.num_empty_chunks, task_.depth}, random);
  const std::ptrdiff_t answer_begin = sequence.answer_begins[0];
  const std::ptrdiff_t needle_begin = sequence.needle_begins[0];
  const auto ids = sequence.ids.begin();
  const auto closing_bar = std::find(ids + needle_begin + 1, sequence.ids.end(), std::int64_t{'|'});
  NeedleSample sample;
  sample.prompt_ids.assign(ids, ids + answer_begin);
  sample.answer_ids.assign(ids + answer_begin, ids + answer_begin + needle_value_length);
  sample.needle_begins = {needle_begin};
  sample.needle_ends = {closing_bar + 1 - ids};
  const std::int64_t last_chunk = num_chunks() - 3 - task_.num_empty_chunks;
  const std::int64_t needle_chunk = needle_begin / task_.chunk_size;
  sample.depth = last_chunk == 0 ? 0.0 : static_cast<double>(needle_chunk) / static_cast<double>(last_chunk);
  return sample;
}

NeedleSample NeedleGenerator::make(Random& random) const {
  for (int draw_index = 0; draw_index < most_draws; ++draw_index) {
    NeedleSample sample = task_.kind == NeedleKind::recipe ? make_recipe(random) : place(draw(random), random);
    if (!occurs_outside(sample.answer_ids, sample.prompt_ids, sample.needle_begins, sample.needle_ends,
                        forbidden_run)) {
      return sample;
    }
  }
  fail("needle task {}: parts of {} answers in a row occurred in the haystack; give another haystack",
       to_string(task_.kind), most_draws);
}

}  // namespace lookback
