#include "core/available_cores.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>

namespace lookback {
namespace {

namespace fs = std::filesystem;

fs::path empty_folder() {
  const fs::path folder = fs::path(testing::TempDir()) / testing::UnitTest::GetInstance()->current_test_info()->name();
  fs::remove_all(folder);
  fs::create_directories(folder);
  return folder;
}

void write(const fs::path& path, const std::string& content) {
  fs::create_directories(path.parent_path());
  std::ofstream(path) << content;
}

TEST(AvailableCores, AreThoseThatTheProcessIsBoundTo) {
  int cores = 0;
  // A thread of its own, whose binding nobody inherits.
  std::thread([&] {
    cpu_set_t all;
    ASSERT_EQ(sched_getaffinity(0, sizeof(all), &all), 0);
    cpu_set_t one;
    CPU_ZERO(&one);
    for (int core = 0; CPU_COUNT(&one) == 0; ++core) {
      if (CPU_ISSET(core, &all)) CPU_SET(core, &one);
    }
    ASSERT_EQ(sched_setaffinity(0, sizeof(one), &one), 0);
    cores = available_cores();
  }).join();
  EXPECT_EQ(cores, 1);
}

TEST(AvailableCores, AreThoseThatControlGroupsPayFor) {
  const fs::path folder = empty_folder();
  const fs::path membership = folder / "cgroup";
  const fs::path mount = folder / "mount";
  const auto cores = [&] { return control_group_cores(membership, mount); };
  EXPECT_TRUE(std::isinf(cores())) << "no file";

  write(membership, "0::/service/worker\n");
  EXPECT_TRUE(std::isinf(cores())) << "no limits";
  write(mount / "service/worker/cpu.max", "max 100000\n");
  EXPECT_TRUE(std::isinf(cores()));
  write(mount / "service/cpu.max", "150000 100000\n");
  EXPECT_EQ(cores(), 1.5) << "of the group around it";
  write(mount / "service/worker/cpu.max", "50000 100000\n");
  EXPECT_EQ(cores(), 0.5);
  write(mount / "cpu.max", "20000 100000\n");
  EXPECT_EQ(cores(), 0.2) << "of a container, which sees its own group as the root";
  write(mount / "cpu.max", "nonsense\n");
  EXPECT_EQ(cores(), 0.5);
}

TEST(AvailableCores, KnowVersionOneOfControlGroups) {
  const fs::path folder = empty_folder();
  const fs::path membership = folder / "cgroup";
  write(membership, "no colon\n3:memory:/box\n2:cpu,cpuacct:/box\n");
  const auto cores = [&] { return control_group_cores(membership, folder); };
  write(folder / "cpu/box/cpu.cfs_quota_us", "-1\n");
  write(folder / "cpu/box/cpu.cfs_period_us", "100000\n");
  EXPECT_TRUE(std::isinf(cores()));
  write(folder / "cpu/box/cpu.cfs_quota_us", "300000\n");
  EXPECT_EQ(cores(), 3);
}

}  // namespace
}  // namespace lookback
