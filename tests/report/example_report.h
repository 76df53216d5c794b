// A report with made-up results, for tests and for looking at the page without training.
#pragma once

#include "report/demo_report.h"

namespace lookback {

DemoReport example_report();

}  // namespace lookback
