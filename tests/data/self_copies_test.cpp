#include "data/self_copies.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include "core/error.h"
#include "data/dataset_folder.h"

namespace lookback {
namespace {

constexpr std::int64_t end_of_text = 256;

// So many ids that hardly any two tokens are equal by chance.
std::vector<std::int64_t> large_alphabet() {
  std::vector<std::int64_t> ids(4000);
  std::iota(ids.begin(), ids.end(), 1000);
  return ids;
}

SelfCopiesConfig small() {
  return {.context_length = 100,
          .batch_size = 3,
          .length = {5, 12},
          .gap = {0, 4},
          .end_of_text_id = end_of_text,
          .seed = 7};
}

// What a sequence holds: x, gap, x, as found by comparing its tokens.
struct Piece {
  std::int64_t begin = 0;       // position in the sequence
  std::int64_t copy_begin = 0;  // of the copy, relative to begin; the piece's size: cut before it
  std::int64_t size = 0;        // end of text not included
};

// The tokens of a row: its inputs and its last label.
std::vector<std::int64_t> row_of(const TokenBatch& batch, std::int64_t row) {
  const auto begin = batch.input_ids.begin() + row * batch.length;
  std::vector<std::int64_t> ids(begin, begin + batch.length);
  ids.push_back(batch.labels[static_cast<std::size_t>((row + 1) * batch.length - 1)]);
  return ids;
}

std::vector<Piece> pieces_of(const std::vector<std::int64_t>& ids) {
  std::vector<Piece> pieces;
  for (std::size_t begin = 0; begin < ids.size();) {
    std::size_t end = begin;
    while (end < ids.size() && ids[end] != end_of_text) ++end;
    const std::size_t size = end - begin;
    std::size_t copy = 1;
    while (copy < size && !std::equal(ids.begin() + static_cast<std::ptrdiff_t>(begin + copy),
                                      ids.begin() + static_cast<std::ptrdiff_t>(end),
                                      ids.begin() + static_cast<std::ptrdiff_t>(begin))) {
      ++copy;
    }
    pieces.push_back(
        {static_cast<std::int64_t>(begin), static_cast<std::int64_t>(copy), static_cast<std::int64_t>(size)});
    begin = end + 1;
  }
  return pieces;
}

// Whether numbers are as evenly drawn as so many draws make them: chi-square below its mean plus four deviations.
void expect_even(const std::map<std::int64_t, int>& counts, std::int64_t num_values) {
  double total = 0;
  for (const auto& [value, count] : counts) total += count;
  const double expected = total / static_cast<double>(num_values);
  double chi_square = 0;
  for (const auto& [value, count] : counts) chi_square += (count - expected) * (count - expected) / expected;
  chi_square += expected * static_cast<double>(num_values - std::ssize(counts));
  const auto freedom = static_cast<double>(num_values - 1);
  EXPECT_LT(chi_square, freedom + 4 * std::sqrt(2 * freedom));
}

TEST(SelfCopies, SequencesAreFullOfCopiesFromTheirFirstTokenOn) {
  const auto source = make_random_self_copies(small(), large_alphabet());
  std::map<std::int64_t, int> lengths;
  std::map<std::int64_t, int> gaps;
  for (int i = 0; i < 300; ++i) {
    const TokenBatch batch = source->next();
    ASSERT_EQ(batch.input_ids.size(), 300U);
    ASSERT_EQ(batch.labels.size(), 300U);
    EXPECT_TRUE(batch.loss_weights.empty());
    for (std::int64_t row = 0; row < 3; ++row) {
      const std::vector<std::int64_t> ids = row_of(batch, row);
      for (std::size_t at = 0; at < 100; ++at) {
        EXPECT_EQ(batch.labels[static_cast<std::size_t>(row * 100) + at], ids[at + 1]);
      }
      const std::vector<Piece> pieces = pieces_of(ids);
      EXPECT_GE(pieces.size(), 3U) << "x, gap, x and its end take 29 tokens at most";
      // All but the last are whole. Those that begin early are not chosen by their size: their draws are even.
      for (std::size_t k = 0; k + 1 < pieces.size(); ++k) {
        const std::int64_t length = pieces[k].size - pieces[k].copy_begin;
        const std::int64_t gap = pieces[k].copy_begin - length;
        EXPECT_TRUE(length >= 5 && length <= 12) << length;
        EXPECT_TRUE(gap >= 0 && gap <= 4) << gap;
        if (k > 1) continue;
        ++lengths[length];
        ++gaps[gap];
      }
    }
  }
  expect_even(lengths, 8);
  expect_even(gaps, 5);
}

TEST(SelfCopies, TokensAreDrawnEvenlyFromTheAlphabet) {
  const std::vector<std::int64_t> alphabet = {3, 5, 8, 13, 21, 34, 55, 89};
  SelfCopiesConfig config = small();
  config.length = {40, 40};
  const auto source = make_random_self_copies(config, alphabet);
  std::map<std::int64_t, int> counts;
  for (int i = 0; i < 100; ++i) {
    const TokenBatch batch = source->next();
    for (std::int64_t row = 0; row < 3; ++row) {
      for (std::int64_t at = 0; at < 40; ++at) ++counts[batch.input_ids[static_cast<std::size_t>(row * 100 + at)]];
    }
  }
  for (const auto& [id, count] : counts) EXPECT_NE(std::ranges::find(alphabet, id), alphabet.end()) << id;
  expect_even(counts, 8);
}

TEST(SelfCopies, CopiesWeighWhatTheyShould) {
  SelfCopiesConfig config = small();
  config.copy_weight = 3.5;
  const auto source = make_random_self_copies(config, large_alphabet());
  const auto unweighted = make_random_self_copies(small(), large_alphabet());
  for (int i = 0; i < 20; ++i) {
    const TokenBatch batch = source->next();
    EXPECT_EQ(batch.input_ids, unweighted->next().input_ids);
    std::vector<double> expected;
    for (std::int64_t row = 0; row < 3; ++row) {
      std::vector<double> of_tokens(101, 1);
      for (const Piece& piece : pieces_of(row_of(batch, row))) {
        for (std::int64_t at = piece.copy_begin; at < piece.size; ++at) {
          of_tokens[static_cast<std::size_t>(piece.begin + at)] = 3.5;
        }
      }
      expected.insert(expected.end(), of_tokens.begin() + 1, of_tokens.end());
    }
    const double sum = std::accumulate(expected.begin(), expected.end(), 0.0);
    ASSERT_EQ(batch.loss_weights.size(), expected.size());
    for (std::size_t at = 0; at < expected.size(); ++at) {
      EXPECT_FLOAT_EQ(batch.loss_weights[at], static_cast<float>(expected[at] / sum)) << at;
    }
  }
}

// One document of 400 tokens that say where they stand.
std::shared_ptr<const TokenDataset> counting_dataset(const TemporaryFolder& folder) {
  std::vector<std::int64_t> ids(400);
  std::iota(ids.begin(), ids.end(), 1000);
  write_dataset(folder.path(), {ids}, 5000, 64);
  return std::make_shared<TokenDataset>(folder.path());
}

TEST(SelfCopies, PiecesOfATextAreAsTheyStandThere) {
  const TemporaryFolder folder;
  const auto dataset = counting_dataset(folder);
  const auto source = make_text_self_copies(small(), dataset);
  std::map<std::int64_t, int> first_tokens;
  for (int i = 0; i < 1000; ++i) {
    const TokenBatch batch = source->next();
    for (std::int64_t row = 0; row < 3; ++row) {
      const std::vector<std::int64_t> ids = row_of(batch, row);
      // An end of text of the text itself may lie in the piece: look at the others.
      ++first_tokens[(ids[0] - 1000) / 50];
      const Piece piece = pieces_of(ids)[0];
      if (piece.size < 10) continue;
      for (std::int64_t at = 1; at < piece.copy_begin; ++at) {
        EXPECT_EQ(ids[static_cast<std::size_t>(at)], ids[0] + at);
      }
    }
  }
  // From everywhere, but from the very end, where there is no room for the longer ones.
  ASSERT_EQ(first_tokens.size(), 8U);
  first_tokens.erase(7);
  expect_even(first_tokens, 7);
}

TEST(SelfCopies, ABatchFollowsFromItsNumber) {
  const auto source = make_random_self_copies(small(), large_alphabet());
  std::vector<Json> states;
  std::vector<TokenBatch> batches;
  for (int i = 0; i < 6; ++i) {
    states.push_back(parse_json(source->state().dump(), "state"));
    batches.push_back(source->next());
  }
  for (const std::size_t i : {5, 0, 3}) {
    source->restore(states[i]);
    EXPECT_EQ(source->next().input_ids, batches[i].input_ids);
  }
  EXPECT_NE(batches[0].input_ids, batches[1].input_ids);
  SelfCopiesConfig other = small();
  other.seed = 8;
  EXPECT_NE(make_random_self_copies(other, large_alphabet())->next().input_ids, batches[0].input_ids);
}

TEST(SelfCopies, RefuseForeignStatesAndBadSettings) {
  const Json state = make_random_self_copies(small(), large_alphabet())->state();
  EXPECT_THROW(make_random_self_copies(small(), {1, 2})->restore(state), Error);
  SelfCopiesConfig config = small();
  config.copy_weight = 2;
  EXPECT_THROW(make_random_self_copies(config, large_alphabet())->restore(state), Error);
  Json negative = state;
  negative["num_batches"] = -1;
  EXPECT_THROW(make_random_self_copies(small(), large_alphabet())->restore(negative), Error);

  const auto refuses = [](const auto& change) {
    SelfCopiesConfig bad = small();
    change(bad);
    EXPECT_THROW(make_random_self_copies(bad, {1, 2}), Error);
  };
  refuses([](SelfCopiesConfig& bad) { bad.batch_size = 0; });
  refuses([](SelfCopiesConfig& bad) { bad.length = {0, 3}; });
  refuses([](SelfCopiesConfig& bad) { bad.length = {4, 3}; });
  refuses([](SelfCopiesConfig& bad) { bad.gap = {-1, 3}; });
  refuses([](SelfCopiesConfig& bad) { bad.gap = {3, 2}; });
  refuses([](SelfCopiesConfig& bad) { bad.copy_weight = -1; });
  refuses([](SelfCopiesConfig& bad) { bad.length = {5, std::int64_t{1} << 62U}; });
  refuses([](SelfCopiesConfig& bad) { bad.length = {49, 49}; });
  EXPECT_THROW(make_random_self_copies(small(), {}), Error);
  // 48 + 5 + 48 tokens: the last of 101 is a label only.
  config = small();
  config.length = {5, 48};
  config.gap = {0, 5};
  EXPECT_NO_THROW(make_random_self_copies(config, {1, 2}));
  const TemporaryFolder folder;
  const auto dataset = counting_dataset(folder);
  config.context_length = 2000;
  config.length = {5, 400};
  EXPECT_THROW(make_text_self_copies(config, dataset), Error);
}

}  // namespace
}  // namespace lookback
