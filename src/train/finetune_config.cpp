#include "train/finetune_config.h"

#include <cmath>

#include "core/error.h"

namespace lookback {

void check_finetune_config(const FinetuneConfig& config, const std::string& source) {
  require(!config.tasks.empty(), "{}: tasks: name at least one", source);
  if (!config.summarizes()) {
    for (const std::string& task : config.tasks) {
      require(task != "summarize", "{}: tasks: summarize cannot be mixed with others", source);
      try {
        parse_needle_kind(task);
      } catch (const Error& error) {
        fail("{}: tasks: {}", source, error.what());
      }
    }
  }
  require(!config.lengths.empty(), "{}: lengths: give at least one", source);
  require(!config.summarizes() || config.lengths.size() == 1, "{}: lengths: summarize takes one, found {}", source,
          config.lengths.size());
  for (const std::int64_t length : config.lengths) {
    require(length >= 2, "{}: lengths must be at least 2, found {}", source, length);
  }
  require(std::isfinite(config.text_weight) && config.text_weight >= 0,
          "{}: text_weight must be a number that is not negative, found {}", source, config.text_weight);
}

std::vector<NeedleTask> needle_tasks(const FinetuneConfig& config, std::int64_t chunk_size) {
  std::vector<NeedleTask> tasks;
  for (const std::string& name : config.tasks) {
    for (const std::int64_t length : config.lengths) {
      NeedleTask task;
      task.kind = parse_needle_kind(name);
      task.chunk_size = chunk_size;
      task.length = length;
      task.num_needles = config.num_needles;
      task.num_empty_chunks = config.num_empty_chunks;
      tasks.push_back(task);
    }
  }
  return tasks;
}

}  // namespace lookback
