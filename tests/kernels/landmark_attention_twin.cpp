#include "kernels/landmark_attention_twin.h"

#include <algorithm>
#include <cmath>
#include <random>

#include "kernels/normal_numbers.h"

namespace lookback {
namespace {

using Sizes = LandmarkAttentionTwinSizes;

// Positions under one softmax: their scores before it, probabilities after it.
struct Group {
  std::vector<std::int64_t> positions;
  std::vector<double> probabilities;
};

void take_softmax(std::vector<double>& scores) {
  const double maximum = *std::ranges::max_element(scores);
  double sum = 0;
  for (double& score : scores) sum += score = std::exp(score - maximum);
  for (double& score : scores) score /= sum;
}

// One query row of one head.
class Row {
 public:
  Row(const Sizes& sizes, const LandmarkAttentionInputs& inputs, LandmarkAttentionTwin& twin, std::int64_t row)
      : z_(sizes), in_(inputs), twin_(twin), query_(row * sizes.head_dim) {
    const std::int64_t head = row % z_.heads;
    slope_ = std::pow(2.0, -8.0 * static_cast<double>(head + 1) / static_cast<double>(z_.heads));
    position_ = row / z_.heads % z_.length();
    row_stride_ = z_.kv_heads * z_.head_dim;
    first_key_ =
        row / z_.heads / z_.length() * z_.length() * row_stride_ + head / (z_.heads / z_.kv_heads) * z_.head_dim;
  }

  void add() {
    const std::int64_t own_block = position_ / z_.block_size;
    Group top;  // own text, then the landmarks of the blocks that are read
    for (std::int64_t j = own_block * z_.block_size; j <= position_; ++j) {
      if (j != landmark_of(own_block)) top.positions.push_back(j);
    }
    const std::size_t num_own = top.positions.size();
    const std::vector<std::int64_t> blocks = read_blocks(own_block);
    for (const std::int64_t block : blocks) top.positions.push_back(landmark_of(block));
    fill_probabilities(top);
    std::vector<Group> texts;
    std::vector<Dot> gains;  // of what stands in `top`
    for (std::size_t i = 0; i < num_own; ++i) gains.push_back(gain(top.positions[i]));
    for (const std::int64_t block : blocks) {
      Group& text = texts.emplace_back();
      for (std::int64_t j = block * z_.block_size; j < landmark_of(block); ++j) text.positions.push_back(j);
      fill_probabilities(text);
      gains.push_back(mean_gain(text));
    }
    Dot mean;
    for (std::size_t i = 0; i < gains.size(); ++i) {
      mean.value += top.probabilities[i] * gains[i].value;
      mean.magnitude += top.probabilities[i] * gains[i].magnitude;
    }
    for (std::size_t i = 0; i < gains.size(); ++i) {
      if (i < num_own) add_value(top.positions[i], top.probabilities[i]);
      add_score(top.positions[i], top.probabilities[i], gains[i], mean);
      if (i < num_own) continue;
      const Group& text = texts[i - num_own];
      for (std::size_t j = 0; j < text.positions.size(); ++j) {
        const double probability = top.probabilities[i] * text.probabilities[j];
        add_value(text.positions[j], probability);
        add_score(text.positions[j], probability, gain(text.positions[j]), gains[i]);
      }
    }
  }

 private:
  std::int64_t landmark_of(std::int64_t block) const { return (block + 1) * z_.block_size - 1; }
  std::int64_t key_place(std::int64_t position) const { return first_key_ + position * row_stride_; }

  double score(std::int64_t position, bool biased = true) {
    const double scale = 1 / std::sqrt(static_cast<double>(z_.head_dim));
    const Dot product = dot(&in_.query[query_], &in_.key[key_place(position)], z_.head_dim);
    const double bias = slope_ * static_cast<double>(std::min(position_ - position, z_.window));
    twin_.largest_dot_terms = std::max(twin_.largest_dot_terms, product.magnitude * scale);
    twin_.largest_score = std::max(twin_.largest_score, product.magnitude * scale + bias);
    return product.value * scale - (biased ? bias : 0);
  }

  void fill_probabilities(Group& group) {
    for (const std::int64_t position : group.positions) group.probabilities.push_back(score(position));
    take_softmax(group.probabilities);
  }

  // Those that begin up to W positions before the own one, rounded up to whole blocks, and of the others the best K.
  std::vector<std::int64_t> read_blocks(std::int64_t own_block) {
    const std::int64_t num_far = std::max<std::int64_t>(0, own_block - (z_.window + z_.block_size - 1) / z_.block_size);
    std::vector<std::pair<double, std::int64_t>> far;
    for (std::int64_t e = 0; e < num_far; ++e) {
      const double nearness = 1e-4 * static_cast<double>(std::min(num_far - 1 - e, z_.top_k));
      far.emplace_back(score(landmark_of(e), false) - nearness, e);
    }
    if (z_.top_k > 0 && z_.top_k < num_far) {
      std::ranges::sort(far, std::greater<>());
      far.resize(static_cast<std::size_t>(z_.top_k));
    }
    std::vector<std::int64_t> blocks;
    for (const auto& [unused, block] : far) blocks.push_back(block);
    for (std::int64_t e = num_far; e < own_block; ++e) blocks.push_back(e);
    return blocks;
  }

  Dot gain(std::int64_t position) const {
    return dot(&in_.grad_output[query_], &in_.value[key_place(position)], z_.head_dim);
  }
  Dot mean_gain(const Group& text) const {
    Dot mean;
    for (std::size_t i = 0; i < text.positions.size(); ++i) {
      const Dot one = gain(text.positions[i]);
      mean.value += text.probabilities[i] * one.value;
      mean.magnitude += text.probabilities[i] * one.magnitude;
    }
    return mean;
  }

  void add_value(std::int64_t position, double probability) {
    for (std::int64_t d = 0; d < z_.head_dim; ++d) {
      const double output = probability * in_.value[key_place(position) + d];
      const double grad_value = probability * in_.grad_output[query_ + d];
      twin_.output.add(query_ + d, output, std::abs(output));
      twin_.grad_value.add(key_place(position) + d, grad_value, std::abs(grad_value));
    }
  }

  void add_score(std::int64_t position, double probability, const Dot& gain, const Dot& mean) {
    const double scale = 1 / std::sqrt(static_cast<double>(z_.head_dim));
    const double grad_score = probability * (gain.value - mean.value) * scale;
    const double terms = probability * (gain.magnitude + mean.magnitude) * scale;
    for (std::int64_t d = 0; d < z_.head_dim; ++d) {
      const double query = in_.query[query_ + d];
      const double key = in_.key[key_place(position) + d];
      twin_.grad_key.add(key_place(position) + d, grad_score * query, terms * std::abs(query));
      twin_.grad_query.add(query_ + d, grad_score * key, terms * std::abs(key));
    }
  }

  const Sizes& z_;
  const LandmarkAttentionInputs& in_;
  LandmarkAttentionTwin& twin_;
  std::int64_t query_;  // where its row begins
  std::int64_t position_ = 0, row_stride_ = 0, first_key_ = 0;
  double slope_ = 0;
};

}  // namespace

std::string describe(const Sizes& z) {
  return size_text("N", z.batch) + size_text("B", z.blocks) + size_text("H", z.heads) + size_text("Hkv", z.kv_heads) +
         size_text("D", z.head_dim) + size_text("P", z.block_size) + size_text("W", z.window) + size_text("K", z.top_k);
}

LandmarkAttentionInputs make_inputs(const Sizes& z, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  const auto draw = [&](std::int64_t num_heads) {
    return normal_numbers(random, z.batch * z.length() * num_heads * z.head_dim);
  };
  return {draw(z.heads), draw(z.kv_heads), draw(z.kv_heads), draw(z.heads)};
}

LandmarkAttentionTwin landmark_attention_twin(const Sizes& sizes, const LandmarkAttentionInputs& inputs) {
  const auto sums = [](const std::vector<float>& like) { return Sums(std::ssize(like)); };
  LandmarkAttentionTwin twin{sums(inputs.query), sums(inputs.query), sums(inputs.key), sums(inputs.key)};
  for (std::int64_t row = 0; row < sizes.batch * sizes.length() * sizes.heads; ++row) {
    Row(sizes, inputs, twin, row).add();
  }
  return twin;
}

}  // namespace lookback
