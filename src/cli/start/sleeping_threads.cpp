// Threads that have nothing to do sleep, instead of spinning until there is work again: on a core that others need,
// too, the thread with the work would wait for the one that spins. OpenMP's runtime asks for that in the environment,
// once, before the first line of main(); so the program starts itself again, before its libraries have begun to.
#include <linux/limits.h>
#include <unistd.h>

#include <array>
#include <cstring>

namespace {

constexpr std::size_t most_variables = 4096;  // with more the program stays as it was started

char sleeping[] = "OMP_WAIT_POLICY=passive";

// Nothing of the C++ library is initialized here, nor are other libraries; the C library's environ is not set yet.
// Whoever says how threads wait is obeyed, this program's own second start among them.
void let_idle_threads_sleep(int /*argc*/, char** argv, char** environment) {
  static std::array<char*, most_variables + 2> variables;
  std::size_t count = 0;
  for (; environment[count] != nullptr; ++count) {
    const char* const variable = environment[count];
    if (std::strncmp(variable, "OMP_WAIT_POLICY=", 16) == 0 || std::strncmp(variable, "GOMP_SPINCOUNT=", 15) == 0) {
      return;
    }
    if (count == most_variables) return;
    variables[count] = environment[count];
  }
  variables[count] = sleeping;
  static std::array<char, PATH_MAX + 1> program;  // by its name, which `ps` shows
  if (readlink("/proc/self/exe", program.data(), PATH_MAX) > 0) execve(program.data(), argv, variables.data());
}

// Called before any library's own initialization.
[[gnu::section(".preinit_array"), gnu::used]] void (*const before_all_else)(int, char**,
                                                                            char**) = let_idle_threads_sleep;

}  // namespace
