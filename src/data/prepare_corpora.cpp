#include "data/prepare_corpora.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <set>
#include <span>
#include <utility>

#include "core/counted.h"
#include "core/error.h"
#include "core/files.h"
#include "data/block_tokenizer.h"
#include "data/mixture.h"
#include "data/out_folder.h"
#include "data/prepare_journal.h"
#include "data/token_dataset.h"

namespace lookback {
namespace {

namespace fs = std::filesystem;

void check_config(const CorporaConfig& config) {
  require(!config.corpora.empty(), "no corpora to mix");
  require(config.mixed_tokens >= 0, "{} tokens for the mixture: expected 1 or more", config.mixed_tokens);
  std::set<std::string> names;
  for (const Corpus& corpus : config.corpora) {
    const bool is_name = std::ranges::all_of(
        corpus.name, [](unsigned char c) { return std::isalnum(c) != 0 || c == '-' || c == '_' || c == '.'; });
    require(is_name && !corpus.name.empty() && std::isalnum(static_cast<unsigned char>(corpus.name[0])) != 0,
            "corpus \"{}\": expected a name of letters, digits, '-', '_' and '.', a letter or digit first",
            corpus.name);
    require(names.insert(corpus.name).second, "corpus {}: is named twice", corpus.name);
    require(!corpus.inputs.empty(), "corpus {}: has no inputs", corpus.name);
    require(corpus.weight.has_value() == config.corpora.front().weight.has_value(),
            "corpus {}: has {} weight, and corpus {} has {}; give one to all or to none", corpus.name,
            corpus.weight ? "a" : "no", config.corpora.front().name, corpus.weight ? "none" : "one");
    require(!corpus.weight || (std::isfinite(*corpus.weight) && *corpus.weight > 0.0),
            "corpus {}: weight {}: expected a number above 0; leave out the corpus to give it none", corpus.name,
            corpus.weight.value_or(0));
  }
}

class CorporaPreparation {
 public:
  CorporaPreparation(const CorporaConfig& config, const Tokenizer& tokenizer, const PrepareListener& listener)
      : config_(config), tokenizer_(tokenizer), listener_(listener) {
    for (const Corpus& corpus : config.corpora) {
      inputs_.push_back(find_input_files(corpus.inputs, config.prepare.rules));
      const std::vector<InputFile>& files = inputs_.back().files;
      all_inputs_.files.insert(all_inputs_.files.end(), files.begin(), files.end());
      for (const InputFile& file : files) progress_.disk_bytes_total += file.size_bytes;
    }
  }

  PrepareResult run() {
    const fs::path& out = config_.prepare.out;
    const OutFolder folder(out);
    if (config_.prepare.force) folder.clear();
    PrepareJournal journal = open_journal(folder, identity(), dataset_folders(config_.prepare).size(), 0);
    result_.already_done = journal.finished;
    if (!journal.finished && (!prepare_each() || !mix())) {
      result_.interrupted = true;
      return result_;
    }
    for (std::size_t i = 0; const fs::path& path : dataset_folders(config_.prepare)) {
      const DatasetManifest manifest = read_manifest(path);
      const DatasetCounts counts{manifest.num_tokens, manifest.num_documents, manifest.text_bytes};
      result_.datasets.push_back({path, counts});
      journal.datasets[i++] = counts;
      if (!manifest.mixture.corpora.empty()) result_.mixture = manifest.mixture;
      if (path == dataset_folders(config_.prepare).front()) count_sources(manifest);
    }
    require(!config_.prepare.strict || result_.num_skipped == 0,
            "strict: an earlier run that was not left {} out of {}; start again (force)",
            counted(result_.num_skipped, "document"), out.string());
    journal.finished = true;
    if (!result_.already_done) write_journal(out, journal);
    folder.clear_corpora();
    return result_;
  }

 private:
  fs::path corpus_folder(const Corpus& corpus) const { return config_.prepare.out / corpora_folder_name / corpus.name; }

  Json identity() const {
    Json corpora = Json::array();
    for (std::size_t c = 0; c < config_.corpora.size(); ++c) {
      const Corpus& corpus = config_.corpora[c];
      corpora.push_back({{"name", corpus.name},
                         {"weight", corpus.weight ? Json(*corpus.weight) : Json()},
                         {"num_inputs", inputs_[c].files.size()}});
    }
    Json value = prepare_identity(config_.prepare, all_inputs_, tokenizer_);
    value["corpora"] = std::move(corpora);
    value["mixed_tokens"] = config_.mixed_tokens;
    value["seed"] = config_.seed;
    return value;
  }

  void count_sources(const DatasetManifest& manifest) {
    result_.num_inputs = static_cast<std::int64_t>(manifest.sources.size());
    result_.num_skipped = 0;
    for (const DatasetSource& source : manifest.sources) result_.num_skipped += source.num_skipped;
  }

  // False: stopped.
  bool prepare_each() {
    for (std::size_t c = 0; c < config_.corpora.size(); ++c) {
      PrepareConfig config = config_.prepare;
      config.inputs = config_.corpora[c].inputs;
      config.out = corpus_folder(config_.corpora[c]);
      config.force = false;
      const PrepareProgress before = progress_;
      std::int64_t disk_bytes = 0;
      for (const InputFile& file : inputs_[c].files) disk_bytes += file.size_bytes;
      PrepareListener listener = listener_;
      listener.progress = [&](const PrepareProgress& progress) {
        progress_ = before;
        progress_.disk_bytes_before += progress.disk_bytes_before;
        progress_.disk_bytes += progress.disk_bytes;
        progress_.text_bytes += progress.text_bytes;
        progress_.num_tokens += progress.num_tokens;
        progress_.num_documents += progress.num_documents;
        if (listener_.progress) listener_.progress(progress_);
      };
      const PrepareResult result = prepare(config, tokenizer_, listener);
      result_.num_unknown_files += result.num_unknown_files;
      result_.num_not_read += result.num_not_read;
      result_.num_skipped += result.num_skipped;
      if (result.interrupted) return false;
      progress_.disk_bytes = before.disk_bytes + disk_bytes;
      if (result.already_done) progress_.disk_bytes_before += disk_bytes;
    }
    return true;
  }

  // False: stopped; the next run begins to mix anew.
  bool mix() {
    join_skipped_logs();
    const std::vector<fs::path> folders = dataset_folders(config_.prepare);
    for (const fs::path& folder : folders) {
      std::vector<TokenDataset> datasets;
      DatasetManifest manifest;
      for (const Corpus& corpus : config_.corpora) {
        datasets.emplace_back(corpus_folder(corpus) / folder.lexically_relative(config_.prepare.out));
        const std::vector<DatasetSource>& sources = datasets.back().manifest().sources;
        manifest.sources.insert(manifest.sources.end(), sources.begin(), sources.end());
      }
      const bool is_training = folder == folders.front();
      const std::vector<MixedDocument> plan =
          is_training ? training_plan(datasets, manifest) : every_document(datasets);
      DatasetWriter writer(folder, element_bytes_for(tokenizer_.vocab_size()), config_.prepare.tokens_per_shard, {});
      if (!write(plan, datasets, writer)) return false;
      writer.sync();
      publish_dataset(writer, tokenizer_, std::move(manifest));
    }
    return true;
  }

  static std::vector<MixedDocument> every_document(const std::vector<TokenDataset>& datasets) {
    std::vector<MixedDocument> plan;
    for (std::size_t c = 0; c < datasets.size(); ++c) {
      for (std::int64_t i = 0; i < datasets[c].num_documents(); ++i) plan.push_back({c, i});
    }
    return plan;
  }

  std::vector<MixedDocument> training_plan(const std::vector<TokenDataset>& datasets, DatasetManifest& manifest) const {
    std::vector<std::vector<std::int64_t>> document_tokens;
    std::vector<MixtureEntry>& corpora = manifest.mixture.corpora;
    manifest.mixture.seed = config_.seed;
    for (std::size_t c = 0; c < datasets.size(); ++c) {
      const TokenDataset& dataset = datasets[c];
      std::vector<std::int64_t>& tokens = document_tokens.emplace_back();
      for (std::int64_t i = 0; i < dataset.num_documents(); ++i) {
        const DocumentRange range = dataset.document(i);
        tokens.push_back(range.end + 1 - range.begin);
      }
      MixtureEntry& entry = corpora.emplace_back();
      entry.name = config_.corpora[c].name;
      entry.weight = config_.corpora[c].weight.value_or(static_cast<double>(dataset.num_tokens()));
      entry.num_documents = dataset.num_documents();
      entry.num_tokens = dataset.num_tokens();
    }
    const std::int64_t total = config_.mixed_tokens > 0 ? config_.mixed_tokens : smallest_whole_mixture(corpora);
    return plan_mixture(corpora, document_tokens, total, config_.seed);
  }

  bool write(const std::vector<MixedDocument>& plan, const std::vector<TokenDataset>& datasets, DatasetWriter& writer) {
    constexpr std::int64_t most_tokens = 1 << 20;
    progress_.mixed_documents = 0;
    progress_.mixed_documents_total = static_cast<std::int64_t>(plan.size());
    std::vector<std::int64_t> ids;
    std::vector<std::byte> packed;
    for (const MixedDocument& mixed : plan) {
      if (listener_.stop.stop_requested()) return false;
      const TokenDataset& dataset = datasets[mixed.corpus];
      const DocumentRange range = dataset.document(mixed.document);
      const std::int64_t begin = writer.counts().num_tokens;
      for (std::int64_t first = range.begin; first <= range.end; first += most_tokens) {
        ids.resize(static_cast<std::size_t>(std::min(most_tokens, range.end + 1 - first)));
        dataset.read(first, ids);
        packed.clear();
        for (const std::int64_t id : ids) append_id(id, dataset.manifest().element_bytes, packed);
        writer.append(packed);
      }
      writer.add_document({begin, begin + range.end - range.begin, range.text_bytes});
      ++progress_.mixed_documents;
      if (listener_.progress) listener_.progress(progress_);
    }
    return true;
  }

  void join_skipped_logs() const {
    std::string joined;
    for (const Corpus& corpus : config_.corpora) joined += read_file(corpus_folder(corpus) / skipped_log_name);
    write_file_atomic(config_.prepare.out / skipped_log_name, joined);
  }

  const CorporaConfig& config_;
  const Tokenizer& tokenizer_;
  const PrepareListener& listener_;
  std::vector<InputFiles> inputs_;  // of each corpus
  InputFiles all_inputs_;
  PrepareProgress progress_;
  PrepareResult result_;
};

}  // namespace

PrepareResult prepare_corpora(const CorporaConfig& config, const Tokenizer& tokenizer,
                              const PrepareListener& listener) {
  check_config(config);
  return CorporaPreparation(config, tokenizer, listener).run();
}

}  // namespace lookback
