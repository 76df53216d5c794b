// How many threads can compute at the same time.
#pragma once

#include <filesystem>

namespace lookback {

// The cores that this process may use: those that it is bound to (taskset, cpusets), and no more than its control group
// pays for (`docker run --cpus`), rounded up. At least one. Every default number of threads comes from here.
int available_cores();

// The cores that control groups pay for; infinity without a limit. `membership` is /proc/self/cgroup, `mount` where the
// groups' files are, /sys/fs/cgroup; version 1 and 2. A group's limit holds for those within, so the smallest on the
// way up counts. What cannot be read limits nothing.
double control_group_cores(const std::filesystem::path& membership, const std::filesystem::path& mount);

}  // namespace lookback
