#include "nn/safetensors.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <set>

#include "core/error.h"
#include "core/files.h"
#include "core/json.h"

namespace lookback {
namespace {

static_assert(std::endian::native == std::endian::little, "the format is little-endian");

struct ElementType {
  const char* name;
  at::ScalarType type;
};
constexpr std::array<ElementType, 10> element_types = {{{"F64", at::kDouble},
                                                        {"F32", at::kFloat},
                                                        {"F16", at::kHalf},
                                                        {"BF16", at::kBFloat16},
                                                        {"I64", at::kLong},
                                                        {"I32", at::kInt},
                                                        {"I16", at::kShort},
                                                        {"I8", at::kChar},
                                                        {"U8", at::kByte},
                                                        {"BOOL", at::kBool}}};

// The reference implementation refuses longer headers, too.
constexpr std::uint64_t max_header_bytes = 100'000'000;
constexpr std::size_t length_bytes = 8;

struct Entry {
  std::string name;
  at::ScalarType type = at::kFloat;
  std::vector<std::int64_t> shape;
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
};

Entry parse_entry(const std::string& name, const Json& value, const std::string& source) {
  const std::string where = source + ": tensor \"" + name + "\"";
  Entry entry;
  entry.name = name;
  const auto type_name = json_field<std::string>(value, "dtype", where);
  const auto* const type = std::find_if(element_types.begin(), element_types.end(),
                                        [&](const ElementType& known) { return type_name == known.name; });
  if (type == element_types.end()) fail("{}: element type {} is not supported", where, type_name);
  entry.type = type->type;
  entry.shape = json_field<std::vector<std::int64_t>>(value, "shape", where);
  const auto offsets = json_field<std::vector<std::uint64_t>>(value, "data_offsets", where);
  require(offsets.size() == 2 && offsets[0] <= offsets[1], "{}: data_offsets must be [begin, end]", where);
  entry.begin = offsets[0];
  entry.end = offsets[1];
  std::uint64_t bytes = c10::elementSize(entry.type);
  for (const std::int64_t size : entry.shape) {
    require(size >= 0, "{}: negative size in its shape", where);
    require(!__builtin_mul_overflow(bytes, static_cast<std::uint64_t>(size), &bytes), "{}: its shape is too large",
            where);
  }
  require(entry.end - entry.begin == bytes, "{}: {} bytes stored, its shape needs {}", where, entry.end - entry.begin,
          bytes);
  return entry;
}

std::vector<Entry> parse_header(const std::string& text, const std::string& source, std::uint64_t data_bytes) {
  std::set<std::string> names;
  // The JSON library keeps the last of two equal keys; the format forbids them.
  const auto on_key = [&](int depth, nlohmann::json::parse_event_t event, Json& parsed) {
    if (depth == 1 && event == Json::parse_event_t::key && !names.insert(parsed.get<std::string>()).second) {
      fail("{}: tensor \"{}\" is there twice", source, parsed.get<std::string>());
    }
    return true;
  };
  Json header;
  try {
    header = Json::parse(text, on_key);
  } catch (const nlohmann::json::exception&) {
    fail("{}: its header is not valid JSON; the file is damaged", source);
  }
  require(header.is_object(), "{}: its header is not a JSON object", source);
  std::vector<Entry> entries;
  for (const auto& [name, value] : header.items()) {
    if (name != "__metadata__") entries.push_back(parse_entry(name, value, source));
  }
  std::stable_sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  std::uint64_t position = 0;
  for (const Entry& entry : entries) {
    require(entry.begin == position, "{}: tensor \"{}\" begins at byte {} of the data, expected {}", source, entry.name,
            entry.begin, position);
    position = entry.end;
  }
  require(position == data_bytes, "{}: holds {} bytes of data, its header describes {} (truncated or damaged?)", source,
          data_bytes, position);
  return entries;
}

}  // namespace

NamedTensors read_safetensors(const std::filesystem::path& path) {
  const std::string source = path.string();
  const MappedFile file(path);
  const auto bytes = file.bytes();
  require(bytes.size() >= length_bytes, "{}: {} bytes are too few for a safetensors file", source, bytes.size());
  std::uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, bytes.data(), length_bytes);
  require(header_bytes <= max_header_bytes && header_bytes <= bytes.size() - length_bytes,
          "{}: not a safetensors file, or truncated: its header would be {} bytes long, the file has {}", source,
          header_bytes, bytes.size());
  const std::string text(reinterpret_cast<const char*>(bytes.data()) + length_bytes, header_bytes);
  const auto data = bytes.subspan(length_bytes + header_bytes);
  NamedTensors tensors;
  for (const Entry& entry : parse_header(text, source, data.size())) {
    at::Tensor tensor = at::empty(entry.shape, entry.type);
    if (entry.end > entry.begin) std::memcpy(tensor.data_ptr(), data.data() + entry.begin, entry.end - entry.begin);
    tensors.emplace_back(entry.name, std::move(tensor));
  }
  return tensors;
}

void write_safetensors(const std::filesystem::path& path, const NamedTensors& tensors) {
  Json header = Json::object();
  // What Python's readers expect of files with PyTorch tensors.
  header["__metadata__"] = {{"format", "pt"}};
  std::uint64_t position = 0;
  for (const auto& [name, tensor] : tensors) {
    const at::ScalarType found = tensor.scalar_type();
    const auto* const type = std::find_if(element_types.begin(), element_types.end(),
                                          [found](const ElementType& known) { return known.type == found; });
    require(type != element_types.end(), "tensor {}: elements of type {} cannot be stored in safetensors", name,
            c10::toString(found));
    require(!header.contains(name), "tensor {}: there are two of that name", name);
    header[name] = {{"dtype", type->name},
                    {"shape", tensor.sizes().vec()},
                    {"data_offsets", {position, position + tensor.nbytes()}}};
    position += tensor.nbytes();
  }
  std::string text = header.dump();
  text.resize((text.size() + length_bytes - 1) / length_bytes * length_bytes, ' ');  // aligns the data
  const std::uint64_t header_bytes = text.size();
  OutputFile file(path);
  file.write({reinterpret_cast<const char*>(&header_bytes), sizeof header_bytes});
  file.write(text);
  for (const auto& [name, tensor] : tensors) {
    const at::Tensor plain = tensor.detach().cpu().contiguous();
    file.write({static_cast<const char*>(plain.const_data_ptr()), plain.nbytes()});
  }
}

}  // namespace lookback
