// Const calls of one model from many threads at once: each gets what it gets alone.
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

#include <barrier>
#include <memory>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "models/small_models.h"
#include "ops/parallel.h"

namespace lookback {
namespace {

constexpr int num_threads = 4;

std::vector<std::int64_t> text_of(std::int64_t thread) {
  std::vector<std::int64_t> ids;
  for (std::int64_t i = 0; i < 45 + 7 * thread; ++i) ids.push_back((i * i + 3 * thread) % 37);
  return ids;
}

// What one caller does: reads a text in parts, goes on with a copy of it, and reads it whole.
std::vector<at::Tensor> all_calls(const Model& model, int thread) {
  const at::NoGradGuard no_gradients;
  const std::vector<std::int64_t> ids = text_of(thread);
  const std::unique_ptr<Sequence> sequence = model.new_sequence(at::kFloat);
  std::vector<at::Tensor> results;
  std::size_t first = 0;
  for (const std::size_t count : {20, 1, 1, 11}) {
    const Piece piece{sequence.get(), std::span(ids).subspan(first, count), 0};
    results.push_back(model.step({&piece, 1}));
    first += count;
  }
  const std::unique_ptr<Sequence> fork = sequence->fork();
  for (Sequence* const one : {sequence.get(), fork.get()}) {
    const Piece piece{one, std::span(ids).subspan(first), 0};
    results.push_back(model.step({&piece, 1}));
  }
  results.push_back(model.logits(results.back()));
  const at::Tensor whole = at::tensor(at::ArrayRef<std::int64_t>(ids)).unsqueeze(0);
  results.push_back(model.hidden_states(whole, {}));
  return results;
}

TEST(ConcurrentCalls, GiveEachThreadWhatItGetsAlone) {
  for (const std::string& kind : model_kinds()) {
    const std::unique_ptr<Model> model = make_model(small_config(kind), at::kCPU, 3);
    model->parameters().freeze(at::kFloat);
    std::vector<std::vector<at::Tensor>> alone(num_threads);
    std::vector<std::vector<at::Tensor>> together(num_threads);
    {
      const OneThreadHere one;
      for (int i = 0; i < num_threads; ++i) alone[static_cast<std::size_t>(i)] = all_calls(*model, i);
    }
    std::barrier start(num_threads);
    {
      std::vector<std::jthread> threads;
      for (int i = 0; i < num_threads; ++i) {
        threads.emplace_back([&, i] {
          const OneThreadHere one;
          start.arrive_and_wait();
          together[static_cast<std::size_t>(i)] = all_calls(*model, i);
        });
      }
    }
    for (std::size_t i = 0; i < num_threads; ++i) {
      ASSERT_EQ(together[i].size(), alone[i].size());
      for (std::size_t k = 0; k < alone[i].size(); ++k) {
        EXPECT_TRUE(at::equal(together[i][k], alone[i][k])) << kind << ", thread " << i << ", call " << k;
      }
    }
  }
}

}  // namespace
}  // namespace lookback
