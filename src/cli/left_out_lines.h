// The first of the documents that a command leaves out, each in a line on standard error.
#pragma once

#include <string>

#include "core/progress.h"

namespace lookback {

class LeftOutLines {
 public:
  // `rest`: what is to be said of those that are not shown. The live line is ended before each line.
  LeftOutLines(ProgressLine& line, std::string rest);

  // reason: "file:line: ...".
  void show(const std::string& reason);

 private:
  ProgressLine& line_;
  std::string rest_;
  int num_shown_ = 0;
};

}  // namespace lookback
