#include "memory/memory_format.h"

#include <bit>
#include <cstring>

#include "core/error.h"

namespace lookback {
namespace {

static_assert(std::endian::native == std::endian::little, "memories are little-endian, as every machine of ours is");

constexpr int format_version = 1;

std::int64_t element_bytes(MemoryElements elements) {
  switch (elements) {
    case MemoryElements::float32:
      return 4;
    case MemoryElements::bfloat16:
      return 2;
    case MemoryElements::int8:
      return 1;
  }
  return 0;
}

// The next elements of `bytes`, which may lie anywhere, and begin behind them afterwards.
at::Tensor take_elements(std::span<const std::byte>& bytes, at::IntArrayRef sizes, at::ScalarType type) {
  at::Tensor elements = at::empty(sizes, type);
  std::memcpy(elements.mutable_data_ptr(), bytes.data(), elements.nbytes());
  bytes = bytes.subspan(elements.nbytes());
  return elements;
}

}  // namespace

at::ScalarType scalar_type(MemoryElements elements) {
  switch (elements) {
    case MemoryElements::bfloat16:
      return at::kBFloat16;
    case MemoryElements::int8:
      return at::kChar;
    case MemoryElements::float32:
      break;
  }
  return at::kFloat;
}

void append_elements(const at::Tensor& tensor, std::vector<std::byte>& bytes) {
  const at::Tensor contiguous = tensor.contiguous();
  const auto* const begin = static_cast<const std::byte*>(contiguous.const_data_ptr());
  bytes.insert(bytes.end(), begin, begin + contiguous.nbytes());
}

std::string_view memory_elements_name(MemoryElements elements) {
  switch (elements) {
    case MemoryElements::float32:
      return "float32";
    case MemoryElements::bfloat16:
      return "bfloat16";
    case MemoryElements::int8:
      return "int8";
  }
  return "";
}

MemoryElements parse_memory_elements(std::string_view name) {
  for (const MemoryElements elements : {MemoryElements::float32, MemoryElements::bfloat16, MemoryElements::int8}) {
    if (name == memory_elements_name(elements)) return elements;
  }
  fail("elements \"{}\": expected float32, bfloat16 or int8", name);
}

std::int64_t MemoryFormat::chunk_bytes() const {
  const std::int64_t scale_bytes =
      elements == MemoryElements::int8 ? num_vectors * num_heads * static_cast<std::int64_t>(sizeof(float)) : 0;
  return 2 * (chunk_elements() * element_bytes(elements) + scale_bytes);
}

Json to_json(const MemoryFormat& format) {
  return {{"version", format_version},
          {"model_fingerprint", format.model_fingerprint},
          {"tokenizer_fingerprint", format.tokenizer_fingerprint},
          {"chunk_size", format.chunk_size},
          {"num_vectors", format.num_vectors},
          {"num_heads", format.num_heads},
          {"head_dim", format.head_dim},
          {"hidden_size", format.hidden_size},
          {"elements", memory_elements_name(format.elements)},
          {"pad_id", format.pad_id}};
}

MemoryFormat parse_memory_format(const Json& value, const std::string& source) {
  const auto version = json_field<int>(value, "version", source);
  require(version == format_version, "{}: its format has version {}, this program knows {}: {}", source, version,
          format_version, version > format_version ? "use a newer lookback" : "build the memory again");
  MemoryFormat format;
  format.model_fingerprint = json_field<std::string>(value, "model_fingerprint", source);
  format.tokenizer_fingerprint = json_field<std::string>(value, "tokenizer_fingerprint", source);
  format.chunk_size = json_field<std::int64_t>(value, "chunk_size", source);
  // Files from before chunks could be compressed do not say.
  format.num_vectors = json_field_or(value, "num_vectors", format.chunk_size, source);
  format.num_heads = json_field<std::int64_t>(value, "num_heads", source);
  format.head_dim = json_field<std::int64_t>(value, "head_dim", source);
  format.hidden_size = json_field<std::int64_t>(value, "hidden_size", source);
  format.elements = parse_memory_elements(json_field<std::string>(value, "elements", source));
  format.pad_id = json_field<std::int64_t>(value, "pad_id", source);
  constexpr std::int64_t largest = 1 << 20;  // so that no product of sizes overflows
  for (const std::int64_t size :
       {format.chunk_size, format.num_vectors, format.num_heads, format.head_dim, format.hidden_size}) {
    require(size >= 1 && size <= largest, "{}: a size of {} is out of range: the file is damaged", source, size);
  }
  constexpr std::int64_t most_elements = std::int64_t{1} << 36;
  require(format.chunk_elements() <= most_elements, "{}: chunks of {} numbers are out of range: the file is damaged",
          source, format.chunk_elements());
  return format;
}

std::vector<std::byte> encode_chunk(const at::Tensor& key, const at::Tensor& value, MemoryElements elements) {
  std::vector<std::byte> bytes;
  if (elements != MemoryElements::int8) {
    append_elements(key.to(at::kCPU, scalar_type(elements)), bytes);
    append_elements(value.to(at::kCPU, scalar_type(elements)), bytes);
    return bytes;
  }
  std::vector<at::Tensor> scales;
  for (const at::Tensor& rows : {key, value}) {
    const at::Tensor floats = rows.to(at::kCPU, at::kFloat);
    const at::Tensor scale = floats.abs().amax(-1) / 127;
    // A row of zeros has the scale 0, and any elements stand for it.
    const at::Tensor divisor = at::where(scale > 0, scale, at::ones_like(scale));
    append_elements((floats / divisor.unsqueeze(-1)).round().clamp(-127, 127).to(at::kChar), bytes);
    scales.push_back(scale);
  }
  for (const at::Tensor& scale : scales) append_elements(scale, bytes);
  return bytes;
}

StoredChunk parse_chunk(std::span<const std::byte> bytes, const MemoryFormat& format) {
  const std::int64_t sizes[] = {format.num_vectors, format.num_heads, format.head_dim};
  const at::ScalarType type = scalar_type(format.elements);
  StoredChunk chunk;
  chunk.key = take_elements(bytes, sizes, type);
  chunk.value = take_elements(bytes, sizes, type);
  if (format.elements == MemoryElements::int8) {
    const std::int64_t scale_sizes[] = {format.num_vectors, format.num_heads};
    chunk.key_scales = take_elements(bytes, scale_sizes, at::kFloat);
    chunk.value_scales = take_elements(bytes, scale_sizes, at::kFloat);
  }
  return chunk;
}

}  // namespace lookback
