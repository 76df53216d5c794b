#include "data/prepare.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <optional>
#include <span>
#include <utility>

#include "core/available_cores.h"
#include "core/counted.h"
#include "core/error.h"
#include "core/files.h"
#include "core/stored_text.h"
#include "data/block_tokenizer.h"
#include "data/input_files.h"
#include "data/out_folder.h"
#include "data/prepare_journal.h"
#include "data/tokenize_pipeline.h"

namespace lookback {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t train_dataset = 0;
constexpr std::int64_t valid_dataset = 1;

// The writing half: takes the blocks in order, keeps the journal.
class Preparation {
 public:
  Preparation(const PrepareConfig& config, const Tokenizer& tokenizer, const PrepareListener& listener,
              const InputFiles& inputs, PrepareJournal journal)
      : config_(config),
        tokenizer_(tokenizer),
        listener_(listener),
        inputs_(inputs),
        journal_(std::move(journal)),
        element_bytes_(element_bytes_for(tokenizer.vocab_size())),
        skipped_log_(config.out / skipped_log_name, journal_.skipped_log_bytes) {
    append_id(tokenizer.end_of_text_id(), element_bytes_, end_of_text_);
    const auto folders = dataset_folders(config);
    for (std::size_t i = 0; i < folders.size(); ++i) {
      writers_.push_back(std::make_unique<DatasetWriter>(folders[i], element_bytes_, config.tokens_per_shard,
                                                         journal_.datasets.at(i)));
    }
    for (const InputFile& file : inputs.files) progress_.disk_bytes_total += file.size_bytes;
  }

  // False: stopped on request, to go on later.
  bool run() {
    const int num_threads = config_.num_threads > 0 ? config_.num_threads : available_cores();
    TokenizePipeline pipeline(inputs_.files, journal_.position, tokenizer_, config_.field, num_threads);
    std::int64_t bytes_since_journal = 0;
    bool first = true;
    while (const auto block = pipeline.next(listener_.stop)) {
      if (std::exchange(first, false)) progress_.disk_bytes_before = block->block.disk_bytes;
      add(*block);
      bytes_since_journal += block->text_bytes;
      report(*block);
      const bool stop = listener_.stop.stop_requested();
      if (stop || bytes_since_journal >= config_.journal_every_bytes) {
        commit();
        bytes_since_journal = 0;
      }
      if (stop) return false;
    }
    commit();
    return !listener_.stop.stop_requested() ||
           journal_.position.input == static_cast<std::int64_t>(inputs_.files.size());
  }

  void finish() {
    std::int64_t num_documents = 0;
    for (const auto& writer : writers_) num_documents += writer->counts().num_documents;
    require(num_documents > 0, "no documents: no text in {} ({} broken or empty{})",
            counted(inputs_.files.size(), "input file"), counted(num_skipped(), "document"),
            num_skipped() > 0 ? "; see " + log_path() : "");
    if (writers_.size() == 2) balance();
    for (const auto& writer : writers_) publish(*writer);
    journal_.finished = true;
    write_journal(config_.out, journal_);
  }

  std::int64_t num_skipped() const {
    std::int64_t total = 0;
    for (const SourceCounts& source : journal_.sources) total += source.num_skipped;
    return total;
  }

 private:
  std::string log_path() const { return (config_.out / skipped_log_name).string(); }
  DatasetWriter& writer(std::int64_t dataset) { return *writers_[static_cast<std::size_t>(dataset)]; }

  // By the document's content: the first piece's hash as a number in [0, 1).
  std::int64_t dataset_for(std::uint64_t content_hash) const {
    return std::ldexp(static_cast<double>(content_hash >> 11), -53) < config_.valid_fraction ? valid_dataset
                                                                                             : train_dataset;
  }

  void add(const TokenizedBlock& block) {
    const bool is_text = block.block.format == InputFormat::text;
    if (is_text && block.block.begins_document) journal_.document = {};
    for (const std::string& reason : block.block.left_out) leave_out(block.block.input, reason);
    const bool passed_over = is_text && journal_.document.skipping;
    if (!passed_over) {
      for (const DocumentProblem& problem : block.problems) skip(block.block, problem);
      if (is_text) {
        add_piece(block);
      } else {
        add_documents(block);
      }
    }
    journal_.position = block.block.next;
    if (rolled_back_) roll_back();
  }

  void add_documents(const TokenizedBlock& block) {
    std::span<const std::byte> tokens = block.tokens;
    for (const TokenizedDocument& document : block.documents) {
      const auto size = static_cast<std::size_t>(document.num_tokens * element_bytes_);
      DatasetWriter& target = writer(dataset_for(document.content_hash));
      const std::int64_t begin = target.counts().num_tokens;
      target.append(tokens.first(size));
      tokens = tokens.subspan(size);
      close_document(target, begin, document.text_bytes, block.block);
    }
  }

  void add_piece(const TokenizedBlock& block) {
    OpenDocument& document = journal_.document;
    if (!block.problems.empty()) {
      rolled_back_ = document.open;
      document.open = false;
      document.skipping = true;
      return;
    }
    const TokenizedDocument& piece = block.documents.at(0);
    if (!document.open) {
      document.open = true;
      document.dataset = dataset_for(piece.content_hash);
      document.begin = writer(document.dataset).counts().num_tokens;
    }
    DatasetWriter& target = writer(document.dataset);
    target.append(block.tokens);
    document.text_bytes += piece.text_bytes;
    if (!block.block.ends_document) return;
    close_document(target, document.begin, document.text_bytes, block.block);
    document = {};
  }

  void close_document(DatasetWriter& target, std::int64_t begin, std::int64_t text_bytes, const TextBlock& block) {
    const std::int64_t end = target.counts().num_tokens;
    target.append(end_of_text_);
    target.add_document({begin, end, text_bytes});
    ++journal_.sources[static_cast<std::size_t>(block.input)].num_documents;
  }

  void skip(const TextBlock& block, const DocumentProblem& problem) {
    const auto input = static_cast<std::size_t>(block.input);
    leave_out(block.input, fmt::format("{}:{}: {}", inputs_.files[input].path.string(), problem.line, problem.message));
  }

  void leave_out(std::int64_t input, const std::string& text) {
    require(!config_.strict, "{} (strict)", text);
    ++journal_.sources[static_cast<std::size_t>(input)].num_skipped;
    const std::string line = text + "\n";
    skipped_log_.append(std::as_bytes(std::span(line.data(), line.size())));
    if (listener_.skipped) listener_.skipped(text);
  }

  // Takes the pieces of a document back that broke later. The journal goes first: it must never promise more
  // than the files hold.
  void roll_back() {
    rolled_back_ = false;
    DatasetWriter& target = writer(journal_.document.dataset);
    DatasetCounts counts = target.counts();
    counts.num_tokens = journal_.document.begin;
    commit_as(journal_.document.dataset, counts);
    target.truncate(counts);
  }

  void commit() {
    skipped_log_.sync();
    journal_.skipped_log_bytes = skipped_log_.size_bytes();
    for (std::size_t i = 0; i < writers_.size(); ++i) {
      writers_[i]->sync();
      journal_.datasets[i] = writers_[i]->counts();
    }
    write_journal(config_.out, journal_);
  }

  // commit(), with smaller counts for one dataset that is about to be cut.
  void commit_as(std::int64_t dataset, const DatasetCounts& counts) {
    skipped_log_.sync();
    journal_.skipped_log_bytes = skipped_log_.size_bytes();
    for (std::size_t i = 0; i < writers_.size(); ++i) {
      writers_[i]->sync();
      journal_.datasets[i] = static_cast<std::int64_t>(i) == dataset ? counts : writers_[i]->counts();
    }
    write_journal(config_.out, journal_);
  }

  // Both datasets get a document when there are two: the one without takes the other's last.
  void balance() {
    const std::int64_t empty = writer(valid_dataset).counts().num_documents == 0 ? valid_dataset : train_dataset;
    if (writer(empty).counts().num_documents > 0) return;
    DatasetWriter& giver = writer(1 - empty);
    require(giver.counts().num_documents >= 2,
            "valid-fraction {}: there is only one document, and training and "
            "validation need one each; leave none for validation, or split the text into several files",
            config_.valid_fraction);
    DatasetWriter& taker = writer(empty);
    const DocumentRange last = giver.last_document();
    taker.append_from(giver, last.begin, last.end + 1);
    taker.add_document({0, last.end - last.begin, last.text_bytes});
    const DatasetCounts counts{last.begin, giver.counts().num_documents - 1,
                               giver.counts().text_bytes - last.text_bytes};
    commit_as(1 - empty, counts);
    giver.truncate(counts);
  }

  void publish(const DatasetWriter& writer) {
    DatasetManifest manifest;
    for (std::size_t i = 0; i < inputs_.files.size(); ++i) {
      const SourceCounts& counts = journal_.sources[i];
      manifest.sources.push_back(
          {inputs_.files[i].path.string(), inputs_.files[i].size_bytes, counts.num_documents, counts.num_skipped});
    }
    publish_dataset(writer, tokenizer_, std::move(manifest));
  }

  void report(const TokenizedBlock& block) {
    progress_.disk_bytes = block.block.disk_bytes;
    progress_.text_bytes += block.text_bytes;
    progress_.num_tokens = 0;
    progress_.num_documents = 0;
    for (const auto& writer : writers_) {
      progress_.num_tokens += writer->counts().num_tokens;
      progress_.num_documents += writer->counts().num_documents;
    }
    if (listener_.progress) listener_.progress(progress_);
  }

  const PrepareConfig& config_;
  const Tokenizer& tokenizer_;
  const PrepareListener& listener_;
  const InputFiles& inputs_;
  PrepareJournal journal_;
  std::int64_t element_bytes_;
  GrowingFile skipped_log_;
  std::vector<std::byte> end_of_text_;
  std::vector<std::unique_ptr<DatasetWriter>> writers_;
  PrepareProgress progress_;
  bool rolled_back_ = false;
};

void check_config(const PrepareConfig& config, const InputFiles& inputs) {
  require(config.valid_fraction >= 0.0 && config.valid_fraction < 1.0,
          "valid-fraction {}: expected 0 or more, "
          "below 1",
          config.valid_fraction);
  require(config.num_threads >= 0 && config.num_threads <= 1024, "threads {}: expected 1 to 1024", config.num_threads);
  require(config.tokens_per_shard >= 1 && config.journal_every_bytes >= 1, "shard and journal sizes start at 1");
  require(config.valid_fraction == 0.0 || inputs.files.size() > 1 || inputs.files[0].format == InputFormat::jsonl,
          "valid-fraction {}: {} is a single document, and training and validation need one each; leave "
          "none for validation, or split the text into several files",
          config.valid_fraction, inputs.files[0].path.string());
}

}  // namespace

std::vector<fs::path> dataset_folders(const PrepareConfig& config) {
  if (config.valid_fraction == 0.0) return {config.out};
  return {config.out / train_folder_name, config.out / valid_folder_name};
}

Json prepare_identity(const PrepareConfig& config, const InputFiles& inputs, const Tokenizer& tokenizer) {
  Json identity = {{"tokenizer_fingerprint", tokenizer.fingerprint()},
                   {"field", stored_text(config.field)},
                   {"valid_fraction", config.valid_fraction},
                   {"tokens_per_shard", config.tokens_per_shard}};
  if (config.rules.group_by_folder) identity["group_by_folder"] = true;
  identity["inputs"] = inputs_identity(inputs.files);
  return identity;
}

PrepareResult prepare(const PrepareConfig& config, const Tokenizer& tokenizer, const PrepareListener& listener) {
  const InputFiles inputs = find_input_files(config.inputs, config.rules);
  check_config(config, inputs);
  const OutFolder folder(config.out);
  PrepareResult result;
  result.num_inputs = static_cast<std::int64_t>(inputs.files.size());
  result.num_unknown_files = inputs.num_unknown;
  result.num_not_read = static_cast<std::int64_t>(inputs.not_read.size());
  for (const std::string& reason : inputs.not_read) {
    require(!config.strict, "{} (strict)", reason);
    if (listener.skipped) listener.skipped(reason);
  }
  if (config.force) folder.clear();
  PrepareJournal journal = open_journal(folder, prepare_identity(config, inputs, tokenizer),
                                        dataset_folders(config).size(), inputs.files.size());
  result.already_done = journal.finished;
  for (const SourceCounts& source : journal.sources) result.num_skipped += source.num_skipped;
  require(!config.strict || result.num_skipped == 0,
          "strict: an earlier run that was not left {} out of {} ({} names them); start again (force)",
          counted(result.num_skipped, "document"), config.out.string(), (config.out / skipped_log_name).string());
  if (!journal.finished) {
    Preparation preparation(config, tokenizer, listener, inputs, std::move(journal));
    result.interrupted = !preparation.run();
    result.num_skipped = preparation.num_skipped();
    if (result.interrupted) return result;
    preparation.finish();
  }
  for (const fs::path& path : dataset_folders(config)) {
    const DatasetManifest manifest = read_manifest(path);
    result.datasets.push_back({path, {manifest.num_tokens, manifest.num_documents, manifest.text_bytes}});
  }
  return result;
}

}  // namespace lookback
