#include "models/weight_parts.h"

#include <map>
#include <set>
#include <string>
#include <utility>

#include "core/error.h"
#include "core/json.h"

namespace lookback {
namespace {

namespace fs = std::filesystem;

// Each tensor's part, by the tensor's name.
std::map<std::string, std::string> read_index(const fs::path& path) {
  const std::string source = path.string();
  const auto map = json_field<Json>(read_json_file(path), "weight_map", source);
  require(map.is_object() && !map.empty(), "{}: weight_map: expected tensors' names and their files", source);
  std::map<std::string, std::string> part_of;
  for (const auto& [tensor, part] : map.items()) {
    require(part.is_string(), "{}: tensor \"{}\": expected the name of a file, found {}", source, tensor,
            dump_line(part).substr(0, 40));
    const auto name = part.get<std::string>();
    const bool stays_here = fs::path(name).filename() == name && name != "." && name != ".." && !name.empty();
    require(stays_here, "{}: tensor \"{}\": its file \"{}\" is no name of a file in the same folder", source, tensor,
            name);
    part_of[tensor] = name;
  }
  return part_of;
}

}  // namespace

NamedTensors read_weight_parts(const fs::path& index, const std::function<NamedTensors(const fs::path&)>& read_part) {
  const std::map<std::string, std::string> part_of = read_index(index);
  // Looked for before any is read: parts are gigabytes.
  std::set<std::string> parts;
  for (const auto& [tensor, part] : part_of) {
    require(fs::is_regular_file(index.parent_path() / part), "{}: its part {} is not there", index.string(), part);
    parts.insert(part);
  }
  NamedTensors all;
  std::map<std::string, std::string> found_in;
  for (const std::string& part : parts) {
    for (auto& [name, tensor] : read_part(index.parent_path() / part)) {
      const auto [earlier, is_new] = found_in.emplace(name, part);
      require(is_new, "{}: tensor \"{}\" is in two parts, {} and {}", index.string(), name, earlier->second, part);
      all.emplace_back(name, std::move(tensor));
    }
  }
  for (const auto& [tensor, part] : part_of) {
    const auto found = found_in.find(tensor);
    require(found != found_in.end() && found->second == part, "{}: tensor \"{}\" is not in {}, where it should be{}",
            index.string(), tensor, part, found == found_in.end() ? "" : ", but in " + found->second);
  }
  return all;
}

}  // namespace lookback
