// Keys of one section of a configuration, into the members that they set.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/json.h"

namespace lookback {

// Calls of it read keys of one section into values; a value of another type is an Error that names it.
struct KeyReader {
  const Json& section;
  const std::string& source;

  void operator()(const char* key, std::int64_t& target) const {
    read(key, target, "a whole number", &Json::is_number_integer);
  }
  void operator()(const char* key, double& target) const { read(key, target, "a number", &Json::is_number); }
  void operator()(const char* key, bool& target) const { read(key, target, "true or false", &Json::is_boolean); }
  void operator()(const char* key, std::string& target) const {
    read(key, target, "a text in quotes", &Json::is_string);
  }
  void operator()(const char* key, std::vector<std::string>& target) const {
    read_list(key, target, "a list of texts in quotes", &Json::is_string);
  }
  void operator()(const char* key, std::vector<std::int64_t>& target) const {
    read_list(key, target, "a list of whole numbers", &Json::is_number_integer);
  }
  void operator()(const char* key, std::uint64_t& target) const {
    std::int64_t value = static_cast<std::int64_t>(target);
    (*this)(key, value);
    require(value >= 0, "{}: {} must not be negative, found {}", source, key, value);
    target = static_cast<std::uint64_t>(value);
  }

  template <typename T>
  void read(const char* key, T& target, const char* wanted, bool (Json::*is_wanted)() const noexcept) const {
    const auto found = section.find(key);
    if (found == section.end()) return;
    require(((*found).*is_wanted)(), "{}: {}: expected {}, found {}", source, key, wanted, found->dump());
    target = found->get<T>();
  }

  template <typename T>
  void read_list(const char* key, std::vector<T>& target, const char* wanted,
                 bool (Json::*is_wanted)() const noexcept) const {
    const auto found = section.find(key);
    if (found == section.end()) return;
    require(found->is_array() && std::ranges::all_of(*found, [&](const Json& item) { return (item.*is_wanted)(); }),
            "{}: {}: expected {}, found {}", source, key, wanted, found->dump());
    target = found->get<std::vector<T>>();
  }
};

}  // namespace lookback
