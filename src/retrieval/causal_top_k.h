// Which chunks a chunk retrieves (docs/model.md, 6; arXiv 2410.01651 section 3.2).
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <optional>
#include <vector>

namespace lookback {

struct TopK {
  at::Tensor indices;  // [N, C, K] int64, best first, -1 where fewer than K chunks are visible
  at::Tensor weights;  // [N, C, K] float32: softmax of the selected scores, 0 where the index is -1
};

// Scores of every landmark for every query, float32: query [..., C, d], landmarks [..., E, d] -> [..., C, E],
//   score(c, e) = query_c . landmark_e / sqrt(d).
at::Tensor chunk_scores(const at::Tensor& query, const at::Tensor& landmarks);

// The same, with -inf where not e < first_chunk + c: query [N, C, d], landmarks [N, E, d] -> [N, C, E].
// Query c belongs to chunk first_chunk + c; landmark e to chunk e. (A first_chunk that is n less also hides the n
// chunks before each.)
at::Tensor causal_chunk_scores(const at::Tensor& query, const at::Tensor& landmarks, std::int64_t first_chunk);

// Of scores [N, C, E], the `top_k` whose `selection` (the same shape, -inf where the score is) is largest.
TopK choose_top_k(const at::Tensor& scores, const at::Tensor& selection, std::int64_t top_k);

// The `top_k` best of scores [N, C, E]. With a generator, Gumbel noise -log(E), E ~ Exp(1), takes part in the
// selection only; the weights come from the un-noised scores and carry gradient.
TopK causal_top_k(const at::Tensor& scores, std::int64_t top_k,
                  const std::optional<at::Generator>& noise_generator = std::nullopt);

// Stick-breaking weights of the chosen chunks (arXiv 2410.17980): from the nearest on, each takes the part
// sigmoid(score) of what is left, so that a chunk may also leave nearly all of it, and all together may read nothing.
// scores [N, C, E], indices [N, C, K] -> [N, C, K].
at::Tensor stick_breaking_weights(const at::Tensor& scores, const at::Tensor& indices);

// With each chosen chunk also the one that follows it, under the same weight: [N, C, 2 K], those that follow behind the
// others. None (-1) follows the last chunk before each of `ends`, where another text begins, and what follows lies
// beyond the asking chunk, of which row c is chunk first_chunk + c.
TopK with_successors(const TopK& chosen, std::int64_t first_chunk, const std::vector<std::int64_t>& ends);

// A number for each of `num_queries` chunks from `first_chunk` on and each of `num_landmarks` chunks [C, E], float64:
// as good as drawn at random, but the same for the same chunk and stream however many are asked for at a time.
at::Tensor random_selection(std::int64_t first_chunk, std::int64_t num_queries, std::int64_t num_landmarks,
                            std::int64_t stream, at::Device device);

// The same weight for every chunk that was chosen.
at::Tensor uniform_weights(const at::Tensor& indices);

}  // namespace lookback
