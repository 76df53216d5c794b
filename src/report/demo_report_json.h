// The demo's results for programs.
#pragma once

#include "core/json.h"
#include "report/demo_report.h"

namespace lookback {

// Everything that the page shows but its curves, which the run folders' metrics.jsonl hold.
Json demo_report_json(const DemoReport& report);

}  // namespace lookback
