// The model that targets load things into.
#pragma once

#include <memory>

#include "models/model.h"

namespace lookback {

// A DRT over bytes of a few thousand parameters, S = 8; always the same.
std::unique_ptr<Model> make_fuzz_model();

}  // namespace lookback
