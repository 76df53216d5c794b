#include "ingest/known_documents.h"

#include <xxhash.h>

#include <memory>

#include "core/error.h"
#include "data/byte_source.h"

namespace lookback {
namespace {

ContentHash from_xxh(const XXH128_hash_t& hash) { return {hash.high64, hash.low64}; }

}  // namespace

std::optional<ContentHash> hash_text_file(const std::filesystem::path& path, const StopToken& stop) {
  const std::unique_ptr<XXH3_state_t, decltype(&XXH3_freeState)> state(XXH3_createState(), XXH3_freeState);
  XXH3_128bits_reset(state.get());
  const std::unique_ptr<ByteSource> source = open_byte_source(path);
  std::vector<char> buffer(std::size_t{1} << 20);
  while (const std::size_t count = source->read(buffer.data(), buffer.size())) {
    XXH3_128bits_update(state.get(), buffer.data(), count);
    if (stop.stop_requested()) return std::nullopt;
  }
  return from_xxh(XXH3_128bits_digest(state.get()));
}

ContentHash hash_tokens(std::span<const std::int64_t> ids) {
  return from_xxh(XXH3_128bits(ids.data(), ids.size_bytes()));
}

KnownDocuments::KnownDocuments(const std::vector<MemoryDocument>& documents) {
  for (const MemoryDocument& document : documents) add(document);
}

void KnownDocuments::add(const MemoryDocument& document) {
  documents_[document.id] = document;
  by_name_.emplace(document.name, document.id);
  if (!place_of_source(document.source).empty()) {
    by_content_.emplace(std::string(content_of_source(document.source)), document.id);
  }
}

void KnownDocuments::remove(std::uint64_t document) {
  documents_.erase(document);
  for (auto* const ids : {&by_content_, &by_name_}) {
    std::erase_if(*ids, [document](const auto& entry) { return entry.second == document; });
  }
}

std::optional<MemoryDocument> KnownDocuments::first(const std::map<std::string, std::uint64_t, std::less<>>& ids,
                                                    std::string_view key) const {
  const auto found = ids.find(key);
  if (found == ids.end()) return std::nullopt;
  return documents_.at(found->second);
}

KnownDocuments::Found KnownDocuments::find(const NewDocument& wanted, const std::string& memory) const {
  const auto of_same = [](const MemoryDocument& document) {
    return Found{document.finished ? Answer::known : Answer::goes_on, document, document.name};
  };
  if (const auto same = first(by_content_, content_of_source(wanted.source))) return of_same(*same);
  for (const std::string& name : {wanted.name, wanted.name_by_path}) {
    const auto found = first(by_name_, name);
    if (!found) return {Answer::is_new, {}, name};
    if (found->source == wanted.source_before) return of_same(*found);
    const std::string_view place = place_of_source(found->source);
    // Another file of this name.
    if (!place.empty() && place != place_of_source(wanted.source)) continue;
    require(!found->finished, "{}: has changed since it was read into {}; remove it from the memory first", name,
            memory);
    return {Answer::replace, *found, name};
  }
  fail("{}: {} holds another text of this name; remove it from the memory first", wanted.name_by_path, memory);
}

}  // namespace lookback
