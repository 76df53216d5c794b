#include "retrieval/approximate_index.h"

#include <faiss/Clustering.h>
#include <faiss/IndexFlat.h>
#include <faiss/IndexIVFFlat.h>

#include <algorithm>

#include "core/error.h"
#include "retrieval/causal_top_k.h"

namespace lookback {
namespace {

constexpr int training_points_a_list = 64;  // more find the same centroids, slower
constexpr int training_rounds = 10;

class FaissIndex : public LandmarkIndex {
 public:
  FaissIndex(const at::Tensor& landmarks, const LandmarkLists& lists, std::int64_t num_probes)
      : landmarks_(landmarks),
        quantizer_(landmarks.size(1)),
        index_(&quantizer_, static_cast<std::size_t>(landmarks.size(1)),
               static_cast<std::size_t>(lists.centroids.size(0)), faiss::METRIC_INNER_PRODUCT) {
    quantizer_.add(lists.centroids.size(0), lists.centroids.const_data_ptr<float>());
    index_.is_trained = true;
    index_.nprobe = static_cast<std::size_t>(num_probes);
    index_.add_core(landmarks.size(0), landmarks.const_data_ptr<float>(), nullptr,
                    lists.list_of.const_data_ptr<std::int64_t>());
  }

  std::int64_t num_chunks() const override { return landmarks_.size(0); }

  BestChunks best(const at::Tensor& query, std::int64_t top_k) const override {
    const at::Tensor floats = query.to(at::kCPU, at::kFloat).contiguous();
    const std::int64_t num_queries = floats.size(0);
    at::Tensor products = at::empty({num_queries, top_k}, at::kFloat);
    at::Tensor indices = at::empty({num_queries, top_k}, at::kLong);
    index_.search(num_queries, floats.const_data_ptr<float>(), top_k, products.mutable_data_ptr<float>(),
                  indices.mutable_data_ptr<std::int64_t>());
    // Scores by the one formula that all searches share, so that a found chunk weighs the same whoever found it.
    const at::Tensor found = landmarks_.index_select(0, indices.clamp_min(0).flatten()).view({num_queries, top_k, -1});
    const at::Tensor scores = chunk_scores(floats.unsqueeze(1), found).squeeze(1).masked_fill(indices.lt(0), -INFINITY);
    const auto order = scores.sort(1, true);
    return {std::get<0>(order).to(query.device()), indices.gather(1, std::get<1>(order)).to(query.device())};
  }

 private:
  at::Tensor landmarks_;
  faiss::IndexFlatIP quantizer_;
  faiss::IndexIVFFlat index_;
};

}  // namespace

bool has_approximate_index() { return true; }

LandmarkLists cluster_landmarks(const at::Tensor& landmarks, std::int64_t num_lists, std::uint64_t seed) {
  require(num_lists >= 1 && num_lists <= landmarks.size(0), "lists {}: expected 1 to {}, the number of chunks",
          num_lists, landmarks.size(0));
  const at::Tensor rows = landmarks.contiguous();
  faiss::ClusteringParameters parameters;
  parameters.niter = training_rounds;
  parameters.max_points_per_centroid = training_points_a_list;
  parameters.min_points_per_centroid = 1;
  parameters.seed = static_cast<int>(seed);
  faiss::Clustering clustering(static_cast<int>(rows.size(1)), static_cast<int>(num_lists), parameters);
  faiss::IndexFlatL2 nearest(rows.size(1));
  clustering.train(rows.size(0), rows.const_data_ptr<float>(), nearest);
  const at::Tensor centroids = at::empty({num_lists, rows.size(1)}, at::kFloat);
  std::copy(clustering.centroids.begin(), clustering.centroids.end(), centroids.mutable_data_ptr<float>());
  at::Tensor list_of = at::empty({rows.size(0)}, at::kLong);
  nearest.assign(rows.size(0), rows.const_data_ptr<float>(), list_of.mutable_data_ptr<std::int64_t>());
  return {centroids, list_of};
}

std::unique_ptr<LandmarkIndex> make_approximate_index(const at::Tensor& landmarks, const LandmarkLists& lists,
                                                      std::int64_t num_probes) {
  const std::int64_t num_lists = lists.centroids.size(0);
  require(lists.centroids.dim() == 2 && lists.centroids.size(1) == landmarks.size(1) && lists.list_of.dim() == 1 &&
              lists.list_of.size(0) == landmarks.size(0) &&
              lists.list_of.ge(0).logical_and(lists.list_of.lt(num_lists)).all().item<bool>(),
          "lists of {} landmarks of {} numbers do not belong to {} of {}", lists.list_of.numel(),
          lists.centroids.size(-1), landmarks.size(0), landmarks.size(1));
  require(num_probes >= 1 && num_probes <= num_lists, "probes {}: expected 1 to {}, the number of lists", num_probes,
          num_lists);
  return std::make_unique<FaissIndex>(
      landmarks.contiguous(), LandmarkLists{lists.centroids.contiguous(), lists.list_of.contiguous()}, num_probes);
}

}  // namespace lookback
