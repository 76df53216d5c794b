#include "models/drt/retriever_embeddings.h"

#include <ATen/core/grad_mode.h>
#include <fmt/ranges.h>

#include "core/error.h"
#include "nn/safetensors.h"

namespace lookback {

void load_retriever_embeddings(const std::filesystem::path& path, Model& model) {
  const at::NoGradGuard no_gradients;
  require(model.parameters().contains(retriever_embeddings_name),
          "{}: embeddings are for rpt models with retriever = \"embeddings\"; this is a {} model without",
          path.string(), model.config().kind);
  at::Tensor table = model.parameters().get(retriever_embeddings_name);
  const NamedTensors stored = read_safetensors(path);
  require(stored.size() == 1, "{}: expected one tensor, found {}", path.string(), stored.size());
  const at::Tensor& rows = stored[0].second;
  require(rows.dim() == 2 && rows.size(0) >= 1 && rows.size(0) <= table.size(0) && rows.size(1) == table.size(1) &&
              rows.is_floating_point(),
          "{}: {}: expected floating-point embeddings [up to {}, {}] (vocab_size, retriever_size), found {} [{}]",
          path.string(), stored[0].first, table.size(0), table.size(1), c10::toString(rows.scalar_type()),
          fmt::join(rows.sizes(), ", "));
  require(rows.isfinite().all().item<bool>(), "{}: {}: holds numbers that are not finite", path.string(),
          stored[0].first);
  table.zero_();
  table.narrow(0, 0, rows.size(0)).copy_(rows);
}

}  // namespace lookback
