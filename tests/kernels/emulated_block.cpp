#include "kernels/emulated_block.h"

#include <ucontext.h>

#include <cstring>
#include <stdexcept>
#include <unordered_set>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#endif

namespace lookback {
namespace {

constexpr int warp_threads = 32;
// AddressSanitizer clears its notes on a stack at each change to it, by a system call where they are much longer.
constexpr std::size_t stack_bytes = std::size_t{128} << 10;

struct Copy {
  std::uint16_t* to;
  const std::uint16_t* from;  // null: zeros
};

// What a lane shows the others of its warp.
struct Shown {
  float value = 0;
  const std::uint16_t* row = nullptr;
  std::uint32_t a[4] = {}, b[2] = {};
};

void require_16_bytes(const std::uint16_t* place, const char* message) {
  if (reinterpret_cast<std::uintptr_t>(place) % 16 != 0) throw std::logic_error(message);
}

// Of all threads, or of a warp's.
struct Barrier {
  int expected = 0, arrived = 0;
  std::int64_t generation = 0;
};

}  // namespace

// Its fibers serve one kernel after another: to make them takes longer than many a kernel.
class EmulatedBlock {
 public:
  EmulatedBlock() {
    block_barrier_.expected = cuda::block_threads;
    for (Barrier& barrier : warp_barriers_) barrier.expected = warp_threads;
    for (Fiber& fiber : fibers_) {
      fiber.stack.reset(new char[stack_bytes]);
      getcontext(&fiber.context);
      fiber.context.uc_stack.ss_sp = fiber.stack.get();
      fiber.context.uc_stack.ss_size = stack_bytes;
      fiber.context.uc_link = nullptr;
      makecontext(&fiber.context, &EmulatedBlock::serve, 0);
    }
  }

  // After an exception some fibers still wait inside the kernel: the block is of no more use.
  void run(int shared_bytes, TurnOrder order, const std::function<void(EmulatedLane, std::uint16_t*)>& kernel) {
    // Rows begin at 16 bytes, as the kernels' do; all ones is NaN in either type.
    shared_.reset(static_cast<std::uint16_t*>(::operator new(shared_bytes, std::align_val_t{16})));
    std::memset(shared_.get(), 0xff, shared_bytes);
    kernel_ = &kernel;
    under_way_.clear();
    for (Fiber& fiber : fibers_) {
      fiber.done = false;
      fiber.copies.assign(1, {});
    }
    for (int finished = 0; finished < cuda::block_threads;) {
      const std::int64_t progress = progress_;
      for (int turn = 0; turn < cuda::block_threads; ++turn) {
        const int i = order == TurnOrder::ascending ? turn : cuda::block_threads - 1 - turn;
        if (fibers_[i].done) continue;
        resume(i);
        if (fibers_[i].failure) std::rethrow_exception(fibers_[i].failure);
        finished += fibers_[i].done ? 1 : 0;
      }
      require_progress(progress);
    }
  }

  void wait_for_block() { wait(block_barrier_); }

  // What all lanes of the caller's warp show at this point. It stays until the lane shows something else twice: a lane
  // can be one exchange ahead of another, never two.
  const Shown* exchange(int thread, const Shown& mine) {
    Fiber& fiber = fibers_[thread];
    auto& slots = shown_[fiber.exchanges++ % 2][thread / warp_threads];
    slots[thread % warp_threads] = mine;
    wait(warp_barriers_[thread / warp_threads]);
    return slots.data();
  }

  std::vector<std::vector<Copy>>& copies(int thread) { return fibers_[thread].copies; }

  // On hardware a copy may arrive at any time from here until it is waited for: nobody may count on what is there.
  void begin_copy(std::uint16_t* to) {
    if (!under_way_.insert(to).second) throw std::logic_error("copy_16_bytes: another copy to there is under way");
    std::memset(to, 0xff, 16);
  }
  void end_copy(const Copy& copy) {
    under_way_.erase(copy.to);
    if (copy.from == nullptr) {
      std::memset(copy.to, 0, 16);
    } else {
      std::memcpy(copy.to, copy.from, 16);
    }
  }

 private:
  struct Fiber {
    ucontext_t context{};
    std::unique_ptr<char[]> stack;
    void* fake_stack = nullptr;
    bool done = false;
    std::exception_ptr failure;
    std::int64_t exchanges = 0;
    std::vector<std::vector<Copy>> copies{1};  // groups; the last is being filled
  };

  struct Free {
    void operator()(std::uint16_t* memory) const { ::operator delete(memory, std::align_val_t{16}); }
  };

  void require_progress(std::int64_t before) const {
    if (progress_ == before)
      throw std::logic_error("threads of the block wait at a barrier for others that never come");
  }

  static void serve() {
    EmulatedBlock& block = *running;
    block.finish_switch(nullptr);
    Fiber& fiber = block.fibers_[block.current_];
    const int thread = block.current_;
    for (;;) {
      try {
        (*block.kernel_)(EmulatedLane(&block, thread), block.shared_.get());
      } catch (...) {
        fiber.failure = std::current_exception();
      }
      fiber.done = true;
      ++block.progress_;
      block.leave(fiber);
    }
  }

  void resume(int i) {
    current_ = i;
    running = this;
    Fiber& fiber = fibers_[i];
    begin_switch(&scheduler_fake_stack_, fiber.stack.get(), stack_bytes);
    swapcontext(&scheduler_, &fiber.context);
    finish_switch(scheduler_fake_stack_);
  }

  // Back to the scheduler.
  void leave(Fiber& fiber) {
    begin_switch(&fiber.fake_stack, scheduler_stack_, scheduler_stack_size_);
    swapcontext(&fiber.context, &scheduler_);
    finish_switch(fiber.fake_stack);
  }

  void wait(Barrier& barrier) {
    const std::int64_t generation = barrier.generation;
    if (++barrier.arrived == barrier.expected) {
      barrier.arrived = 0;
      ++barrier.generation;
      ++progress_;
      return;
    }
    Fiber& fiber = fibers_[current_];
    while (barrier.generation == generation) leave(fiber);
  }

  // AddressSanitizer is told of each change of stack.
#ifdef __SANITIZE_ADDRESS__
  static void begin_switch(void** fake_stack, const void* bottom, std::size_t size) {
    __sanitizer_start_switch_fiber(fake_stack, bottom, size);
  }
  void finish_switch(void* fake_stack) {
    const void* bottom = nullptr;
    std::size_t size = 0;
    __sanitizer_finish_switch_fiber(fake_stack, &bottom, &size);
    if (scheduler_stack_ == nullptr) {
      scheduler_stack_ = bottom;
      scheduler_stack_size_ = size;
    }
  }
#else
  static void begin_switch(void** /*fake_stack*/, const void* /*bottom*/, std::size_t /*size*/) {}
  void finish_switch(void* /*fake_stack*/) {}
#endif

  // makecontext() passes no pointer.
  static thread_local EmulatedBlock* running;

  std::array<Fiber, cuda::block_threads> fibers_;
  std::unique_ptr<std::uint16_t, Free> shared_;
  const std::function<void(EmulatedLane, std::uint16_t*)>* kernel_ = nullptr;
  ucontext_t scheduler_{};
  void* scheduler_fake_stack_ = nullptr;
  const void* scheduler_stack_ = nullptr;
  std::size_t scheduler_stack_size_ = 0;
  int current_ = 0;
  std::int64_t progress_ = 0;                           // barriers passed and threads done
  std::unordered_set<const std::uint16_t*> under_way_;  // where copies go that nobody has waited for
  Barrier block_barrier_;
  std::array<Barrier, cuda::block_threads / warp_threads> warp_barriers_;
  std::array<std::array<Shown, warp_threads>, cuda::block_threads / warp_threads> shown_[2];
};

thread_local EmulatedBlock* EmulatedBlock::running = nullptr;

void EmulatedLane::sync() const { block_->wait_for_block(); }

float EmulatedLane::shuffle_xor(float value, int mask) const {
  return block_->exchange(thread_, {.value = value})[in_warp() ^ mask].value;
}

void EmulatedLane::store_pair(std::uint16_t* place, std::uint32_t pair) const {
  if (reinterpret_cast<std::uintptr_t>(place) % 4 != 0) throw std::logic_error("store_pair: not aligned to 4 bytes");
  std::memcpy(place, &pair, sizeof(pair));
}

void EmulatedLane::load_16_bytes(std::uint32_t (&pairs)[4], const std::uint16_t* place) const {
  require_16_bytes(place, "load_16_bytes: not aligned to 16 bytes");
  std::memcpy(pairs, place, sizeof(pairs));
}

void EmulatedLane::store_16_bytes(std::uint16_t* place, const std::uint32_t (&pairs)[4]) const {
  require_16_bytes(place, "store_16_bytes: not aligned to 16 bytes");
  std::memcpy(place, pairs, sizeof(pairs));
}

void EmulatedLane::copy_16_bytes(std::uint16_t* shared, const std::uint16_t* global, bool is_there) const {
  require_16_bytes(shared, "copy_16_bytes: not aligned to 16 bytes");
  if (is_there) require_16_bytes(global, "copy_16_bytes: not aligned to 16 bytes");
  block_->begin_copy(shared);
  block_->copies(thread_).back().push_back({shared, is_there ? global : nullptr});
}

void EmulatedLane::commit_copies() const { block_->copies(thread_).emplace_back(); }

void EmulatedLane::finish_copies(std::size_t pending) const {
  auto& groups = block_->copies(thread_);
  while (groups.size() > pending + 1) {
    for (const Copy& copy : groups.front()) block_->end_copy(copy);
    groups.erase(groups.begin());
  }
}

void EmulatedLane::load(std::uint32_t (&part)[4], const std::uint16_t* row, bool transposed) const {
  require_16_bytes(row, "load_matrices: not aligned to 16 bytes");
  const Shown* const shown = block_->exchange(thread_, {.row = row});
  const int own = in_warp() / 4;
  const int pair = in_warp() % 4 * 2;
  for (int m = 0; m < 4; ++m) {
    const auto element = [&](int r, int c) -> std::uint32_t { return shown[8 * m + r].row[c]; };
    part[m] = transposed ? element(pair, own) | element(pair + 1, own) << 16
                         : element(own, pair) | element(own, pair + 1) << 16;
  }
}

void EmulatedLane::multiply(float (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1,
                            float (*to_float)(std::uint16_t)) const {
  const Shown* const shown = block_->exchange(thread_, {.a = {a[0], a[1], a[2], a[3]}, .b = {b0, b1}});
  const auto number = [to_float](std::uint32_t pair, int k) {
    return static_cast<double>(to_float(static_cast<std::uint16_t>(k % 2 == 0 ? pair : pair >> 16)));
  };
  for (int i = 0; i < 4; ++i) {
    const int row = in_warp() / 4 + i / 2 * 8;
    const int column = in_warp() % 4 * 2 + i % 2;
    double sum = c[i];
    for (int k = 0; k < 16; ++k) {
      // PTX's tables for m16n8k16: a's register is chosen by the halves of row and k, b's by the half of k.
      const std::uint32_t left = shown[row % 8 * 4 + k % 8 / 2].a[row / 8 + k / 8 * 2];
      const std::uint32_t right = shown[column * 4 + k % 8 / 2].b[k / 8];
      sum += number(left, k) * number(right, k);
    }
    c[i] = static_cast<float>(sum);
  }
}

void run_emulated_block(int shared_bytes, TurnOrder order,
                        const std::function<void(EmulatedLane lane, std::uint16_t* shared)>& kernel) {
  thread_local std::unique_ptr<EmulatedBlock> block;
  if (block == nullptr) block = std::make_unique<EmulatedBlock>();
  try {
    block->run(shared_bytes, order, kernel);
  } catch (...) {
    block.reset();
    throw;
  }
}

}  // namespace lookback
