// The table of an rpt model whose retriever is "embeddings": somebody else has made it, and checkpoints hold it.
#pragma once

#include <filesystem>

#include "models/model.h"

namespace lookback {

inline constexpr const char* retriever_embeddings_name = "model.retriever.embeddings";  // its parameter

// Fills it from a safetensors file with one tensor [V, retriever_size], row i for token i. V is at most the model's
// vocabulary: ids behind it, such as the landmark's, have zeros. Throws Error naming the file and what does not fit.
void load_retriever_embeddings(const std::filesystem::path& path, Model& model);

}  // namespace lookback
