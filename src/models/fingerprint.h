// What tells one model from another.
#pragma once

#include <string>

#include "models/model.h"

namespace lookback {

// Hash of configuration and weights as 16 hex digits. Of a model as it was loaded: weights that were rounded to
// bfloat16 give another.
std::string model_fingerprint(const Model& model);

}  // namespace lookback
