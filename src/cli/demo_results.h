// From what a demo measured to what its report shows.
#pragma once

#include <cstdint>
#include <filesystem>

#include "cli/demo_state.h"
#include "eval/demo_plan.h"
#include "report/demo_report.h"
#include "text/tokenizer.h"

namespace lookback {

// Folders of the two runs below the demo's, also their names in demo.json.
inline constexpr const char* demo_drt = "drt";
inline constexpr const char* demo_sliding_window = "sliding-window";

// All depths of one length together. Cells that are not measured yet are left out.
DemoLength demo_length_result(const DemoState& state, const DemoPlan& plan, const DemoLengthPlan& length,
                              const char* model);

// The report of a demo of which every part is finished; also writes the example prompt that its commands
// name.
DemoReport make_demo_report(const DemoState& state, const DemoPlan& plan, const Tokenizer& tokenizer,
                            const std::filesystem::path& folder, std::uint64_t seed);

}  // namespace lookback
