// Sequences that grow at different paces, are copied, dropped, saved and restored give what the whole forward gives
// for each of them alone.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <ostream>
#include <string>

#include "core/error.h"
#include "core/random.h"
#include "generate/small_models.h"
#include "models/sequence_batch.h"
#include "nn/safetensors.h"

namespace lookback {

// How GoogleTest shows a failed case's parameter.
static void PrintTo(const SmallModelCase& small, std::ostream* out) { *out << small.name; }

namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

constexpr double tolerance = 2e-4;

class RaggedSessionTest : public ::testing::TestWithParam<SmallModelCase> {
 protected:
  std::unique_ptr<Model> model_ = make_small_model(GetParam().config);
};

// A session, and the ids that each of its sequences has been given.
class Followed {
 public:
  Followed(Model& model, std::int64_t num_sequences)
      : model_(model), sequences_(model, num_sequences), ids_(num_sequences) {}

  // Appends counts[n] random tokens to sequence n and compares their logits with those of the whole forward.
  void append(const std::vector<std::int64_t>& counts, Random& random) {
    const at::Tensor step = next_ids(counts, random);
    const at::Tensor logits = model_.logits(sequences_.append(step));
    for (std::size_t n = 0; n < counts.size(); ++n) {
      if (counts[n] == 0) continue;
      const at::Tensor found = logits[static_cast<std::int64_t>(n)].narrow(0, 0, counts[n]);
      EXPECT_LT(largest_difference(found, expected_logits(n, counts[n])), tolerance)
          << "sequence " << n << ", " << ids_[n].size(0) << " tokens";
      EXPECT_EQ(sequences_[static_cast<std::int64_t>(n)].num_tokens(), ids_[n].size(0));
    }
  }

  void prefill(const std::vector<std::int64_t>& counts, Random& random, std::int64_t segment_tokens) {
    const at::Tensor logits = model_.logits(sequences_.prefill(next_ids(counts, random), segment_tokens));
    for (std::size_t n = 0; n < counts.size(); ++n) {
      EXPECT_LT(largest_difference(logits[static_cast<std::int64_t>(n)], expected_logits(n, 1)), tolerance)
          << "sequence " << n << ", " << ids_[n].size(0) << " tokens, segments of " << segment_tokens;
    }
  }

  void select(const std::vector<std::int64_t>& rows) {
    sequences_.select(rows);
    std::vector<at::Tensor> ids;
    for (const std::int64_t row : rows) ids.push_back(ids_[static_cast<std::size_t>(row)]);
    ids_ = ids;
    EXPECT_EQ(sequences_.num_sequences(), static_cast<std::int64_t>(rows.size()));
  }

  // Goes on in a new session that knows nothing but the file.
  void save_and_restore(const std::filesystem::path& file) {
    for (std::int64_t n = 0; n < sequences_.num_sequences(); ++n) {
      write_safetensors(file, sequences_[n].state());
      sequences_.restart(n);
      sequences_[n].restore(read_safetensors(file));
    }
  }

  SequenceBatch& sequences() { return sequences_; }

 private:
  at::Tensor next_ids(const std::vector<std::int64_t>& counts, Random& random) {
    at::Tensor step =
        at::full({static_cast<std::int64_t>(counts.size()), *std::ranges::max_element(counts)}, -1, at::kLong);
    for (std::size_t n = 0; n < counts.size(); ++n) {
      if (counts[n] == 0) continue;
      const at::Tensor ids = random_ids(model_.config(), 1, counts[n], random.below(1U << 30U))[0];
      step[static_cast<std::int64_t>(n)].narrow(0, 0, counts[n]).copy_(ids);
      ids_[n] = ids_[n].defined() ? at::cat({ids_[n], ids}) : ids;
    }
    return step;
  }
  at::Tensor expected_logits(std::size_t n, std::int64_t count) {
    const at::Tensor logits = whole_logits(model_, ids_[n].unsqueeze(0))[0];
    return logits.narrow(0, logits.size(0) - count, count);
  }

  Model& model_;
  SequenceBatch sequences_;
  std::vector<at::Tensor> ids_;
};

std::vector<std::int64_t> random_counts(std::size_t num_sequences, std::uint64_t most, Random& random) {
  std::vector<std::int64_t> counts;
  for (std::size_t n = 0; n < num_sequences; ++n) counts.push_back(static_cast<std::int64_t>(random.below(most + 1)));
  counts[random.below(num_sequences)] = 1 + static_cast<std::int64_t>(random.below(most));
  return counts;
}

TEST_P(RaggedSessionTest, SequencesGrowByDifferentLengths) {
  Random random(1);
  for (const std::uint64_t most : {1, 3, 30}) {
    Followed followed(*model_, 3);
    for (int step = 0; step < 12; ++step) followed.append(random_counts(3, most, random), random);
  }
}

TEST_P(RaggedSessionTest, PromptsOfDifferentLengthsArePrefilledTogether) {
  Random random(2);
  for (const std::int64_t segment_tokens : {16, 30, 1000}) {
    Followed followed(*model_, 4);
    // Short beside so long that prefill leaves out upper layers, and ends at chunks' ends and in between.
    followed.prefill({3, 200, 64, 151}, random, segment_tokens);
    for (int step = 0; step < 10; ++step) followed.append({1, 1, 1, 1}, random);
    followed.prefill({170, 1, 9, 30}, random, segment_tokens);
    for (int step = 0; step < 10; ++step) followed.append(random_counts(4, 1, random), random);
  }
}

TEST_P(RaggedSessionTest, SelectedSequencesGoOnByThemselves) {
  Random random(3);
  Followed followed(*model_, 1);
  followed.prefill({45}, random, 16);
  followed.select({0, 0, 0});
  for (int step = 0; step < 12; ++step) followed.append({1, 1, 1}, random);
  followed.select({2, 2, 0, 1, 2});
  for (int step = 0; step < 12; ++step) followed.append(random_counts(5, 2, random), random);
  followed.select({4, 1});
  followed.append({20, 3}, random);
  followed.select({1});
  for (int step = 0; step < 12; ++step) followed.append({1}, random);
}

TEST_P(RaggedSessionTest, GoesOnWhereItWasSaved) {
  const std::filesystem::path file =
      std::filesystem::path(::testing::TempDir()) / ("state-" + GetParam().name + ".safetensors");
  Random random(4);
  Followed followed(*model_, 2);
  followed.save_and_restore(file);  // before the first token
  for (int turn = 0; turn < 10; ++turn) {
    followed.append(random_counts(2, turn == 5 ? 60 : 7, random), random);
    followed.save_and_restore(file);
  }
  followed.select({1, 0, 1});
  followed.append({2, 2, 1}, random);
  followed.save_and_restore(file);
  for (int step = 0; step < 20; ++step) followed.append({1, 1, 1}, random);
  std::filesystem::remove(file);
}

TEST_P(RaggedSessionTest, StatesThatDoNotFitAreRefused) {
  Random random(5);
  Followed followed(*model_, 2);
  followed.append({30, 21}, random);
  const NamedTensors state = followed.sequences()[0].state();
  const auto restore = [&](const NamedTensors& other) { model_->new_sequence(at::kFloat)->restore(other); };
  for (std::size_t i = 0; i < state.size(); ++i) {
    NamedTensors missing = state;
    missing.erase(missing.begin() + static_cast<std::ptrdiff_t>(i));
    NamedTensors reshaped = state;
    reshaped[i].second = at::zeros({3, 1, 4, 1, 5});
    NamedTensors renamed = state;
    renamed[i].first += "x";
    for (const NamedTensors& broken : {missing, reshaped, renamed}) {
      EXPECT_THROW(restore(broken), Error) << state[i].first;
    }
  }
  NamedTensors negative = state;
  for (auto& [name, tensor] : negative) {
    if (name == "num_tokens") tensor = at::scalar_tensor(-2, at::kLong);
  }
  EXPECT_THAT([&] { restore(negative); }, ThrowsMessage<Error>(HasSubstr("-2 is negative")));
  ModelConfig wider = GetParam().config;
  wider.hidden_size = 64;
  EXPECT_THROW(make_small_model(wider)->new_sequence(at::kFloat)->restore(state), Error);
  restore(state);
}

// What a prompt's early tokens leave is no state to go on from in the midst of it.
TEST_P(RaggedSessionTest, StateNobodyWantedIsNotAskedFor) {
  const at::Tensor ids = random_ids(model_->config(), 1, 400, 6)[0];
  const std::span<const std::int64_t> all(ids.const_data_ptr<std::int64_t>(), 400);
  const auto read = [&](Sequence& sequence, std::size_t first, std::size_t count, std::int64_t first_wanted) {
    const Piece piece{&sequence, all.subspan(first, count), first_wanted};
    return model_->step({&piece, 1});
  };
  const auto sequence = model_->new_sequence(at::kFloat);
  EXPECT_EQ(read(*sequence, 0, 200, 390).size(0), 0);
  EXPECT_THAT([&] { read(*sequence, 200, 100, 0); }, ThrowsMessage<Error>(HasSubstr("token 200 is wanted")));
  const auto resumed = model_->new_sequence(at::kFloat);
  resumed->restore(sequence->state());
  EXPECT_THAT([&] { read(*resumed, 200, 100, 0); }, ThrowsMessage<Error>(HasSubstr("from 390 on")));
  const at::Tensor expected = whole_logits(*model_, ids.unsqueeze(0))[0].narrow(0, 390, 10);
  for (const auto& one : {sequence.get(), resumed.get()}) {
    EXPECT_EQ(read(*one, 200, 150, 190).size(0), 0);
    EXPECT_LT(largest_difference(model_->logits(read(*one, 350, 50, 40)), expected), tolerance);
  }
}

TEST_P(RaggedSessionTest, PiecesThatDoNotFitAreRefused) {
  const auto sequence = model_->new_sequence(at::kFloat);
  const auto other_model = make_small_model(model_->config());
  const auto foreign = other_model->new_sequence(at::kFloat);
  const auto wide = model_->new_sequence(at::kDouble);
  const std::vector<std::int64_t> ids = {1, 2};
  const std::vector<std::int64_t> unknown = {1, model_->config().vocab_size};
  const std::vector<std::int64_t> negative = {-1};
  const auto step = [&](const std::vector<Piece>& pieces) { model_->step(pieces); };
  EXPECT_THAT([&] { step({}); }, ThrowsMessage<Error>(HasSubstr("no pieces")));
  EXPECT_THAT([&] { step({{sequence.get(), {}, 0}}); }, ThrowsMessage<Error>(HasSubstr("no token")));
  EXPECT_THAT([&] { step({{sequence.get(), unknown, 0}}); }, ThrowsMessage<Error>(HasSubstr("vocabulary")));
  EXPECT_THAT([&] { step({{sequence.get(), negative, 0}}); }, ThrowsMessage<Error>(HasSubstr("id -1")));
  EXPECT_THAT([&] { step({{nullptr, ids, 0}}); }, ThrowsMessage<Error>(HasSubstr("not of this model")));
  EXPECT_THAT([&] { step({{foreign.get(), ids, 0}}); }, ThrowsMessage<Error>(HasSubstr("not of this model")));
  EXPECT_THAT([&] { step({{sequence.get(), ids, 0}, {sequence.get(), ids, 0}}); },
              ThrowsMessage<Error>(HasSubstr("twice")));
  EXPECT_THAT([&] { step({{sequence.get(), ids, 0}, {wide.get(), ids, 0}}); },
              ThrowsMessage<Error>(HasSubstr("element types")));
  EXPECT_EQ(sequence->num_tokens(), 0);
}

INSTANTIATE_TEST_SUITE_P(SmallModels, RaggedSessionTest, ::testing::ValuesIn(small_model_cases()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace lookback
