// Figures as people read them in tables and reports.
#pragma once

#include <cstdint>
#include <string>

namespace lookback {

// 507904 -> "507,904".
std::string group_digits(std::int64_t value);

// 4096 -> "4K" (of 1024), 1000 -> "1,000".
std::string size_text(std::int64_t size);

// 0.985 -> "98.5%", 1 -> "100%".
std::string percent_text(double fraction);

}  // namespace lookback
