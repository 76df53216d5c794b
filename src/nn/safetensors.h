// The safetensors format: 8 bytes little-endian header length, a JSON header, then the tensors' bytes
// (as Hugging Face's safetensors documents it). No other library of it exists for C++ in the distributions we build on.
#pragma once

#include <ATen/ATen.h>

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

namespace lookback {

using NamedTensors = std::vector<std::pair<std::string, at::Tensor>>;

// Reads every tensor, in the order of their bytes, as copies on the CPU. Throws Error naming the file and what is
// wrong with it: truncated, header no JSON, unknown element type, offsets that overlap or leave the file, sizes that
// do not match the shape, a name twice.
NamedTensors read_safetensors(const std::filesystem::path& path);

// Writes tensors (any device; float64/32/16, bfloat16, int64/32/16/8, uint8, bool) in the given order. Not atomic:
// for files inside a folder that is published as a whole.
void write_safetensors(const std::filesystem::path& path, const NamedTensors& tensors);

}  // namespace lookback
