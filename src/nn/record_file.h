// Files of ours that hold some tensors and what they belong to: safetensors with one more tensor, "record", the bytes
// of a JSON object, and a checksum over everything.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "core/json.h"
#include "nn/safetensors.h"

namespace lookback {

// What all files of a kind share.
struct RecordKind {
  const char* name;    // "session"
  int version;         // of what is in them
  const char* remedy;  // for files that cannot be used: "begin a new session"
};

struct Record {
  Json fields;
  NamedTensors tensors;
};

// Atomic: a crash leaves the file that was there or the new one. Throws Error when it cannot be written.
void write_record_file(const std::filesystem::path& path, const RecordKind& kind, const Record& record);

// Throws Error naming the file when it is missing, of another kind or version, or damaged.
Record read_record_file(const std::filesystem::path& path, const RecordKind& kind);

// The tensor of that name, which leaves the record. Throws Error when there is none.
at::Tensor take_tensor(Record& record, std::string_view name, const std::string& source);

// Of names, types, shapes and elements, as 16 hex digits: XXH64 of each tensor's head and then of its elements, each
// begun with the hash of what came before.
std::string tensors_checksum(const NamedTensors& tensors);
std::string tensor_head(std::string_view name, at::ScalarType type, at::IntArrayRef sizes);

}  // namespace lookback
