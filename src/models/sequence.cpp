#include "models/sequence.h"

#include <utility>

#include "core/error.h"

namespace lookback {

void Sequence::attach(std::shared_ptr<const MemorySet> memories) {
  if (memories == nullptr) return;
  check_takes_memories();
  require(num_tokens_ == 0, "stored memories are attached before the text begins");
  require(memories_ == nullptr, "stored memories are attached once, all together");
  memories_ = std::move(memories);
}

void Sequence::check_takes_memories() const {
  fail("this kind of model retrieves nothing, so no memory can be attached");
}

NamedTensors Sequence::state() const {
  NamedTensors state{{"num_tokens", at::scalar_tensor(num_tokens_, at::kLong)}};
  if (first_wanted_ > num_tokens_) {
    state.emplace_back("first_wanted", at::scalar_tensor(first_wanted_, at::kLong));
  }
  save_state(state);
  return state;
}

void Sequence::restore(const NamedTensors& state) {
  StateReader reader(state, options_);
  num_tokens_ = reader.take_count("num_tokens");
  first_wanted_ = reader.has("first_wanted") ? reader.take_count("first_wanted") : num_tokens_;
  restore_state(reader);
  reader.finish();
}

}  // namespace lookback
