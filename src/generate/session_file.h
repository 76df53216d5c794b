// Sessions on disk: a conversation that goes on in another process.
//
// A record file (nn/record_file.h) whose fields say what model, tokenizer and memories the session belongs to, and
// whose tensors are "ids", the text; "hidden", if the sequence has read all of it; "state.*", the sequence's own
// (Sequence::state).
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "generate/text_session.h"
#include "nn/safetensors.h"

namespace lookback {

// A memory that a session retrieves from: the chunks that it had when the session was saved.
struct SessionMemory {
  std::string path;
  std::int64_t num_chunks = 0;
  std::string landmarks_checksum;

  bool operator==(const SessionMemory&) const = default;
};

// What a session belongs to.
struct SessionOwner {
  std::string model_fingerprint;
  std::string tokenizer_fingerprint;  // empty: the model has none
};

struct SavedSession {
  SessionOwner owner;
  std::vector<SessionMemory> memories;
  std::vector<std::int64_t> ids;
  at::Tensor hidden;
  NamedTensors state;
};

// Atomic: a crash leaves the file as it was. memory_paths: of text.memories, in their order. Throws Error when it
// cannot be written.
void save_session(const std::filesystem::path& path, const TextSession& text, const SessionOwner& owner,
                  const std::vector<std::string>& memory_paths);

// Throws Error for a file that is missing, no session, of another version, cut short or damaged.
SavedSession load_session(const std::filesystem::path& path);

// The session of a file goes on. memory_set: those of saved.memories, opened again; chunks added to them since are
// retrieved from, too. Throws Error naming `source` for another model or tokenizer than the owner, and for memories
// from which chunks were removed.
TextSession resume_session(const SavedSession& saved, const std::string& source, const Model& model,
                           at::ScalarType dtype, const SessionOwner& owner,
                           const std::shared_ptr<const MemorySet>& memory_set);

}  // namespace lookback
