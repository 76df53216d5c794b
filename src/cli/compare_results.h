// A comparison's results as the report's values.
#pragma once

#include <vector>

#include "eval/compare_plan.h"
#include "eval/compare_run.h"
#include "report/compare_report.h"

namespace lookback {

// Throws Error naming the step whose results lack a figure.
CompareReport make_compare_report(const ComparePlan& plan, const std::vector<CompareResult>& results);

}  // namespace lookback
