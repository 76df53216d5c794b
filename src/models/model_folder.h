// A model on disk: a folder with config.json, model.safetensors (or a published model.bin, or an index and parts, see
// weight_parts.h) and, when it has one, its tokenizer.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "models/model.h"

namespace lookback {

// Reads a model folder, or the best checkpoint of a training run's folder (see resolve_model_folder). retrieval: what a
// model that retrieves is fed, "trained" its own choice, others for evaluation (drt/fed_retriever.h). Unknown, missing
// and misshapen tensors are listed by name in the Error; so is a retrieval that the model has not.
std::unique_ptr<Model> load_model(const std::filesystem::path& folder, at::Device device,
                                  const std::string& retrieval = "trained");

// Copies the weights of `folder` into a model of the same shape.
void load_weights(const std::filesystem::path& folder, Model& model);

// Writes config.json and model.safetensors (float32) into an existing folder.
void save_model(const Model& model, const std::filesystem::path& folder);

// `path` itself when it holds config.json; otherwise the checkpoint that a training run's folder points to
// (best, else last). Throws Error saying what was looked for.
std::filesystem::path resolve_model_folder(const std::filesystem::path& path);

}  // namespace lookback
