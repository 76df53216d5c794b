// JSON values and files. Include this, not nlohmann/json.hpp, so that errors name the file.
#pragma once

#include <nlohmann/json.hpp>

#include <cmath>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace lookback {

// Keeps the order of keys, and so looks them up one by one: for objects of some hundred keys at most.
using Json = nlohmann::ordered_json;
// Sorted keys: for objects with very many (a vocabulary).
using LookupJson = nlohmann::json;

// A value, or what is wrong with the text that should be one: "not valid JSON (at byte 7 of the line)".
struct ParsedJson {
  Json value;
  std::string problem;  // empty: none
};
ParsedJson try_parse_json(std::string_view text);

// Parses text; `source` (a file name, "line 3 of x") opens the Error's message when it is not valid JSON.
Json parse_json(std::string_view text, const std::string& source);
LookupJson parse_lookup_json(std::string_view text, const std::string& source);

// Reads and parses a file. Throws Error naming it.
Json read_json_file(const std::filesystem::path& path);

// Writes `value` indented by two, atomically.
void write_json_file(const std::filesystem::path& path, const Json& value);

// One line of JSON for people and programs alike; text that is no valid UTF-8 is replaced by U+FFFD.
std::string dump_line(const Json& value);

// JSON has no word for infinity and "not a number": null.
Json number_or_null(double value);

// value[key] as T, of a Json or a LookupJson. Throws Error naming `source`, the key, and what is wrong (missing,
// other type).
template <typename T, typename AnyJson>
T json_field(const AnyJson& value, const std::string& key, const std::string& source);
// The same, or `otherwise` when the key is missing or null.
template <typename T, typename AnyJson>
T json_field_or(const AnyJson& value, const std::string& key, T otherwise, const std::string& source);

// Implementation of the two templates.
[[noreturn]] void fail_json_field(bool is_object, const std::string& key, const std::string& source,
                                  const std::string& reason);

// What a field of type T holds, in words.
template <typename T>
std::string json_kind() {
  if constexpr (std::is_same_v<T, Json> || std::is_same_v<T, LookupJson>) {
    return "any value";
  } else if constexpr (std::is_same_v<T, bool>) {
    return "true or false";
  } else if constexpr (std::is_integral_v<T>) {
    return "an integer";
  } else if constexpr (std::is_floating_point_v<T>) {
    return "a number";
  } else if constexpr (std::is_same_v<T, std::string>) {
    return "a string";
  } else if constexpr (requires { typename T::value_type; }) {
    return "a list, each entry " + json_kind<typename T::value_type>();
  }
}

// Why numbers in `value` do not fit the integers of T (an integer or a list of them), which the JSON library would cut
// or wrap; nullptr where they do, and for other types.
template <typename T, typename AnyJson>
const char* integer_problem(const AnyJson& value) {
  if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>) {
    constexpr double largest_exact = 0x1p53;
    const double number = value.is_number() ? value.template get<double>() : 0;
    if (value.is_number_float() && (!(std::abs(number) <= largest_exact) || number != std::floor(number)))
      return "expected an integer";
    const bool fits = value.is_number_unsigned()  ? std::in_range<T>(value.template get<std::uint64_t>())
                      : value.is_number_integer() ? std::in_range<T>(value.template get<std::int64_t>())
                                                  : std::in_range<T>(static_cast<std::int64_t>(number));
    return fits ? nullptr : "the number is too large or too small";
  } else if constexpr (requires { typename T::value_type; } && !std::is_same_v<T, AnyJson> &&
                       !std::is_same_v<T, std::string>) {
    const char* problem = nullptr;
    for (std::size_t i = 0; value.is_array() && problem == nullptr && i < value.size(); ++i) {
      problem = integer_problem<typename T::value_type>(value[i]);
    }
    return problem;
  } else {
    return nullptr;
  }
}

template <typename T, typename AnyJson>
T json_field(const AnyJson& value, const std::string& key, const std::string& source) {
  if (!value.is_object() || !value.contains(key)) fail_json_field(value.is_object(), key, source, "is missing");
  const AnyJson& field = value.at(key);
  if (const char* const problem = integer_problem<T>(field)) fail_json_field(true, key, source, problem);
  try {
    return field.template get<T>();
  } catch (const nlohmann::json::exception&) {
    const std::string found = field.is_array() ? "another list" : std::string("a value of type ") + field.type_name();
    fail_json_field(true, key, source, "expected " + json_kind<T>() + ", found " + found);
  }
}

template <typename T, typename AnyJson>
T json_field_or(const AnyJson& value, const std::string& key, T otherwise, const std::string& source) {
  if (!value.is_object() || !value.contains(key) || value.at(key).is_null()) return otherwise;
  return json_field<T>(value, key, source);
}

}  // namespace lookback
