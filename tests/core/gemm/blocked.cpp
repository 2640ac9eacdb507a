#include <algorithm>
#include <cmath>
#include <cstring>
#include <type_traits>
#include <vector>

#include <doctest/doctest.h>

#include <rewind/core/gemm/blocked.h>
#include <rewind/core/gemm/gemm.h>
#include <rewind/core/gemm/panels.h>
#include <rewind/core/threads.h>
#include <rewind/core/vector_loop.h>

#include "numbers.h"

namespace rw {
namespace {

using Case = ProductCase;

// Operands with gaps between rows.
template <class T>
struct Operands {
  explicit Operands(const Case& s)
      : lda((s.ta ? s.m : s.k) + 1),
        ldb((s.tb ? s.k : s.n) + 2),
        ldc(s.n + 3),
        a(numbers<T>((s.ta ? s.k : s.m) * lda, 1)),
        b(numbers<T>((s.tb ? s.n : s.k) * ldb, 2)) {}
  Index lda, ldb, ldc;
  std::vector<T> a, b;
};

template <class T>
std::vector<T> product(const Case& s, const Operands<T>& in, bool accumulate) {
  std::vector<T> c(static_cast<std::size_t>(s.m * in.ldc), T(0.5));
  detail::blocked_gemm(s.ta, s.tb, s.m, s.n, s.k, in.a.data(), in.lda, in.b.data(), in.ldb, c.data(), in.ldc,
                       accumulate);
  return c;
}

// The greatest error, in roundings of the sum of sizes, of every row or of some; what lies between rows must be as it
// was.
template <class T>
double worst_error(const Case& s, const Operands<T>& in, const std::vector<T>& c, bool accumulate, Index every = 1) {
  const double unit = std::is_same_v<T, float> ? 0x1p-24 : 0x1p-53;
  double worst = 0;
  for (Index i = 0; i < s.m; i += every) {
    const T* row = c.data() + i * in.ldc;
    for (Index j = 0; j < s.n; ++j) {
      long double sum = accumulate ? 0.5L : 0.0L, size = sum;
      for (Index p = 0; p < s.k; ++p) {
        const long double x =
            static_cast<long double>(in.a[static_cast<std::size_t>(s.ta ? p * in.lda + i : i * in.lda + p)]) *
            in.b[static_cast<std::size_t>(s.tb ? j * in.ldb + p : p * in.ldb + j)];
        sum += x;
        size += std::abs(x);
      }
      worst = std::max(worst, static_cast<double>(std::abs(row[j] - sum) / (size * unit)));
    }
    for (Index j = s.n; j < in.ldc; ++j) CHECK(row[j] == T(0.5));
  }
  return worst;
}

template <class T>
bool same(const std::vector<T>& x, const std::vector<T>& y) {
  return std::memcmp(x.data(), y.data(), x.size() * sizeof(T)) == 0;
}

// Around the rows of tiles, the columns of panels, and the length of blocks.
struct Size {
  Index m, n, k;
};
const std::vector<Size> sizes = {{1, 1, 1},     {5, 7, 3},     {6, 8, 16},   {7, 9, 17},     {13, 15, 255},
                                 {14, 16, 256}, {15, 17, 257}, {29, 33, 1},  {12, 64, 511},  {43, 31, 513},
                                 {150, 3, 40},  {2, 150, 40},  {1, 65, 300}, {200, 40, 270}, {40, 200, 270}};

}  // namespace

TEST_CASE_TEMPLATE("blocked_gemm: every form and edge", T, float, double) {
  if (detail::panel_kernels<T>() == nullptr) return;
  for (const Size& size : sizes)
    for (const bool ta : {false, true})
      for (const bool tb : {false, true})
        for (const bool accumulate : {false, true}) {
          const Case s{ta, tb, size.m, size.n, size.k};
          CAPTURE(s.m);
          CAPTURE(s.n);
          CAPTURE(s.k);
          CAPTURE(ta);
          CAPTURE(tb);
          const Operands<T> in(s);
          CHECK(worst_error(s, in, product(s, in, accumulate), accumulate) <= static_cast<double>(s.k + 1));
        }
}

// More columns than one block has, rows for more than one group of tiles, and work enough for three threads, which
// share columns or rows.
TEST_CASE_TEMPLATE("blocked_gemm: an element's bits depend on its row, its column and k alone", T, float, double) {
  if (detail::panel_kernels<T>() == nullptr) return;
  const int before = threads();
  for (const Size& size : {Size{380, 2100, 300}, Size{2100, 380, 300}})
    for (const bool ta : {false, true})
      for (const bool tb : {false, true}) {
        const Case s{ta, tb, size.m, size.n, size.k};
        const Operands<T> in(s);
        set_threads(1);
        const std::vector<T> c = product(s, in, false);
        for (const int n : {2, 3, 5}) {
          set_threads(n);
          CHECK(same(product(s, in, false), c));
        }
        const Index rows = 3, cols = 37, i = s.m - 20, j = s.n - 40;
        std::vector<T> part(static_cast<std::size_t>(rows * cols));
        detail::blocked_gemm(ta, tb, rows, cols, s.k, in.a.data() + (ta ? i : i * in.lda), in.lda,
                             in.b.data() + (tb ? j * in.ldb : j), in.ldb, part.data(), cols, false);
        for (Index r = 0; r < rows; ++r)
          CHECK(std::memcmp(part.data() + r * cols, c.data() + (i + r) * in.ldc + j,
                            static_cast<std::size_t>(cols) * sizeof(T)) == 0);
      }
  set_threads(before);
}

TEST_CASE_TEMPLATE("gemm, just below the sizes that are made block by block, and from there on", T, float, double) {
  if (detail::panel_kernels<T>() == nullptr) return;
  const bool wide = std::is_same_v<T, double>, avx2 = active_isa() == Isa::avx2;
  const std::vector<Case> first =
      wide   ? std::vector<Case>{{false, true, 64, 64, 64}, {false, false, 256, 256, 128}, {true, true, 8, 8, 8}}
      : avx2 ? std::vector<Case>{{false, false, 512, 512, 512}, {false, true, 128, 2048, 512}}
             : std::vector<Case>{{true, false, 512, 1024, 512}};
  for (const Case& s : first)
    for (const Index less : {0, 1}) {
      const Case t{s.ta, s.tb, s.m - less, s.n, s.k};
      CAPTURE(t.m);
      CAPTURE(t.n);
      CHECK(detail::suits_blocked_gemm<T>(t.ta, t.tb, t.m, t.n, t.k) == (less == 0));
      const Operands<T> in(t);
      std::vector<T> c(static_cast<std::size_t>(t.m * in.ldc), T(0.5));
      gemm(t.ta, t.tb, t.m, t.n, t.k, in.a.data(), in.lda, in.b.data(), in.ldb, c.data(), in.ldc, false);
      CHECK(worst_error(t, in, c, false, t.m < 100 ? 1 : 13) <= static_cast<double>(t.k + 1));
      if (less == 0) CHECK(same(c, product(t, in, false)));
    }
}

}  // namespace rw
