#include "ingest/memory_index.h"

#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>
#include <mutex>
#include <utility>

#include "core/clock.h"
#include "core/error.h"
#include "models/fingerprint.h"
#include "nn/record_file.h"
#include "retrieval/approximate_index.h"
#include "retrieval/exact_index.h"

namespace lookback {
namespace {

constexpr RecordKind index_kind{"memory index", 1, "make it again with `lookback memory index`"};
constexpr std::int64_t fewest_chunks = 1000;
constexpr std::int64_t most_probes_measured = 256;
constexpr double wanted_recall = 0.95;

// Keeps what a session asks.
class ListeningIndex : public LandmarkIndex {
 public:
  explicit ListeningIndex(const LandmarkIndex& index) : index_(index) {}
  std::int64_t num_chunks() const override { return index_.num_chunks(); }
  BestChunks best(const at::Tensor& query, std::int64_t top_k) const override {
    const std::scoped_lock lock(mutex_);
    queries_.push_back(query.to(at::kCPU, at::kFloat));
    return index_.best(query, top_k);
  }
  at::Tensor queries() const { return at::cat(queries_); }

 private:
  const LandmarkIndex& index_;
  mutable std::mutex mutex_;
  mutable std::vector<at::Tensor> queries_;
};

// What the model asks as it reads pieces of the memory's text [Q, d].
at::Tensor sample_queries(const StoredMemory& memory, const Model& model, const MemoryIndexConfig& config,
                          const std::function<void()>& check) {
  const at::Device device = model.parameters().device();
  const ExactIndex exact(memory.landmarks(), device);
  const auto listening = std::make_shared<ListeningIndex>(exact);
  // Not owned: the session goes before the memory does.
  const std::shared_ptr<const ChunkArchive> archive(std::shared_ptr<void>(), &memory);
  const std::int64_t piece = std::min(config.piece_chunks, memory.num_chunks());
  for (std::int64_t i = 0; i < config.num_pieces; ++i) {
    check();
    const std::int64_t first = i * (memory.num_chunks() - piece) / std::max<std::int64_t>(1, config.num_pieces - 1);
    std::vector<std::int64_t> ids;
    for (std::int64_t chunk = first; chunk < first + piece; ++chunk) {
      const std::vector<std::int64_t> own = memory.origin(chunk).token_ids;
      ids.insert(ids.end(), own.begin(), own.end());
    }
    const auto sequence = model.new_sequence(model.embedding().scalar_type());
    sequence->attach(make_memory_set({{archive, listening}}));
    const Piece text{sequence.get(), ids, 0};
    model.step({&text, 1});
  }
  return listening->queries();
}

// As decoding asks: one query at a time. Returns the seconds a query.
double ask_each(const LandmarkIndex& index, const at::Tensor& queries, std::int64_t top_k,
                std::vector<BestChunks>& answers) {
  answers.clear();
  const Clock::time_point start = Clock::now();
  for (std::int64_t q = 0; q < queries.size(0); ++q) answers.push_back(index.best(queries.narrow(0, q, 1), top_k));
  return seconds_since(start) / static_cast<double>(queries.size(0));
}

SearchQuality compare(const std::vector<BestChunks>& found, const std::vector<BestChunks>& exact) {
  SearchQuality quality;
  for (std::size_t q = 0; q < exact.size(); ++q) {
    const at::Tensor is_found = exact[q].indices.unsqueeze(2).eq(found[q].indices.unsqueeze(1)).any(2);
    quality.recall += is_found.to(at::kDouble).mean().item<double>();
    quality.weight += at::softmax(exact[q].scores.to(at::kDouble), 1).masked_select(is_found).sum().item<double>();
  }
  quality.recall /= static_cast<double>(exact.size());
  quality.weight /= static_cast<double>(exact.size());
  return quality;
}

SearchQuality parse_search(const Json& value, const std::string& source) {
  return {json_field<std::int64_t>(value, "num_probes", source), json_field<double>(value, "recall", source),
          json_field<double>(value, "weight", source), json_field<double>(value, "seconds", source)};
}

}  // namespace

Json to_json(const SearchQuality& search) {
  return {{"num_probes", search.num_probes},
          {"recall", search.recall},
          {"weight", search.weight},
          {"seconds", search.seconds}};
}

Json to_json(const MemoryIndexReport& report) {
  Json searches = Json::array();
  for (const SearchQuality& search : report.searches) searches.push_back(to_json(search));
  return {{"num_chunks", report.num_chunks},
          {"num_lists", report.num_lists},
          {"num_queries", report.num_queries},
          {"top_k", report.top_k},
          {"cluster_seconds", report.cluster_seconds},
          {"exact_seconds", report.exact_seconds},
          {"searches", searches},
          {"num_probes", report.num_probes}};
}

std::filesystem::path memory_index_path(const std::filesystem::path& memory) { return memory.string() + ".index"; }

MemoryIndexReport build_memory_index(const StoredMemory& memory, const Model& model, const MemoryIndexConfig& config,
                                     const std::function<void(const char* step)>& on_step, const StopToken& stop) {
  const at::NoGradGuard no_gradients;
  const auto go_on = [&](const char* step) {
    if (on_step) on_step(step);
    stop.throw_if_requested();
  };
  MemoryIndexReport report;
  report.num_chunks = memory.num_chunks();
  report.top_k = model.config().top_k;
  require(report.num_chunks >= fewest_chunks,
          "{}: {} chunks: below {} the exact search is the faster one, and needs no index", memory.path().string(),
          report.num_chunks, fewest_chunks);
  report.num_lists =
      config.num_lists > 0 ? config.num_lists : std::llround(4 * std::sqrt(static_cast<double>(report.num_chunks)));

  go_on("finding lists");
  const Clock::time_point start = Clock::now();
  const LandmarkLists lists = cluster_landmarks(memory.landmarks(), report.num_lists, config.seed);
  report.cluster_seconds = seconds_since(start);

  const at::Tensor queries = sample_queries(memory, model, config, [&] { go_on("reading text for queries"); });
  report.num_queries = queries.size(0);
  std::vector<BestChunks> exact;
  go_on("searching exactly");
  report.exact_seconds = ask_each(ExactIndex(memory.landmarks(), at::kCPU), queries, report.top_k, exact);
  std::vector<BestChunks> found;
  for (std::int64_t num_probes = 1; num_probes <= std::min(report.num_lists, most_probes_measured); num_probes *= 2) {
    go_on("searching lists");
    const auto index = make_approximate_index(memory.landmarks(), lists, num_probes);
    const double seconds = ask_each(*index, queries, report.top_k, found);
    SearchQuality quality = compare(found, exact);
    quality.num_probes = num_probes;
    quality.seconds = seconds;
    report.searches.push_back(quality);
    if (report.num_probes == 0 && quality.recall >= wanted_recall) report.num_probes = num_probes;
  }
  if (report.num_probes == 0) {
    report.num_probes = std::ranges::max_element(report.searches, {}, &SearchQuality::recall)->num_probes;
  }
  Json fields = to_json(report);
  fields["landmarks_checksum"] = landmarks_fingerprint(memory, memory.num_chunks());
  write_record_file(memory_index_path(memory.path()), index_kind,
                    {fields, {{"centroids", lists.centroids}, {"list_of", lists.list_of}}});
  return report;
}

OpenedMemoryIndex open_memory_index(const StoredMemory& memory, const std::string& fingerprint,
                                    std::int64_t num_probes) {
  const std::filesystem::path path = memory_index_path(memory.path());
  const std::string source = path.string();
  require(std::filesystem::exists(path),
          "{}: there is no such file: make it with `lookback memory index {}`, or search exactly", source,
          memory.path().string());
  Record record = read_record_file(path, index_kind);
  require(json_field<std::string>(record.fields, "landmarks_checksum", source) == fingerprint,
          "{}: {} has changed since: {}", source, memory.path().string(), index_kind.remedy);
  if (num_probes == 0) num_probes = json_field<std::int64_t>(record.fields, "num_probes", source);
  OpenedMemoryIndex opened;
  for (const Json& value : json_field<Json>(record.fields, "searches", source)) {
    const SearchQuality search = parse_search(value, source);
    if (search.num_probes <= num_probes) opened.quality = search;
  }
  LandmarkLists lists{take_tensor(record, "centroids", source), take_tensor(record, "list_of", source)};
  require(lists.centroids.scalar_type() == at::kFloat && lists.list_of.scalar_type() == at::kLong,
          "{}: its tensors are of other types: the file is damaged; {}", source, index_kind.remedy);
  try {
    opened.index = make_approximate_index(memory.landmarks(), lists, num_probes);
  } catch (const Error& error) {
    fail("{}: {}", source, error.what());
  }
  return opened;
}

}  // namespace lookback
