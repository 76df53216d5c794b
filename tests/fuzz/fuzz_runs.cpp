// Configurations, checkpoints and logs of training runs.
#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <stdexcept>
#include <string>

#include "core/random.h"
#include "fuzz/fuzz_input.h"
#include "fuzz/fuzz_models.h"
#include "fuzz/fuzz_targets.h"
#include "train/checkpoint.h"
#include "train/metrics.h"
#include "train/run_config.h"
#include "train/toml.h"

namespace lookback {

// What is accepted is written and read again as the same.
void fuzz_run_config(std::string_view input) {
  static const FuzzFolder folder;
  const auto path = folder.write("run.toml", input);
  allow_errors([&path] {
    const RunConfig config = parse_run_config(read_toml_file(path), path.string(), VocabularyHint{257});
    const Json complete = to_json(config);
    const auto again = folder.write("again.toml", dump_toml(complete));
    if (to_json(parse_run_config(read_toml_file(again), again.string(), VocabularyHint{257})) != complete) {
      throw std::logic_error("a configuration that is written is read as another");
    }
  });
}

// Parts: trainer.json, optimizer.safetensors; the weights beside them are sound.
void fuzz_checkpoint(std::string_view input) {
  class NoBatches : public BatchSource {
   public:
    TokenBatch next() override { return {}; }
    Json state() const override { return Json::object(); }
    void restore(const Json&) override {}
  };
  static const FuzzFolder folder;
  static const std::unique_ptr<Model> model = make_fuzz_model();
  static NoBatches batches;
  AdamW optimizer(model->parameters(), {});
  at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(1);
  TrainProgress progress;
  const CheckpointParts checkpoint{*model, optimizer, generator, batches, progress};
  static const bool is_written = [&checkpoint] {
    write_checkpoint(checkpoint, folder.path());
    return true;
  }();
  static_cast<void>(is_written);
  const auto parts = split_parts(input, 2);
  folder.write("trainer.json", parts[0]);
  if (!parts[1].empty()) folder.write("optimizer.safetensors", parts[1]);
  allow_errors([&checkpoint] { read_checkpoint(checkpoint, folder.path()); });
}

// What is left of a log is cut to the lines before a step; then it goes on.
void fuzz_metrics(std::string_view input) {
  static const FuzzFolder folder;
  const auto path = folder.write("metrics.jsonl", input);
  allow_errors([&path] {
    MetricsLog log(path, 2);
    log.record({});
  });
}

}  // namespace lookback
