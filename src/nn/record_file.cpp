#include "nn/record_file.h"

#include <fmt/core.h>
#include <xxhash.h>

#include <algorithm>

#include "core/error.h"
#include "core/files.h"

namespace lookback {
namespace {

constexpr const char* record_name = "record";

at::Tensor bytes_tensor(const std::string& text) {
  at::Tensor bytes = at::empty({static_cast<std::int64_t>(text.size())}, at::kByte);
  std::ranges::copy(text, static_cast<char*>(bytes.mutable_data_ptr()));
  return bytes;
}

}  // namespace

std::string tensor_head(std::string_view name, at::ScalarType type, at::IntArrayRef sizes) {
  std::string head = std::string(name) + " " + c10::toString(type);
  for (const std::int64_t size : sizes) head += " " + std::to_string(size);
  return head;
}

std::string tensors_checksum(const NamedTensors& tensors) {
  XXH64_hash_t hash = 0;
  for (const auto& [name, tensor] : tensors) {
    const at::Tensor plain = tensor.cpu().contiguous();
    const std::string head = tensor_head(name, plain.scalar_type(), plain.sizes());
    hash = XXH64(head.data(), head.size(), hash);
    hash = XXH64(plain.const_data_ptr(), plain.nbytes(), hash);
  }
  return fmt::format("{:016x}", hash);
}

void write_record_file(const std::filesystem::path& path, const RecordKind& kind, const Record& record) {
  const Json json = {{"kind", kind.name},
                     {"version", kind.version},
                     {"checksum", tensors_checksum(record.tensors)},
                     {"fields", record.fields}};
  NamedTensors tensors{{record_name, bytes_tensor(json.dump())}};
  tensors.insert(tensors.end(), record.tensors.begin(), record.tensors.end());
  write_atomically(path, [&](const std::filesystem::path& temporary) { write_safetensors(temporary, tensors); });
}

Record read_record_file(const std::filesystem::path& path, const RecordKind& kind) {
  const std::string source = path.string();
  Record record{{}, read_safetensors(path)};
  const bool has_record = !record.tensors.empty() && record.tensors.front().first == record_name &&
                          record.tensors.front().second.scalar_type() == at::kByte;
  require(has_record, "{}: it is no {} of lookback", source, kind.name);
  const at::Tensor bytes = take_tensor(record, record_name, source);
  const Json json =
      parse_json({static_cast<const char*>(bytes.const_data_ptr()), static_cast<std::size_t>(bytes.numel())}, source);
  const auto found = json_field<std::string>(json, "kind", source);
  require(found == kind.name, "{}: it is no {} of lookback, but a {}", source, kind.name, found);
  const auto version = json_field<int>(json, "version", source);
  require(version == kind.version, "{}: its format has version {}, this program knows {}: {}", source, version,
          kind.version, version > kind.version ? "use a newer lookback" : kind.remedy);
  require(json_field<std::string>(json, "checksum", source) == tensors_checksum(record.tensors),
          "{}: its checksum does not fit: the file is damaged; {}", source, kind.remedy);
  record.fields = json_field<Json>(json, "fields", source);
  return record;
}

at::Tensor take_tensor(Record& record, std::string_view name, const std::string& source) {
  const auto found = std::ranges::find_if(record.tensors, [name](const auto& entry) { return entry.first == name; });
  require(found != record.tensors.end(), "{}: it has no \"{}\": the file is damaged", source, name);
  at::Tensor tensor = found->second;
  record.tensors.erase(found);
  return tensor;
}

}  // namespace lookback
