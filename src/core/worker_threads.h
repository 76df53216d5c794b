// Independent pieces of work on a few threads.
#pragma once

#include <cstddef>
#include <functional>

namespace lookback {

// Calls work(i) once for each i in [0, count), in rising order, on num_threads threads (at least one);
// returns when all calls have ended. After an exception no further call begins, and the first one is thrown
// here.
void run_on_threads(int num_threads, std::size_t count, const std::function<void(std::size_t)>& work);

}  // namespace lookback
