#include "core/error.h"
#include "retrieval/approximate_index.h"

namespace lookback {
namespace {

constexpr const char* reason =
    "this program was built without Faiss: install libfaiss-dev and build it again, or search exactly";

}  // namespace

bool has_approximate_index() { return false; }

LandmarkLists cluster_landmarks(const at::Tensor& /*landmarks*/, std::int64_t /*num_lists*/, std::uint64_t /*seed*/) {
  fail(reason);
}

std::unique_ptr<LandmarkIndex> make_approximate_index(const at::Tensor& /*landmarks*/, const LandmarkLists& /*lists*/,
                                                      std::int64_t /*num_probes*/) {
  fail(reason);
}

}  // namespace lookback
