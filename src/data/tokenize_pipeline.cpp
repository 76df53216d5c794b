#include "data/tokenize_pipeline.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "data/text_pieces.h"

namespace lookback {

TokenizePipeline::TokenizePipeline(const std::vector<InputFile>& files, const InputPosition& start,
                                   const Tokenizer& tokenizer, const std::string& field, int num_threads)
    : files_(files),
      start_(start),
      tokenizer_(tokenizer),
      field_(field),
      limit_bytes_(2 * piece_bytes * static_cast<std::size_t>(num_threads + 1)),
      limit_blocks_(64 * static_cast<std::size_t>(num_threads + 1)) {
  threads_.emplace_back([this] { read(); });
  for (int i = 0; i < num_threads; ++i) threads_.emplace_back([this] { tokenize(); });
}

TokenizePipeline::~TokenizePipeline() {
  {
    const std::lock_guard lock(mutex_);
    stop_.request_stop();
  }
  changed_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

std::optional<TokenizedBlock> TokenizePipeline::next(const StopToken& stop) {
  std::unique_lock lock(mutex_);
  const auto is_there = [&] { return slots_.empty() ? read_all_ : slots_.front()->done; };
  while (!changed_.wait_for(lock, std::chrono::milliseconds(100), is_there)) {
    if (stop.stop_requested()) return std::nullopt;
  }
  if (slots_.empty()) return std::nullopt;
  const std::shared_ptr<Slot> slot = slots_.front();
  if (slot->error) std::rethrow_exception(slot->error);
  slots_.pop_front();
  bytes_under_way_ -= slot->text_bytes;
  lock.unlock();
  changed_.notify_all();
  return std::move(slot->result);
}

void TokenizePipeline::read() {
  const auto finish = [&](std::shared_ptr<Slot> last) {
    const std::lock_guard lock(mutex_);
    if (last) slots_.push_back(std::move(last));
    read_all_ = true;
    changed_.notify_all();
  };
  try {
    DocumentReader reader(files_, start_, tokenizer_, stop_.token());
    while (auto block = reader.next()) {
      auto slot = std::make_shared<Slot>();
      slot->text_bytes = block->text.size();
      slot->block = std::move(*block);
      std::unique_lock lock(mutex_);
      // Small blocks count too: a million tiny files must not queue up.
      const auto has_room = [&] {
        return slots_.empty() || (bytes_under_way_ + slot->text_bytes <= limit_bytes_ && slots_.size() < limit_blocks_);
      };
      changed_.wait(lock, [&] { return stop_.stop_requested() || has_room(); });
      if (stop_.stop_requested()) return;
      bytes_under_way_ += slot->text_bytes;
      slots_.push_back(std::move(slot));
      lock.unlock();
      changed_.notify_all();
    }
    finish(nullptr);
  } catch (...) {
    auto slot = std::make_shared<Slot>();
    slot->error = std::current_exception();
    slot->taken = slot->done = true;
    finish(std::move(slot));
  }
}

void TokenizePipeline::tokenize() {
  while (true) {
    std::unique_lock lock(mutex_);
    const auto first_open = [&] {
      return std::find_if(slots_.begin(), slots_.end(), [](const auto& slot) { return !slot->taken; });
    };
    changed_.wait(lock, [&] { return stop_.stop_requested() || read_all_ || first_open() != slots_.end(); });
    const auto found = first_open();
    if (stop_.stop_requested() || found == slots_.end()) return;
    // NOLINTNEXTLINE(performance-unnecessary-copy-initialization): it outlives its place in slots_
    const std::shared_ptr<Slot> slot = *found;
    slot->taken = true;
    lock.unlock();
    try {
      slot->result = tokenize_block(std::move(slot->block), tokenizer_, field_);
    } catch (...) {
      slot->error = std::current_exception();
    }
    lock.lock();
    slot->done = true;
    lock.unlock();
    changed_.notify_all();
  }
}

}  // namespace lookback
