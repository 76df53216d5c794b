// Batches made in a thread: the same ones, the position of those that were given, failures in their place.
#include "data/batches_ahead.h"

#include <gmock/gmock.h>

#include <atomic>
#include <thread>

#include "core/error.h"

namespace lookback {
namespace {

using testing::HasSubstr;
using testing::ThrowsMessage;

// Batch n holds n.
class Counting : public BatchSource {
 public:
  TokenBatch next() override {
    require(position_ != fails_at, "batch {} is broken", position_);
    ++num_made;
    TokenBatch batch;
    batch.num_sequences = batch.length = 1;
    batch.input_ids = {position_++};
    batch.labels = {0};
    return batch;
  }
  bool listens() const override { return listens_to_loss; }
  Json state() const override { return {{"position", position_}}; }
  void restore(const Json& state) override {
    const auto position = json_field<std::int64_t>(state, "position", "state");
    require(position >= 0, "state: position {}", position);
    position_ = position;
  }

  std::int64_t fails_at = -1;
  bool listens_to_loss = false;
  std::atomic<int> num_made = 0;

 private:
  std::int64_t position_ = 0;
};

std::int64_t number_of(const TokenBatch& batch) { return batch.input_ids.at(0); }

void wait_for(const std::atomic<int>& count, int wanted) {
  while (count < wanted) std::this_thread::yield();
}

TEST(BatchesAhead, GivesAllInOrderAndNeverMoreThanAskedForWait) {
  Counting source;
  BatchesAhead batches(source, 3);
  EXPECT_EQ(source.num_made, 0) << "nothing is made before it is wanted";
  for (int i = 0; i < 50; ++i) {
    EXPECT_EQ(number_of(batches.next()), i);
    EXPECT_LE(source.num_made, i + 1 + 3);
  }
  wait_for(source.num_made, 53);
}

TEST(BatchesAhead, TheStateIsThatOfTheBatchesGiven) {
  Counting source;
  BatchesAhead batches(source, 4);
  EXPECT_EQ(batches.state(), (Json{{"position", 0}}));
  for (int i = 0; i < 3; ++i) {
    batches.next();
    wait_for(source.num_made, i + 5);
  }
  EXPECT_EQ(batches.state(), (Json{{"position", 3}}));
  Counting other;
  BatchesAhead resumed(other, 4);
  resumed.next();  // something is under way when it is put elsewhere
  resumed.restore(batches.state());
  EXPECT_EQ(resumed.state(), batches.state());
  for (int i = 3; i < 9; ++i) EXPECT_EQ(number_of(resumed.next()), i);
}

TEST(BatchesAhead, FinishLeavesTheSourceBehindWhatWasGiven) {
  Counting source;
  BatchesAhead batches(source, 4);
  for (int i = 0; i < 2; ++i) batches.next();
  wait_for(source.num_made, 6);
  batches.finish();
  EXPECT_EQ(number_of(source.next()), 2);
}

TEST(BatchesAhead, AFailureComesAfterTheBatchesBeforeIt) {
  Counting source;
  source.fails_at = 2;
  BatchesAhead batches(source, 8);
  batches.next();
  wait_for(source.num_made, 2);
  EXPECT_EQ(number_of(batches.next()), 1);
  for (int i = 0; i < 2; ++i) {
    EXPECT_THAT([&] { batches.next(); }, ThrowsMessage<Error>(HasSubstr("batch 2 is broken")));
  }
  EXPECT_EQ(batches.state(), (Json{{"position", 2}}));
  source.fails_at = -1;
  batches.restore(batches.state());
  EXPECT_EQ(number_of(batches.next()), 2) << "it can be gone on with";
}

TEST(BatchesAhead, ABadStateIsTheSourcesError) {
  Counting source;
  BatchesAhead batches(source, 2);
  EXPECT_THAT([&] { batches.restore({{"position", -4}}); }, ThrowsMessage<Error>(HasSubstr("position -4")));
}

TEST(BatchesAhead, SourcesThatListenAreRefused) {
  Counting source;
  source.listens_to_loss = true;
  EXPECT_THAT([&] { BatchesAhead(source, 1); }, ThrowsMessage<Error>(HasSubstr("listens")));
  source.listens_to_loss = false;
  EXPECT_THAT([&] { BatchesAhead(source, 0); }, ThrowsMessage<Error>(HasSubstr("at least 1")));
}

}  // namespace
}  // namespace lookback
