#include "lookback/version.h"

namespace lookback {

const char* library_version() { return version; }

}  // namespace lookback
