#include "train/text_run.h"

#include <filesystem>
#include <memory>
#include <span>
#include <utility>

#include "core/error.h"
#include "data/corpus_batches.h"
#include "data/data_folders.h"
#include "data/token_dataset.h"
#include "text/tokenizer.h"
#include "train/run_config.h"
#include "train/stage_batches.h"
#include "train/validation.h"

namespace lookback {
namespace {

namespace fs = std::filesystem;

// A prepared text and its tokenizer.
struct OpenedData {
  std::shared_ptr<const TokenDataset> train;
  std::shared_ptr<const TokenDataset> valid;  // null: none
  std::unique_ptr<Tokenizer> tokenizer;
};

// before: the configuration of the run that goes on, empty for a new one. moved: it is said anew where the data lies.
OpenedData open_data(Json& merged, const Json& before, bool moved) {
  const std::string given = json_field_or<std::string>(merged["data"], "train", "", "[data]");
  require(!given.empty(), "no data to train on: give a folder of `lookback prepare`");
  require(before.empty() || fs::exists(given),
          "{}: the run's data is not there; if it has moved, give its new folder as data", given);
  DataFolders folders = find_data_folders(given);
  std::string valid = json_field_or<std::string>(merged["data"], "valid", "", "[data]");
  if (!before.empty()) {
    folders.valid.clear();  // a run that began without validation goes on without
    const auto data_before = json_field_or<std::string>(before["data"], "train", "", "[data]");
    if (moved) valid = moved_validation(valid, data_before, fs::absolute(folders.train).lexically_normal().string());
    require(valid.empty() || fs::exists(valid),
            "{}: the run's validation data is not there; if it has moved, give its new folder as valid", valid);
  }
  OpenedData data;
  data.train = std::make_shared<TokenDataset>(folders.train);
  merged["data"]["train"] = fs::absolute(folders.train).lexically_normal().string();
  const std::string valid_folder = valid.empty() ? folders.valid : find_data_folders(valid).train;
  if (!valid_folder.empty()) {
    data.valid = std::make_shared<TokenDataset>(valid_folder);
    merged["data"]["valid"] = fs::absolute(valid_folder).lexically_normal().string();
    require(data.valid->manifest().tokenizer_fingerprint == data.train->manifest().tokenizer_fingerprint,
            "{}: was prepared with another tokenizer than {}", valid_folder, folders.train);
  }
  data.tokenizer = load_tokenizer((fs::path(folders.train) / "tokenizer").string());
  return data;
}

}  // namespace

TrainResult train_on_text(const RunPlace& place, const Json& given, const std::string& source,
                          const RunListener& listener, const StopToken& stop) {
  const Json before = read_run_before(place);
  require(place.resume || !given["model"].empty(),
          "{}: a new run needs a configuration; one that is there can be resumed", place.out);
  Json merged = overlay(before, given);
  require(!merged.contains("finetune"), "{}: has a section [finetune], which is of `lookback finetune`", source);
  if (place.resume) {
    follow_stages(given, source, merged);
    keep_schedule(before, merged);
  }
  const OpenedData data =
      open_data(merged, before, given["data"].contains("train") && !given["data"].contains("valid"));
  RunConfig config = parse_run_config(merged, source, VocabularyHint{data.train->manifest().vocab_size});
  settle_data(config, data.train->manifest().tokenizer_fingerprint, data.train->num_tokens());
  check_same_course(before, config, place);

  TrainingData training{config.stages.empty() ? make_corpus_batches(data.train, config.context_length,
                                                                    config.batch_size, config.train.seed)
                                              : make_stage_batches(config, data.train, *data.tokenizer),
                        {},
                        *data.tokenizer};
  if (data.valid) {
    const TokenStream text{data.valid->num_tokens(),
                           [&](std::int64_t begin, std::span<std::int64_t> out) { data.valid->read(begin, out); }};
    training.validation = validation_batches(text, config.context_length, config.validation_windows, config.batch_size);
  }
  return run_training(place, config, std::move(training), listener, stop);
}

}  // namespace lookback
