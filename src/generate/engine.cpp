#include "generate/engine.h"

#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <utility>

#include "core/error.h"
#include "generate/beam_search.h"
#include "generate/generator.h"
#include "generate/sampling.h"

namespace lookback {
namespace {

// What segments of prompts are cut to: whole chunks, where the model has chunks.
std::int64_t whole_segment(std::int64_t segment_tokens, const ModelConfig& config) {
  if (!config.has_landmarks()) return segment_tokens;
  return (segment_tokens + config.chunk_size - 1) / config.chunk_size * config.chunk_size;
}

}  // namespace

void rethrow_unless_interrupted(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const Interrupted&) {
    return;
  }
}

Engine::Engine(const Model& model, const Tokenizer* tokenizer, const EngineConfig& config)
    : model_(model), tokenizer_(tokenizer), config_(config) {
  require(config.segment_tokens >= 1, "segment-tokens {}: must be at least 1", config.segment_tokens);
  require(config.max_running >= 1, "at least one text must be continued at a time");
}

void Engine::check(const Request& request) const {
  const GenerateConfig& config = request.config;
  require(config.stop.max_new_tokens >= 0, "max-new-tokens {}: must not be negative", config.stop.max_new_tokens);
  require(tokenizer_ != nullptr || config.stop.stop_strings.empty(),
          "stop strings need a tokenizer, and the model folder has none");
  require(config.num_beams >= 1, "num-beams {}: must be at least 1", config.num_beams);
  check_sampling_config(config.sampling);
  if (config.num_beams > 1) check_beam_config(config);
  check_token_ids(request.prompt_ids, model_.config(), "prompt");
  require(!request.text.ids.empty() || !request.prompt_ids.empty(),
          "the prompt is empty: give at least one token to start from");
}

Engine::Ticket Engine::submit(Request request) {
  check(request);
  const std::lock_guard lock(mutex_);
  Running& running = waiting_.emplace_back();
  running.ticket = next_ticket_++;
  running.request = std::move(request);
  return running.ticket;
}

void Engine::cancel(Ticket ticket) {
  const std::lock_guard lock(mutex_);
  if (ticket < next_ticket_) cancelled_.insert(ticket);
}

std::int64_t Engine::Running::num_unread() const {
  return std::ssize(request.text.ids) - request.text.sequence->num_tokens();
}

void Engine::admit() {
  std::set<Ticket> cancelled;
  const std::size_t num_before = running_.size();
  {
    const std::lock_guard lock(mutex_);
    while (!waiting_.empty() && running_.size() < config_.max_running) {
      running_.splice(running_.end(), waiting_, waiting_.begin());
    }
    cancelled = std::exchange(cancelled_, {});
    for (Running& waiting : waiting_) waiting.cancelled = waiting.cancelled || cancelled.contains(waiting.ticket);
  }
  std::size_t place = 0;
  for (Running& running : running_) {
    running.cancelled = running.cancelled || cancelled.contains(running.ticket);
    if (place++ < num_before) continue;
    TextSession& text = running.request.text;
    running.start = Clock::now();
    running.result.prompt_tokens = std::ssize(running.request.prompt_ids);
    text.ids.insert(text.ids.end(), running.request.prompt_ids.begin(), running.request.prompt_ids.end());
    try {
      if (text.sequence == nullptr) {
        text.sequence = model_.new_sequence(model_.embedding().scalar_type());
        text.sequence->attach(text.memories);
      }
      running.num_tokens_before = text.sequence->num_tokens();
    } catch (...) {
      running.error = std::current_exception();
    }
  }
}

std::int64_t Engine::next_segment(const Running& running, std::int64_t budget) const {
  const std::int64_t unread = running.num_unread();
  if (unread <= budget) return unread;
  if (!model_.config().has_landmarks()) return budget;
  // Up to a chunk's end.
  const std::int64_t num_read = running.request.text.sequence->num_tokens();
  const std::int64_t chunk_size = model_.config().chunk_size;
  return std::max<std::int64_t>(0, (num_read + budget) / chunk_size * chunk_size - num_read);
}

std::vector<Piece> Engine::next_pieces(std::vector<Share>& shares) {
  std::vector<Piece> pieces;
  std::int64_t budget = whole_segment(config_.segment_tokens, model_.config());
  for (Running& running : running_) {
    if (running.over()) continue;
    TextSession& text = running.request.text;
    if (running.decoder != nullptr) {
      const std::size_t num_before = pieces.size();
      running.decoder->add_pieces(pieces);
      shares.push_back({&running, static_cast<std::int64_t>(pieces.size() - num_before)});
    } else if (running.num_unread() == 0) {
      shares.push_back({&running, 0});  // its hidden states are known
    } else if (const std::int64_t count = next_segment(running, budget); count > 0) {
      budget -= count;
      const std::int64_t unread = running.num_unread();
      text.hidden = at::Tensor();
      const std::span<const std::int64_t> ids =
          std::span<const std::int64_t>(text.ids).last(static_cast<std::size_t>(unread));
      pieces.push_back({text.sequence.get(), ids.first(static_cast<std::size_t>(count)), unread - 1});
      shares.push_back({&running, count == unread ? 1 : 0});
    }
  }
  return pieces;
}

void Engine::begin_decoding(Running& running, const at::Tensor& hidden) const {
  Request& request = running.request;
  request.text.hidden = hidden;
  running.prompt_read = Clock::now();
  if (request.before_first_token) request.before_first_token(*request.text.sequence);
  running.decoder = make_decoder(model_, tokenizer_, request.text, request.config, request.listener);
}

void Engine::advance(const std::vector<Piece>& pieces, const std::vector<Share>& shares) {
  at::Tensor hidden;
  try {
    if (!pieces.empty()) hidden = model_.step(pieces);
  } catch (...) {
    for (const Share& share : shares) share.running->error = std::current_exception();
    return;
  }
  std::vector<Share> choosing;
  std::vector<at::Tensor> rows;
  std::int64_t first = 0;
  for (const Share& share : shares) {
    Running& running = *share.running;
    const bool was_reading = running.decoder == nullptr;
    const at::Tensor own = share.num_rows > 0 ? hidden.narrow(0, first, share.num_rows) : running.request.text.hidden;
    first += share.num_rows;
    try {
      if (was_reading) {
        const std::int64_t num_read = running.request.text.sequence->num_tokens();
        if (running.request.listener.on_prompt_read) {
          running.request.listener.on_prompt_read(num_read - running.num_tokens_before);
        }
        if (running.num_unread() > 0) continue;
        begin_decoding(running, own.view({1, 1, -1}));
        if (running.over()) continue;
      }
      choosing.push_back({&running, was_reading ? 1 : share.num_rows});
      rows.push_back(own.view({choosing.back().num_rows, -1}));
    } catch (...) {
      running.error = std::current_exception();
    }
  }
  if (!rows.empty()) take_tokens(at::cat(rows), choosing);
}

void Engine::take_tokens(const at::Tensor& hidden, const std::vector<Share>& shares) {
  // A copy, which may be changed.
  const at::Tensor logits = model_.logits(hidden).to(at::kCPU, at::kFloat).contiguous().clone();  // [R, V]
  std::int64_t first = 0;
  for (const Share& share : shares) {
    try {
      share.running->decoder->take(logits.narrow(0, first, share.num_rows));
    } catch (...) {
      share.running->error = std::current_exception();
    }
    first += share.num_rows;
  }
}

void Engine::ask_for_stops() {
  for (Running& running : running_) {
    if (running.over()) continue;
    try {
      if (!running.cancelled && !running.request.listener.stop.stop_requested()) continue;
      if (running.decoder == nullptr) throw Interrupted();
      running.decoder->interrupt();
    } catch (...) {
      running.error = std::current_exception();
    }
  }
}

void Engine::finish(Running& running) {
  TextSession& text = running.request.text;
  Finished finished;
  finished.error = running.error;
  if (running.error == nullptr) {
    GenerateResult& result = running.result;
    running.decoder->give(result);
    running.decoder.reset();
    result.prefill_seconds = std::chrono::duration<double>(running.prompt_read - running.start).count();
    result.decode_seconds = seconds_since(running.prompt_read);
    result.memory_bytes = text.sequence->memory_bytes();
    result.window_bytes = text.sequence->window_bytes();
    if (!result.ids.empty()) text.hidden = at::Tensor();
    text.ids.insert(text.ids.end(), result.ids.begin(), result.ids.end());
    finished.result = std::move(result);
  }
  finished.text = std::move(text);
  if (running.request.on_finished) running.request.on_finished(std::move(finished));
}

void Engine::finish_those_that_are_over() {
  for (auto running = running_.begin(); running != running_.end();) {
    const auto next = std::next(running);
    if (running->over()) {
      std::list<Running> leaving;
      leaving.splice(leaving.begin(), running_, running);
      finish(leaving.front());
    }
    running = next;
  }
}

bool Engine::step() {
  const at::NoGradGuard no_gradients;
  admit();
  std::vector<Share> shares;
  const std::vector<Piece> pieces = next_pieces(shares);
  if (!shares.empty()) advance(pieces, shares);
  ask_for_stops();
  finish_those_that_are_over();
  if (!running_.empty()) return true;
  const std::lock_guard lock(mutex_);
  return !waiting_.empty();
}

}  // namespace lookback
