#include "core/available_cores.h"

#include <sched.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>
#include <string>
#include <thread>

namespace lookback {
namespace {

namespace fs = std::filesystem;

constexpr double unlimited = std::numeric_limits<double>::infinity();

double quotient(double quota, double period) { return quota > 0 && period > 0 ? quota / period : unlimited; }

// Version 2: "QUOTA PERIOD" or "max PERIOD" in one file; version 1: a file each, the quota -1 without a limit.
double limit_of(const fs::path& group) {
  double quota = 0;
  double period = 0;
  std::ifstream both(group / "cpu.max");
  if (both >> quota >> period) return quotient(quota, period);
  std::ifstream quota_file(group / "cpu.cfs_quota_us");
  std::ifstream period_file(group / "cpu.cfs_period_us");
  return quota_file >> quota && period_file >> period ? quotient(quota, period) : unlimited;
}

double smallest_limit(const fs::path& mount, const fs::path& group) {
  double cores = limit_of(mount);
  fs::path within = mount;
  for (const fs::path& name : group.relative_path()) {
    within /= name;
    cores = std::min(cores, limit_of(within));
  }
  return cores;
}

// 0: not known.
int bound_cores() {
  cpu_set_t cores;
  return sched_getaffinity(0, sizeof(cores), &cores) == 0 ? CPU_COUNT(&cores) : 0;
}

}  // namespace

double control_group_cores(const fs::path& membership, const fs::path& mount) {
  double cores = unlimited;
  std::ifstream file(membership);
  for (std::string line; std::getline(file, line);) {  // NUMBER:CONTROLLERS:GROUP
    const std::size_t first = line.find(':');
    const std::size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",";
    const fs::path group = line.substr(second + 1);
    if (controllers == ",,") cores = std::min(cores, smallest_limit(mount, group));
    if (controllers.find(",cpu,") != std::string::npos) cores = std::min(cores, smallest_limit(mount / "cpu", group));
  }
  return cores;
}

int available_cores() {
  const int bound = bound_cores();
  const int cores = std::max(1, bound > 0 ? bound : static_cast<int>(std::thread::hardware_concurrency()));
  const double paid = std::ceil(control_group_cores("/proc/self/cgroup", "/sys/fs/cgroup"));
  return paid < cores ? std::max(1, static_cast<int>(paid)) : cores;
}

}  // namespace lookback
