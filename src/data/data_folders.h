// The parts of a folder of prepared text.
#pragma once

#include <string>

namespace lookback {

// DIR, or DIR/train when that is where `lookback prepare --valid-fraction` put the training part; the second is
// then DIR/valid, else empty. Throws Error when there is no such folder.
struct DataFolders {
  std::string train, valid;
};
DataFolders find_data_folders(const std::string& folder);

}  // namespace lookback
