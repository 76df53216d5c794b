// An archive and the search for its chunks: what sequences retrieve from.
#pragma once

#include <ATen/ATen.h>

#include <memory>

#include "memory/chunk_archive.h"
#include "retrieval/exact_index.h"
#include "retrieval/landmark_index.h"

namespace lookback {

// Shared by any number of sequences on the device.
struct SearchedArchive {
  std::shared_ptr<const ChunkArchive> archive;
  std::shared_ptr<const LandmarkIndex> index;  // of its landmarks
};

inline SearchedArchive search_exactly(const std::shared_ptr<const ChunkArchive>& archive, at::Device device) {
  return {archive, std::make_shared<const ExactIndex>(archive->landmarks(), device)};
}

}  // namespace lookback
