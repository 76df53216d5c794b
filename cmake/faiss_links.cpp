// Compiled when CMake configures: whether the Faiss that is installed links with LibTorch's BLAS.
#include <faiss/Clustering.h>
#include <faiss/IndexFlat.h>
#include <faiss/IndexIVFFlat.h>

int main() {
  faiss::IndexFlatL2 flat(2);
  faiss::IndexIVFFlat index(&flat, 2, 1, faiss::METRIC_INNER_PRODUCT);
  faiss::Clustering clustering(2, 1);
  return index.is_trained && clustering.k == 1 ? 1 : 0;
}
