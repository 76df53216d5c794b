// What Faiss's archive asks of LAPACK and BLAS beyond what LibTorch exports: for rotations of vectors (PCA, OPQ, ITQ),
// which nothing here trains. With these the archive links; a call would be a programmer's error.
#include <cstdlib>

extern "C" {
// NOLINTBEGIN(readability-identifier-naming): names of LAPACK's and BLAS's routines
void ssyrk_() { std::abort(); }
void sgesvd_() { std::abort(); }
void dgesvd_() { std::abort(); }
void dsyev_() { std::abort(); }
// NOLINTEND(readability-identifier-naming)
}
