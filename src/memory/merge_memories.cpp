#include "memory/merge_memories.h"

#include <map>
#include <memory>
#include <string>

#include "core/error.h"
#include "memory/document_source.h"
#include "memory/memory_writer.h"
#include "memory/stored_memory.h"

namespace lookback {
namespace {

constexpr std::size_t commit_every_bytes = std::size_t{1} << 28;

class Merge {
 public:
  Merge(const std::vector<std::filesystem::path>& sources, const std::filesystem::path& out,
        const std::function<void(std::int64_t, std::int64_t)>& on_progress, const StopToken& stop)
      : out_(out), on_progress_(on_progress), stop_(stop) {
    require(!sources.empty(), "merge: no memories given");
    for (const std::filesystem::path& path : sources) {
      require(!std::filesystem::exists(out) || !std::filesystem::equivalent(path, out),
              "{}: is both merged and written to", out.string());
      sources_.push_back(std::make_unique<StoredMemory>(path));
      total_ += sources_.back()->num_chunks();
    }
    writer_ = std::make_unique<MemoryWriter>(out, sources_.front()->format());
    for (const auto& source : sources_) {
      require(source->format() == sources_.front()->format(),
              "{} and {}: were made with different models, tokenizers or elements", sources_.front()->path().string(),
              source->path().string());
    }
    for (const MemoryDocument& document : writer_->documents()) known_.emplace(document.name, document);
  }

  MergeResult run() {
    for (const auto& source : sources_) {
      for (const MemoryDocument& document : source->documents()) {
        copy(*source, document);
        if (result_.interrupted) break;
      }
      if (result_.interrupted) break;
    }
    writer_->commit();
    return result_;
  }

 private:
  void copy(const StoredMemory& source, const MemoryDocument& document) {
    const auto found = known_.find(document.name);
    MemoryDocument before;  // what is there of it already
    if (found == known_.end()) {
      before.id = writer_->begin_document(document.name, document.source);
    } else {
      before = found->second;
      require(content_of_source(before.source) == content_of_source(document.source),
              "{}: holds another \"{}\" than {}; remove one of the two", source.path().string(), document.name,
              out_.string());
      done_ += before.num_chunks;
      if (before.finished || before.num_chunks >= document.num_chunks) {
        ++result_.num_known;
        return;
      }
    }
    std::int64_t chunks_left = document.num_chunks - before.num_chunks;
    source.for_each_block(document.id, before.num_chunks, [&](const EncodedBlock& block) {
      chunks_left -= block.num_chunks;
      // A document's counts go with its last block.
      const bool is_last = chunks_left == 0;
      writer_->append(before.id, block, is_last ? document.num_tokens - before.num_tokens : 0,
                      is_last ? document.text_bytes - before.text_bytes : 0);
      done_ += block.num_chunks;
      uncommitted_bytes_ += block.chunks.size();
      if (uncommitted_bytes_ >= commit_every_bytes) {
        writer_->commit();
        uncommitted_bytes_ = 0;
      }
      if (on_progress_) on_progress_(done_, total_);
      result_.interrupted = stop_.stop_requested();
      return !result_.interrupted;
    });
    if (chunks_left > 0) return;
    if (document.finished) writer_->finish_document(before.id);
    known_[document.name] = document;
    known_[document.name].id = before.id;
    ++result_.num_documents;
  }

  const std::filesystem::path& out_;
  const std::function<void(std::int64_t, std::int64_t)>& on_progress_;
  StopToken stop_;
  std::vector<std::unique_ptr<StoredMemory>> sources_;
  std::unique_ptr<MemoryWriter> writer_;
  std::map<std::string, MemoryDocument> known_;  // in `out`, by name
  std::int64_t done_ = 0, total_ = 0;
  std::size_t uncommitted_bytes_ = 0;
  MergeResult result_;
};

}  // namespace

MergeResult merge_memories(const std::vector<std::filesystem::path>& sources, const std::filesystem::path& out,
                           const std::function<void(std::int64_t, std::int64_t)>& on_progress, const StopToken& stop) {
  return Merge(sources, out, on_progress, stop).run();
}

}  // namespace lookback
