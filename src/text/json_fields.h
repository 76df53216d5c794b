// Reading the components of a tokenizer.json, each an object with a type: what is not known is refused by name.
#pragma once

#include <initializer_list>
#include <string>
#include <vector>

#include "core/json.h"
#include "text/regex.h"

namespace lookback {

// The type of a component. Throws Error naming `source` ("FILE: normalizer") where it is no object with one.
std::string component_type(const LookupJson& value, const std::string& source);

// Throws Error naming a field of the component that is none of `known`.
void check_fields(const LookupJson& value, std::initializer_list<const char*> known, const std::string& source);

// The components of a Sequence, in `list` ("normalizers"), with Sequences inside it taken apart. A component that is no
// Sequence is a list of one; null is none.
std::vector<LookupJson> flattened_components(const LookupJson& value, const std::string& list,
                                             const std::string& source);

// The field "pattern", {"String": ...} or {"Regex": ...}.
Regex pattern_field(const LookupJson& value, const std::string& source);

// The field as text of one character. Throws Error otherwise.
std::string character_field(const LookupJson& value, const std::string& key, const std::string& source);

}  // namespace lookback
