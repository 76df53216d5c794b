#include "ingest/build_memory.h"

#include <fmt/core.h>

#include <algorithm>
#include <future>
#include <optional>
#include <span>
#include <utility>

#include "core/clock.h"
#include "core/counted.h"
#include "core/error.h"
#include "core/worker_threads.h"
#include "data/manifest.h"
#include "data/tokenize_pipeline.h"
#include "ingest/known_documents.h"
#include "memory/memory_writer.h"
#include "ops/parallel.h"

namespace lookback {
namespace {

constexpr double commit_every_seconds = 3;

std::vector<std::int64_t> unpack_ids(std::span<const std::byte> bytes, std::int64_t element_bytes) {
  std::vector<std::int64_t> ids(bytes.size() / static_cast<std::size_t>(element_bytes));
  for (std::size_t i = 0; i < ids.size(); ++i) {
    for (std::int64_t b = element_bytes - 1; b >= 0; --b) {
      ids[i] = ids[i] << 8 | static_cast<std::int64_t>(
                                 bytes[i * static_cast<std::size_t>(element_bytes) + static_cast<std::size_t>(b)]);
    }
  }
  return ids;
}

// Consecutive chunks of a document, read in one step.
struct Segment {
  std::uint64_t document = 0;
  std::vector<std::int64_t> ids;  // of the halo, then of the chunks, the last one filled up
  std::int64_t halo_chunks = 0, num_chunks = 0;
  std::vector<std::uint64_t> text_begins;
  std::int64_t num_tokens = 0, text_bytes = 0;
  bool ends_document = false;
  std::vector<EncodedBlock> blocks;  // once it is read
};

// A document's tokens on their way to segments.
struct OpenDocument {
  std::uint64_t id = 0;
  std::int64_t next_chunk = 0;  // the first that is not in the memory and no segment's
  std::int64_t first_held = 0;  // chunk with which `ids` begins
  std::vector<std::int64_t> ids;
  std::int64_t num_tokens = 0, text_bytes = 0;     // so far, of the whole document
  std::vector<std::uint64_t> text_begins;          // of chunks from next_chunk on
  std::int64_t tokens_given = 0, bytes_given = 0;  // to segments, and what was in the memory before
};

class MemoryBuilder {
 public:
  MemoryBuilder(const BuildMemoryConfig& config, const Model& model, at::ScalarType dtype,
                const std::string& fingerprint, const Tokenizer& tokenizer, const BuildMemoryListener& listener)
      : config_(config),
        model_(model),
        dtype_(dtype),
        tokenizer_(tokenizer),
        listener_(listener),
        inputs_(find_input_files(config.inputs)),
        chunk_size_(model.config().chunk_size),
        halo_chunks_(model.reading_halo_chunks()),
        segment_chunks_((config.segment_tokens + chunk_size_ - 1) / chunk_size_),
        format_(memory_format(model.config(), fingerprint, &tokenizer, parse_memory_elements(config.elements))),
        writer_(config.out, format_),
        known_(writer_.documents()) {
    require(config.segment_tokens >= 1, "segment_tokens {}: must be at least 1", config.segment_tokens);
    require(config.num_threads >= 1, "num_threads {}: must be at least 1", config.num_threads);
    for (const InputFile& file : inputs_.files) progress_.disk_bytes_total += file.size_bytes;
    for (std::int32_t id = 0; id < tokenizer.vocab_size(); ++id) {
      std::string text;
      tokenizer.decode(id, text);
      token_bytes_.push_back(static_cast<std::int64_t>(text.size()));
    }
  }

  BuildMemoryResult run() {
    const Clock::time_point start = Clock::now();
    for (const std::string& reason : inputs_.not_read) {
      require(!config_.strict, "{} (strict)", reason);
      if (listener_.on_skipped) listener_.on_skipped(reason);
    }
    TokenizePipeline pipeline(inputs_.files, {}, tokenizer_, config_.field, config_.num_threads);
    while (!result_.interrupted) {
      const auto block = pipeline.next(listener_.stop);
      if (!block) {
        result_.interrupted = listener_.stop.stop_requested();
        break;
      }
      const std::int64_t before = std::exchange(progress_.disk_bytes, block->block.disk_bytes);
      if (!has_segments_) progress_.disk_bytes_known = before;
      add(*block);
    }
    if (!result_.interrupted) read_segments();
    write(finish_reading());
    writer_.commit();
    result_.num_tokens = progress_.num_tokens;
    result_.num_documents = progress_.num_documents;
    result_.seconds = seconds_since(start);
    require(result_.interrupted || result_.num_documents + result_.num_known > 0,
            "no documents: no text in {} ({} broken or empty)", counted(inputs_.files.size(), "input file"),
            counted(result_.num_skipped, "document"));
    return result_;
  }

 private:
  const InputFile& file_of(const TokenizedBlock& block) const {
    return inputs_.files[static_cast<std::size_t>(block.block.input)];
  }

  void add(const TokenizedBlock& block) {
    const bool is_text = block.block.format == InputFormat::text;
    if (is_text && block.block.begins_document) skipping_ = false;
    if (is_text && skipping_) return;
    for (const DocumentProblem& problem : block.problems) skip(block, problem);
    const std::vector<std::int64_t> ids = unpack_ids(block.tokens, element_bytes_for(tokenizer_.vocab_size()));
    std::span<const std::int64_t> rest = ids;
    for (const TokenizedDocument& document : block.documents) {
      const auto count = static_cast<std::size_t>(document.num_tokens);
      if (!is_text || block.block.begins_document) {
        const std::string behind = is_text ? "" : fmt::format(":{}", document.line);
        const auto content = is_text ? hash_text_file(file_of(block).path, listener_.stop)
                                     : std::optional(hash_tokens(rest.first(count)));
        result_.interrupted = !content.has_value();
        if (!content) return;
        begin(file_of(block), behind, *content);
      }
      append(rest.first(count));
      rest = rest.subspan(count);
      if (!is_text || block.block.ends_document) end();
    }
  }

  void skip(const TokenizedBlock& block, const DocumentProblem& problem) {
    const std::string text = fmt::format("{}:{}: {}", file_of(block).path.string(), problem.line, problem.message);
    require(!config_.strict, "{} (strict)", text);
    ++result_.num_skipped;
    if (listener_.on_skipped) listener_.on_skipped(text);
    if (block.block.format != InputFormat::text) return;
    skipping_ = true;
    if (!open_) return;
    // What was read of a text that turns out to be broken.
    write(finish_reading());
    std::erase_if(segments_, [this](const Segment& segment) { return segment.document == open_->id; });
    writer_.remove_document(open_->id);
    known_.remove(open_->id);
    open_.reset();
  }

  // behind: of a line's document, what its name has behind the file's.
  void begin(const InputFile& file, const std::string& behind, const ContentHash& content) {
    open_.reset();
    const NewDocument wanted{.name = file.path.string() + behind,
                             .name_by_path = file.identity + behind,
                             .source = document_source(content, file.identity),
                             .source_before = fmt::format("{} bytes, {} ns", file.size_bytes, file.modified_ns)};
    const KnownDocuments::Found found = known_.find(wanted, config_.out.string());
    switch (found.answer) {
      case KnownDocuments::Answer::known:
        ++result_.num_known;
        return;
      case KnownDocuments::Answer::goes_on: {
        OpenDocument& document = open_.emplace();
        document.id = found.document.id;
        document.next_chunk = found.document.num_chunks;
        document.tokens_given = found.document.num_tokens;
        document.bytes_given = found.document.text_bytes;
        break;
      }
      case KnownDocuments::Answer::replace:
        writer_.remove_document(found.document.id);
        known_.remove(found.document.id);
        [[fallthrough]];
      case KnownDocuments::Answer::is_new:
        open_.emplace().id = writer_.begin_document(found.name, wanted.source);
    }
    // Another text of this content is not read again.
    MemoryDocument record = found.document;
    if (found.answer != KnownDocuments::Answer::goes_on) {
      record = {.id = open_->id, .name = found.name, .source = wanted.source};
    }
    record.finished = true;
    known_.add(record);
  }

  // Of a document that is in the memory already nothing is kept.
  void append(std::span<const std::int64_t> ids) {
    if (!open_) return;
    for (const std::int64_t id : ids) {
      if (open_->num_tokens % chunk_size_ == 0 && open_->num_tokens / chunk_size_ >= open_->next_chunk) {
        open_->text_begins.push_back(static_cast<std::uint64_t>(open_->text_bytes));
      }
      open_->ids.push_back(id);
      ++open_->num_tokens;
      open_->text_bytes += token_bytes_[static_cast<std::size_t>(id)];
      // The next segment, up to a multiple of its size: the same wherever a reading was stopped.
      const std::int64_t end_chunk = (open_->next_chunk / segment_chunks_ + 1) * segment_chunks_;
      if (open_->num_tokens == end_chunk * chunk_size_) make_segment(end_chunk, false);
    }
    forget_old_tokens();
  }

  void end() {
    if (!open_) return;
    const std::int64_t num_chunks = (open_->num_tokens + chunk_size_ - 1) / chunk_size_;
    open_->ids.resize(static_cast<std::size_t>((num_chunks - open_->first_held) * chunk_size_), format_.pad_id);
    if (num_chunks > open_->next_chunk) {
      make_segment(num_chunks, true);
    } else {
      Segment& nothing_more = segments_.emplace_back();
      nothing_more.document = open_->id;
      nothing_more.ends_document = true;
    }
    open_.reset();
  }

  void make_segment(std::int64_t end_chunk, bool ends_document) {
    OpenDocument& document = *open_;
    Segment segment;
    segment.document = document.id;
    segment.num_chunks = end_chunk - document.next_chunk;
    segment.halo_chunks = std::min(halo_chunks_, document.next_chunk);
    const auto offset = (document.next_chunk - segment.halo_chunks - document.first_held) * chunk_size_;
    const auto size = (segment.halo_chunks + segment.num_chunks) * chunk_size_;
    segment.ids.assign(document.ids.begin() + offset, document.ids.begin() + offset + size);
    segment.text_begins = std::exchange(document.text_begins, {});
    segment.num_tokens = document.num_tokens - document.tokens_given;
    segment.text_bytes = document.text_bytes - document.bytes_given;
    segment.ends_document = ends_document;
    document.tokens_given = document.num_tokens;
    document.bytes_given = document.text_bytes;
    document.next_chunk = end_chunk;
    segment_tokens_ += size;
    has_segments_ = true;
    segments_.push_back(std::move(segment));
    forget_old_tokens();
    if (segment_tokens_ >= config_.num_threads * segment_chunks_ * chunk_size_ && !result_.interrupted) {
      read_segments();
    }
  }

  // Keeps what the next segment's halo needs.
  void forget_old_tokens() {
    if (!open_) return;
    const std::int64_t first = std::min(open_->next_chunk - halo_chunks_, open_->num_tokens / chunk_size_);
    const std::int64_t surplus = first - open_->first_held;
    if (surplus < segment_chunks_ && surplus * chunk_size_ < 1 << 16) return;
    open_->ids.erase(open_->ids.begin(), open_->ids.begin() + surplus * chunk_size_);
    open_->first_held = first;
  }

  // Has the segments read while those before are written.
  void read_segments() {
    std::vector<Segment> done = finish_reading();
    being_read_ = std::exchange(segments_, {});
    segment_tokens_ = 0;
    reading_ = std::async(std::launch::async, [this] {
      run_on_threads(config_.num_threads, being_read_.size(), [this](std::size_t i) { read(being_read_[i]); });
    });
    write(done);
    result_.interrupted = listener_.stop.stop_requested();
  }

  // Waits for what is being read.
  std::vector<Segment> finish_reading() {
    if (reading_.valid()) reading_.get();
    return std::exchange(being_read_, {});
  }

  void read(Segment& segment) const {
    // A sum divided among threads depends on their number.
    const OneThreadHere one_thread;
    if (segment.num_chunks == 0) return;
    const at::Tensor ids =
        at::from_blob(segment.ids.data(), {1, static_cast<std::int64_t>(segment.ids.size())}, at::kLong);
    const EncodedChunks encoded = model_.read_chunks(ids, segment.halo_chunks, dtype_);
    const at::Tensor text = ids[0].view({-1, chunk_size_}).narrow(0, segment.halo_chunks, segment.num_chunks);
    for (std::int64_t first = 0; first < segment.num_chunks; first += chunks_a_block) {
      const std::int64_t count = std::min(chunks_a_block, segment.num_chunks - first);
      ChunkBlock block;
      block.key = encoded.key[0].narrow(0, first, count);
      block.value = encoded.value[0].narrow(0, first, count);
      block.landmarks = encoded.landmarks[0].narrow(0, first, count);
      block.token_ids = text.narrow(0, first, count);
      block.text_begins.assign(segment.text_begins.begin() + first, segment.text_begins.begin() + first + count);
      segment.blocks.push_back(encode_block(block, format_));
    }
  }

  void write(const std::vector<Segment>& segments) {
    for (const Segment& segment : segments) {
      for (std::size_t i = 0; i < segment.blocks.size(); ++i) {
        // A document's counts go with a segment's last block.
        const bool is_last = i + 1 == segment.blocks.size();
        writer_.append(segment.document, segment.blocks[i], is_last ? segment.num_tokens : 0,
                       is_last ? segment.text_bytes : 0);
      }
      progress_.num_tokens += segment.num_tokens;
      if (!segment.ends_document) continue;
      writer_.finish_document(segment.document);
      ++progress_.num_documents;
    }
    if (seconds_since(last_commit_) >= commit_every_seconds) {
      writer_.commit();
      last_commit_ = Clock::now();
    }
    if (listener_.on_progress && !segments.empty()) listener_.on_progress(progress_);
  }

  static constexpr std::int64_t chunks_a_block = 32;

  const BuildMemoryConfig& config_;
  const Model& model_;
  at::ScalarType dtype_;
  const Tokenizer& tokenizer_;
  const BuildMemoryListener& listener_;
  InputFiles inputs_;
  std::int64_t chunk_size_, halo_chunks_, segment_chunks_;
  MemoryFormat format_;
  MemoryWriter writer_;
  KnownDocuments known_;
  std::vector<std::int64_t> token_bytes_;  // of each id's text
  std::optional<OpenDocument> open_;       // none while what comes is known or broken
  bool skipping_ = false;                  // the rest of a broken text
  std::vector<Segment> segments_;          // to be read
  std::vector<Segment> being_read_;
  std::int64_t segment_tokens_ = 0;  // in them, halos included
  bool has_segments_ = false;        // some were made in this run
  Clock::time_point last_commit_ = Clock::now();
  BuildMemoryProgress progress_;
  BuildMemoryResult result_;
  std::future<void> reading_;  // last, so that it ends before what it works on goes
};

}  // namespace

MemoryFormat memory_format(const ModelConfig& config, const std::string& fingerprint, const Tokenizer* tokenizer,
                           MemoryElements elements) {
  MemoryFormat format;
  format.model_fingerprint = fingerprint;
  format.chunk_size = config.chunk_size;
  format.num_vectors = config.chunk_vectors();
  format.num_heads = config.num_heads;
  format.head_dim = config.head_dim();
  format.hidden_size = config.hidden_size;
  format.elements = elements;
  if (tokenizer == nullptr) return format;
  format.tokenizer_fingerprint = tokenizer->fingerprint();
  const std::vector<std::int32_t> newline = tokenizer->encode("\n");
  format.pad_id = newline.size() == 1 ? newline.front() : tokenizer->end_of_text_id();
  return format;
}

BuildMemoryResult build_memory(const BuildMemoryConfig& config, const Model& model, at::ScalarType dtype,
                               const std::string& fingerprint, const Tokenizer& tokenizer,
                               const BuildMemoryListener& listener) {
  return MemoryBuilder(config, model, dtype, fingerprint, tokenizer, listener).run();
}

}  // namespace lookback
