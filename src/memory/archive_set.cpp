#include "memory/archive_set.h"

#include <utility>

namespace lookback {

void ArchiveSet::attach(std::shared_ptr<const ChunkArchive> archive) {
  sizes_.push_back(archive->num_chunks());
  num_chunks_ += archive->num_chunks();
  archives_.push_back(std::move(archive));
}

at::ScalarType ArchiveSet::element_type(std::int64_t index) const {
  return archives_[locate_chunk(sizes_, index).archive]->element_type();
}

std::shared_ptr<const StoredChunk> ArchiveSet::chunk(std::int64_t index) const {
  const ArchivedChunk place = locate_chunk(sizes_, index);
  return archives_[place.archive]->chunk(place.chunk);
}

void ArchiveSet::prefetch(std::span<const std::int64_t> chunks) const {
  std::vector<std::vector<std::int64_t>> by_archive(archives_.size());
  for (const std::int64_t chunk : chunks) {
    const ArchivedChunk place = locate_chunk(sizes_, chunk);
    by_archive[place.archive].push_back(place.chunk);
  }
  for (std::size_t i = 0; i < archives_.size(); ++i) {
    if (!by_archive[i].empty()) archives_[i]->prefetch(by_archive[i]);
  }
}

}  // namespace lookback
