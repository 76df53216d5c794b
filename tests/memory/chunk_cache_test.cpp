#include "memory/chunk_cache.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <thread>

namespace lookback {
namespace {

using ::testing::ElementsAre;

constexpr std::int64_t chunk_bytes = std::int64_t{2} * 3 * 2 * 4 * 4;  // keys and values [3, 2, 4], float32

// Chunk c holds `first` + c, and every read is noted.
class NotingArchive : public ChunkArchive {
 public:
  explicit NotingArchive(std::int64_t first) : first_(first) {}
  std::int64_t num_chunks() const override { return 1000; }
  at::Tensor landmarks() const override { return at::zeros({1000, 8}); }
  at::ScalarType element_type() const override { return at::kFloat; }
  std::shared_ptr<const StoredChunk> chunk(std::int64_t index) const override {
    const std::scoped_lock lock(mutex_);
    reads.push_back(index);
    const at::Tensor key = at::full({3, 2, 4}, first_ + index, at::kFloat);
    return std::make_shared<const StoredChunk>(key, -key);
  }
  void prefetch(std::span<const std::int64_t> chunks) const override {
    prefetched.insert(prefetched.end(), chunks.begin(), chunks.end());
  }
  mutable std::vector<std::int64_t> reads, prefetched;

 private:
  std::int64_t first_;
  mutable std::mutex mutex_;
};

void expect_read(const ChunkArchive& archive, std::int64_t chunk, std::int64_t number) {
  const auto found = archive.chunk(chunk);
  EXPECT_TRUE(found->key.eq(number).all().item<bool>()) << chunk;
  EXPECT_TRUE(found->value.eq(-number).all().item<bool>()) << chunk;
}

TEST(ChunkCache, TheLeastRecentlyUsedMakesWay) {
  const auto slow = std::make_shared<NotingArchive>(0);
  const auto cache = std::make_shared<ChunkCache>(at::kCPU, 3 * chunk_bytes + 7);
  const CachedArchive archive(slow, cache);
  for (const std::int64_t chunk : {1, 2, 3, 1, 4, 1, 3, 2, 4}) expect_read(archive, chunk, chunk);
  // 4 sent 2 away, since 1 had been used since; 2 then sent 4 away.
  EXPECT_THAT(slow->reads, ElementsAre(1, 2, 3, 4, 2, 4));
  EXPECT_EQ(cache->bytes(), 3 * chunk_bytes);
  archive.prefetch(std::vector<std::int64_t>{1, 2, 3, 4, 5});
  EXPECT_THAT(slow->prefetched, ElementsAre(1, 5));
  EXPECT_EQ(archive.num_chunks(), 1000);
  EXPECT_EQ(archive.landmarks().size(0), 1000);
}

// A cache may outlive an archive, and another archive may come to lie at the same address.
TEST(ChunkCache, AnArchiveIsKnownByItsIdentityNotItsAddress) {
  const auto cache = std::make_shared<ChunkCache>(at::kCPU, 10 * chunk_bytes);
  std::optional<NotingArchive> slow;
  for (const std::int64_t first : {0, 100}) {
    slow.emplace(first);
    const CachedArchive archive(std::shared_ptr<const ChunkArchive>(std::shared_ptr<void>(), &*slow), cache);
    expect_read(archive, 5, first + 5);
    expect_read(archive, 5, first + 5);
    EXPECT_THAT(slow->reads, ElementsAre(5));
  }
}

// A memory file's chunks of int8 elements with a scale for each head of each vector.
class Int8Archive : public NotingArchive {
 public:
  Int8Archive() : NotingArchive(0) {}
  at::ScalarType element_type() const override { return at::kChar; }
  std::shared_ptr<const StoredChunk> chunk(std::int64_t index) const override {
    NotingArchive::chunk(index);
    const at::Tensor elements = at::full({3, 2, 16}, index, at::kChar);
    return std::make_shared<const StoredChunk>(elements, -elements, at::full({3, 2}, 0.5), at::full({3, 2}, 0.25));
  }
};

TEST(ChunkCache, ChunksTakeTheBytesThatTheyAreStoredIn) {
  constexpr std::int64_t int8_bytes = std::int64_t{2} * 3 * 2 * (16 + 4);
  const auto slow = std::make_shared<Int8Archive>();
  // As float32 the fourth would not fit beside the first.
  const auto cache = std::make_shared<ChunkCache>(at::kCPU, 4 * int8_bytes);
  const CachedArchive archive(slow, cache);
  EXPECT_EQ(archive.element_type(), at::kChar);
  for (int i = 0; i < 2; ++i) {
    for (const std::int64_t chunk : {1, 2, 3, 4}) {
      const auto found = archive.chunk(chunk);
      EXPECT_TRUE(found->key.equal(at::full({3, 2, 16}, chunk, at::kChar)));
      EXPECT_TRUE(found->value_scales.equal(at::full({3, 2}, 0.25)));
      at::Tensor key = at::empty({3, 2, 16});
      at::Tensor value = at::empty({3, 2, 16});
      found->widen_to(key, value);
      EXPECT_TRUE(key.eq(0.5 * static_cast<double>(chunk)).all().item<bool>());
      EXPECT_TRUE(value.eq(-0.25 * static_cast<double>(chunk)).all().item<bool>());
    }
  }
  EXPECT_THAT(slow->reads, ElementsAre(1, 2, 3, 4));
  EXPECT_EQ(cache->bytes(), 4 * int8_bytes);
}

TEST(ChunkCache, ABudgetForNothingKeepsNothing) {
  const auto slow = std::make_shared<NotingArchive>(0);
  const auto cache = std::make_shared<ChunkCache>(at::kCPU, chunk_bytes - 1);
  const CachedArchive archive(slow, cache);
  for (const std::int64_t chunk : {5, 5}) expect_read(archive, chunk, chunk);
  EXPECT_THAT(slow->reads, ElementsAre(5, 5));
  EXPECT_EQ(cache->bytes(), 0);
}

TEST(ChunkCache, ArchivesShareABudgetAndKeepTheirChunksApart) {
  const auto first = std::make_shared<NotingArchive>(0);
  const auto second = std::make_shared<NotingArchive>(5000);
  const auto cache = std::make_shared<ChunkCache>(at::kCPU, 2 * chunk_bytes);
  const CachedArchive one(first, cache);
  const CachedArchive two(second, cache);
  for (int i = 0; i < 2; ++i) {
    expect_read(one, 7, 7);
    expect_read(two, 7, 5007);
  }
  expect_read(two, 8, 5008);
  expect_read(one, 7, 7);
  EXPECT_THAT(first->reads, ElementsAre(7, 7));
  EXPECT_THAT(second->reads, ElementsAre(7, 8));
}

// A small fast tier over a larger one over the archive.
TEST(ChunkCache, TiersLieOverOneAnother) {
  const auto slow = std::make_shared<NotingArchive>(0);
  const auto large = std::make_shared<ChunkCache>(at::kCPU, 10 * chunk_bytes);
  const auto small = std::make_shared<ChunkCache>(at::kCPU, 2 * chunk_bytes);
  const CachedArchive archive(std::make_shared<CachedArchive>(slow, large), small);
  for (int i = 0; i < 3; ++i) {
    for (std::int64_t chunk = 0; chunk < 8; ++chunk) expect_read(archive, chunk, chunk);
  }
  EXPECT_EQ(slow->reads.size(), 8U);
  EXPECT_EQ(large->bytes(), 8 * chunk_bytes);
  EXPECT_EQ(small->bytes(), 2 * chunk_bytes);
}

TEST(ChunkCache, ManyThreadsReadAtOnce) {
  const auto slow = std::make_shared<NotingArchive>(0);
  const auto cache = std::make_shared<ChunkCache>(at::kCPU, 20 * chunk_bytes);
  const CachedArchive archive(slow, cache);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&archive, t] {
      for (std::int64_t i = 0; i < 500; ++i) expect_read(archive, (i * (t + 3)) % 41, (i * (t + 3)) % 41);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_LE(cache->bytes(), 20 * chunk_bytes);
}

}  // namespace
}  // namespace lookback
