// Memory files, of this version and of 0.1, and the lists beside them.
#include <ATen/ATen.h>

#include <cstring>
#include <string>

#include "fuzz/fuzz_input.h"
#include "fuzz/fuzz_targets.h"
#include "ingest/memory_index.h"
#include "memory/checksum.h"
#include "memory/memory_writer.h"
#include "memory/merge_memories.h"
#include "memory/stored_memory.h"
#include "models/fingerprint.h"
#include "nn/record_file.h"

namespace lookback {
namespace {

void put_checksum(std::string& file, std::size_t begin, std::size_t bytes) {
  const std::uint64_t sum = checksum(std::as_bytes(std::span(file).subspan(begin, bytes)));
  std::memcpy(file.data() + begin + bytes, &sum, sizeof(sum));
}

// The checksums of headers and catalogs, which nothing that is changed at random would get past, put right.
std::string with_checksums(std::string_view input) {
  constexpr std::size_t header_bytes = 64;
  constexpr int most_segments = 8;
  std::string file(input);
  for (const std::size_t header : {std::size_t{0}, memory_page_bytes}) {
    if (file.size() < header + header_bytes || file.compare(header, 8, "lookback") != 0) continue;
    std::uint64_t place[2];  // of a segment and its bytes
    std::memcpy(place, file.data() + header + 32, sizeof(place));
    put_checksum(file, header, header_bytes - sizeof(std::uint64_t));
    for (int i = 0; i < most_segments; ++i) {
      const auto [begin, bytes] = place;
      if (begin < memory_headers_bytes || bytes < 32 || begin > file.size() || bytes > file.size() - begin) break;
      put_checksum(file, begin, bytes - sizeof(std::uint64_t));
      std::memcpy(place, file.data() + begin + 8, sizeof(place));
    }
  }
  return file;
}

MemoryFormat fuzz_format() {
  return {.model_fingerprint = "0123456789abcdef",
          .tokenizer_fingerprint = "fedcba9876543210",
          .chunk_size = 5,
          .num_vectors = 4,
          .num_heads = 2,
          .head_dim = 8,
          .hidden_size = 16,
          .elements = MemoryElements::float32,
          .pad_id = 3};
}

EncodedBlock some_chunks(const MemoryFormat& format, std::int64_t count) {
  ChunkBlock block;
  block.key = at::ones({count, format.num_vectors, format.num_heads, format.head_dim});
  block.value = block.key;
  block.landmarks = at::arange(count * format.hidden_size).to(at::kFloat).view({count, format.hidden_size});
  block.token_ids = at::zeros({count, format.chunk_size}, at::kLong);
  block.text_begins.resize(static_cast<std::size_t>(count));
  return encode_block(block, format);
}

void add_document(MemoryWriter& writer, const MemoryFormat& format, std::int64_t num_chunks) {
  const std::uint64_t id = writer.begin_document("added", "");
  writer.append(id, some_chunks(format, num_chunks), num_chunks * format.chunk_size, num_chunks);
  writer.finish_document(id);
}

void read_all(const std::filesystem::path& path) {
  const StoredMemory memory(path);
  for (std::int64_t chunk = 0; chunk < memory.num_chunks(); ++chunk) {
    memory.prefetch({&chunk, 1});
    allow_errors([&] { memory.origin(chunk); });
    allow_errors([&] { memory.chunk(chunk); });
  }
  memory.verify();
}

void read_and_write(const FuzzFolder& folder, std::string_view content) {
  folder.clear();
  const auto path = folder.write("a.memory", content);
  allow_errors([&] { read_all(path); });
  allow_errors([&] {
    const MemoryFormat format = fuzz_format();
    {
      MemoryWriter writer(path, format);
      if (!writer.documents().empty()) writer.remove_document(writer.documents().front().id);
      writer.commit();
      add_document(writer, format, 3);
      writer.commit();
    }
    read_all(path);
    merge_memories({path}, folder.path() / "merged.memory", {});
  });
}

}  // namespace

void fuzz_memory(std::string_view input) {
  static const FuzzFolder folder;
  read_and_write(folder, input);
  read_and_write(folder, with_checksums(input));
}

// A safetensors file whose tensor "record" holds the fields of an index; its checksum, and that of the memory it
// belongs to, are put right.
void fuzz_memory_index(std::string_view input) {
  static const FuzzFolder folder;
  static const std::filesystem::path memory_path = folder.path() / "a.memory";
  static const StoredMemory memory = [] {
    MemoryWriter writer(memory_path, fuzz_format());
    add_document(writer, fuzz_format(), 24);
    writer.commit();
    return StoredMemory(memory_path);
  }();
  static const std::string fingerprint = landmarks_fingerprint(memory, memory.num_chunks());
  const auto raw = folder.write("a.memory.index", input);
  allow_errors([] { open_memory_index(memory, fingerprint, 0); });
  allow_errors([&raw] {
    Record record{{}, read_safetensors(raw)};
    const at::Tensor bytes = take_tensor(record, "record", "the input");
    if (bytes.scalar_type() != at::kByte) return;
    const Json json = parse_json(
        {static_cast<const char*>(bytes.const_data_ptr()), static_cast<std::size_t>(bytes.numel())}, "the input");
    record.fields = json_field<Json>(json, "fields", "the input");
    if (!record.fields.is_object()) return;
    record.fields["landmarks_checksum"] = fingerprint;
    write_record_file(memory_index_path(memory_path), {"memory index", 1, "make it again"}, record);
    const OpenedMemoryIndex opened = open_memory_index(memory, fingerprint, 0);
    opened.index->best(memory.landmarks().narrow(0, 3, 2), 4);
  });
}

}  // namespace lookback
