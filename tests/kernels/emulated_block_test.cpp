// The emulated block itself: its numbers against the CPU's readers of them, its tensor cores against plain loops, and
// the mistakes that it must find.
#include "kernels/emulated_block.h"

#include <gtest/gtest.h>

#include <stdexcept>

#include "kernels/emulated_attention.h"

namespace lookback {
namespace {

template <class Half>
void expect_round_trips() {
  for (unsigned bits = 0; bits < 0x10000; ++bits) {
    const float value = HalfNumbers<Half>::to_float(static_cast<std::uint16_t>(bits));
    if (std::isnan(value)) continue;
    ASSERT_EQ(HalfNumbers<Half>::bits(value), bits);
  }
}

TEST(HalfNumbers, EveryNumberIsItself) {
  expect_round_trips<cuda::Bfloat16>();
  expect_round_trips<cuda::Float16>();
}

TEST(HalfNumbers, RoundsToNearestEven) {
  EXPECT_EQ(HalfNumbers<cuda::Float16>::bits(2049.0F), HalfNumbers<cuda::Float16>::bits(2048.0F));
  EXPECT_EQ(HalfNumbers<cuda::Float16>::bits(2051.0F), HalfNumbers<cuda::Float16>::bits(2052.0F));
  EXPECT_EQ(HalfNumbers<cuda::Float16>::bits(2050.9F), HalfNumbers<cuda::Float16>::bits(2050.0F));
  EXPECT_EQ(HalfNumbers<cuda::Float16>::bits(65519.0F), 0x7bff);
  EXPECT_EQ(HalfNumbers<cuda::Float16>::bits(65520.0F), 0x7c00);
  EXPECT_EQ(HalfNumbers<cuda::Bfloat16>::bits(257.0F), HalfNumbers<cuda::Bfloat16>::bits(256.0F));
  EXPECT_EQ(HalfNumbers<cuda::Bfloat16>::bits(259.0F), HalfNumbers<cuda::Bfloat16>::bits(260.0F));
}

// [64, 32] x [64, 32]^T and its product with a [64, 32], against loops.
TEST(EmulatedBlock, MultipliesTiles) {
  using Half = cuda::Float16;
  constexpr std::int64_t dim = 32;
  std::vector<float> a(64 * dim);
  std::vector<float> b(64 * dim);
  for (int i = 0; i < 64 * dim; ++i) {
    a[i] = static_cast<float>(i * 7 % 13 - 6);
    b[i] = static_cast<float>(i * 5 % 11 - 5);
  }
  const HalfArray a_halves = round_to_half<Half>(a);
  const HalfArray b_halves = round_to_half<Half>(b);
  std::vector<float> product(std::size_t{64} * 64);
  std::vector<float> weighted(64 * dim);
  run_emulated_block(2 * cuda::tile_size<dim> * 2, TurnOrder::ascending, [&](EmulatedLane lane, std::uint16_t* shared) {
    std::uint16_t* const b_tile = shared + cuda::tile_size<dim>;
    cuda::fetch_tile<dim>(lane, shared, 64, dim, [&](int row) { return a_halves.data() + row * dim; });
    cuda::fetch_tile<dim>(lane, b_tile, 64, dim, [&](int row) { return b_halves.data() + row * dim; });
    lane.commit_copies();
    lane.wait_for_copies<0>();
    lane.sync();
    cuda::Product scores;
    cuda::multiply_transposed<Half, dim>(lane, shared, b_tile, scores);
    float sum[dim / 8][4] = {};
    cuda::multiply_accumulate<Half, dim, dim>(lane, scores, b_tile, sum);
    for (int i = 0; i < 4; ++i) {
      const int row = cuda::product_row(lane, i);
      for (int j = 0; j < 8; ++j) product[row * 64 + cuda::product_column(lane, j, i)] = scores[j][i];
      for (int j = 0; j < dim / 8; ++j) weighted[row * dim + cuda::product_column(lane, j, i)] = sum[j][i];
    }
  });
  for (int row = 0; row < 64; ++row) {
    std::vector<double> expected(dim);
    for (int column = 0; column < 64; ++column) {
      float sum = 0;
      for (int d = 0; d < dim; ++d) sum += a[row * dim + d] * b[column * dim + d];
      ASSERT_EQ(product[row * 64 + column], sum) << row << ", " << column;
      for (int d = 0; d < dim; ++d) expected[d] += static_cast<double>(sum) * b[column * dim + d];
    }
    for (int d = 0; d < dim; ++d) ASSERT_EQ(weighted[row * dim + d], expected[d]) << row << ", " << d;
  }
}

TEST(EmulatedBlock, FindsABarrierThatSomeThreadsMiss) {
  const auto kernel = [](EmulatedLane lane, std::uint16_t* /*shared*/) {
    if (lane.thread() != 5) lane.sync();
  };
  EXPECT_THROW(run_emulated_block(16, TurnOrder::ascending, kernel), std::logic_error);
}

TEST(EmulatedBlock, FindsAMisalignedCopy) {
  const HalfArray global(64);
  const auto kernel = [&](EmulatedLane lane, std::uint16_t* shared) {
    lane.copy_16_bytes(shared, global.data() + 4, true);
  };
  EXPECT_THROW(run_emulated_block(16, TurnOrder::ascending, kernel), std::logic_error);
}

TEST(EmulatedBlock, FindsTwoCopiesUnderWayToOnePlace) {
  const HalfArray global(8);
  const auto kernel = [&](bool wait_between) {
    return [&global, wait_between](EmulatedLane lane, std::uint16_t* shared) {
      if (lane.thread() != 0) return;
      for (int copy = 0; copy < 2; ++copy) {
        lane.copy_16_bytes(shared, global.data(), true);
        lane.commit_copies();
        if (wait_between) lane.wait_for_copies<0>();
      }
    };
  };
  run_emulated_block(16, TurnOrder::ascending, kernel(true));
  EXPECT_THROW(run_emulated_block(16, TurnOrder::ascending, kernel(false)), std::logic_error);
}

TEST(EmulatedBlock, ACopyUnderWayMayHaveOverwrittenWhatWasThere) {
  const HalfArray global(8);
  run_emulated_block(16, TurnOrder::ascending, [&](EmulatedLane lane, std::uint16_t* shared) {
    if (lane.thread() != 0) return;
    std::fill_n(shared, 8, std::uint16_t{0});
    lane.copy_16_bytes(shared, global.data(), true);
    EXPECT_EQ(shared[0], 0xffff);  // NaN in either type
  });
}

TEST(EmulatedBlock, CopiesArriveWhenTheyAreWaitedFor) {
  HalfArray global(8);
  std::fill_n(global.data(), 8, std::uint16_t{7});
  run_emulated_block(16, TurnOrder::ascending, [&](EmulatedLane lane, std::uint16_t* shared) {
    if (lane.thread() != 0) return;
    lane.copy_16_bytes(shared, global.data(), true);
    lane.commit_copies();
    EXPECT_EQ(shared[0], 0xffff);
    lane.wait_for_copies<1>();
    EXPECT_EQ(shared[0], 0xffff);
    lane.wait_for_copies<0>();
    EXPECT_EQ(shared[0], 7);
  });
}

TEST(EmulatedBlock, ACopyOfWhatIsNotThereReadsNothingAndLeavesZeros) {
  run_emulated_block(16, TurnOrder::ascending, [&](EmulatedLane lane, std::uint16_t* shared) {
    if (lane.thread() != 0) return;
    lane.copy_16_bytes(shared, nullptr, false);
    lane.commit_copies();
    EXPECT_EQ(shared[7], 0xffff);
    lane.wait_for_copies<0>();
    EXPECT_EQ(shared[7], 0);
  });
}

}  // namespace
}  // namespace lookback
