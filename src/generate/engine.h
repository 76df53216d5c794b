// Continues many texts at once: requests join and leave between steps.
#pragma once

#include <cstdint>
#include <exception>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <set>
#include <vector>

#include "core/clock.h"
#include "generate/decoder.h"
#include "generate/generate_result.h"
#include "generate/text_session.h"
#include "models/model.h"
#include "text/tokenizer.h"

namespace lookback {

// What a request ends with.
struct Finished {
  TextSession text;          // with the prompt and, where there is no error, the new ids; it can be continued
  GenerateResult result;     // where there is no error
  std::exception_ptr error;  // Interrupted: stopped while the prompt was read. After others the text is of no use
};

// Throws a request's error, unless all that is wrong is that it was stopped.
void rethrow_unless_interrupted(const std::exception_ptr& error);

// A text to be continued.
struct Request {
  TextSession text;  // what was said before; without a sequence: nothing, and one of the weights' elements begins
  std::vector<std::int64_t> prompt_ids;  // behind it
  GenerateConfig config;
  GenerateListener listener;  // told what happens, by the thread that calls step()
  // Called by the same thread, between the prompt's last token and the first new one, with the sequence that has read
  // the one and not the other.
  std::function<void(const Sequence&)> before_first_token;
  std::function<void(Finished)> on_finished;  // as the last thing of all, by the same thread
};

struct EngineConfig {
  // Prompt tokens that are read in one step, of all texts together, rounded up to whole chunks: no text waits longer
  // for its next token than such a segment takes.
  std::int64_t segment_tokens = 4096;
  std::size_t max_running = 256;  // texts that are read and continued at a time; later ones wait their turn
};

// What a request gets depends on nothing but itself: not on what runs beside it, nor on when it came.
class Engine {
 public:
  using Ticket = std::uint64_t;

  // tokenizer: nullptr gives ids only. Both must outlive the engine.
  Engine(const Model& model, const Tokenizer* tokenizer, const EngineConfig& config);

  // From any thread. The text of a request is begun, read and continued in the order of submission, as far as there is
  // room. Throws Error for what cannot be asked for.
  Ticket submit(Request request);

  // Throws Error for what cannot be asked for, as submit() does.
  void check(const Request& request) const;

  // From any thread: the request ends in the next step, with what it has (StopReason::interrupted, or error
  // Interrupted). Nothing for one that has ended.
  void cancel(Ticket ticket);

  // From one thread at a time. Reads a segment of prompts and takes a token for each text whose prompt is read; false
  // when there is nothing left to do. What a request throws, its callbacks included, ends that request alone; what
  // on_finished throws comes out here.
  bool step();

 private:
  struct Running {
    Ticket ticket = 0;
    Request request;
    std::unique_ptr<Decoder> decoder;  // once the prompt is read
    GenerateResult result;
    std::int64_t num_tokens_before = 0;  // that its sequence had read when it came
    Clock::time_point start, prompt_read;
    bool cancelled = false;
    std::exception_ptr error;

    std::int64_t num_unread() const;
    bool over() const { return error != nullptr || (decoder != nullptr && decoder->ended()); }
  };
  // Rows of hidden states or logits that are a text's.
  struct Share {
    Running* running;
    std::int64_t num_rows;
  };

  void admit();
  // Of texts that are continued, and of prompts. shares: whose the rows of Model::step's result are.
  std::vector<Piece> next_pieces(std::vector<Share>& shares);
  std::int64_t next_segment(const Running& running, std::int64_t budget) const;
  // Runs the pieces, and lets those choose a token who have been read to their ends.
  void advance(const std::vector<Piece>& pieces, const std::vector<Share>& shares);
  void take_tokens(const at::Tensor& hidden, const std::vector<Share>& shares);
  void begin_decoding(Running& running, const at::Tensor& hidden) const;
  void ask_for_stops();
  void finish_those_that_are_over();
  static void finish(Running& running);

  const Model& model_;
  const Tokenizer* tokenizer_;
  EngineConfig config_;

  std::list<Running> running_;  // in the order of submission

  std::mutex mutex_;  // guards what follows
  std::list<Running> waiting_;
  std::set<Ticket> cancelled_;
  Ticket next_ticket_ = 1;
};

}  // namespace lookback
