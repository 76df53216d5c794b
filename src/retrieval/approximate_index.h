// Search of a few lists of landmarks instead of all (an inverted file; Faiss).
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <memory>

#include "retrieval/landmark_index.h"

namespace lookback {

// Landmarks in lists of neighbours. Small beside them, and what takes the time to find.
struct LandmarkLists {
  at::Tensor centroids;  // [L, d] float32
  at::Tensor list_of;    // [E] int64: each landmark's list
};

// Whether this program was built with Faiss.
bool has_approximate_index();

// k-means of landmarks [E, d] float32 on the CPU; the same seed gives the same lists. Throws Error when this program
// was built without Faiss, and unless 1 <= num_lists <= E.
LandmarkLists cluster_landmarks(const at::Tensor& landmarks, std::int64_t num_lists, std::uint64_t seed);

// Searches the num_probes lists whose centroids score best for a query, all in them exactly. It holds a copy of the
// landmarks in the order of the lists. The search runs on the CPU, wherever queries lie. Throws Error when this program
// was built without Faiss, unless 1 <= num_probes <= L, and for lists that do not belong to these landmarks.
std::unique_ptr<LandmarkIndex> make_approximate_index(const at::Tensor& landmarks, const LandmarkLists& lists,
                                                      std::int64_t num_probes);

}  // namespace lookback
