#include <algorithm>
#include <cmath>
#include <cstring>
#include <dlfcn.h>
#include <filesystem>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <rewind/core/error.h>
#include <rewind/core/gemm/gemm.h>
#include <rewind/core/threads.h>
#include <rewind/core/vector_loop.h>

#include "numbers.h"

using rw::ConstView;
using rw::Index;
using rw::numbers;
using rw::Shape;
using rw::View;

namespace {

/// A matrix within wider rows, so that what lies beside it shows when it is touched.
template <class T>
struct Matrix {
  Matrix(Index m, Index n, std::uint64_t seed, Index gap = 3)
      : rows(m), cols(n), stride(n + gap), data(numbers<T>(m * (n + gap) + 1, seed)) {}
  T& operator()(Index i, Index j) { return data[static_cast<std::size_t>(i * stride + j)]; }
  T operator()(Index i, Index j) const { return data[static_cast<std::size_t>(i * stride + j)]; }
  operator ConstView() const { return {data.data(), Shape{rows, cols}, stride, rw::dtype_of<T>}; }
  operator View() { return {data.data(), Shape{rows, cols}, stride, rw::dtype_of<T>}; }
  Index rows, cols, stride;
  std::vector<T> data;
};

struct Size {
  Index m, n, k;
};
// Around every edge of the kernels, the choice of the library, and the cut into blocks.
const std::vector<Size> sizes = {{1, 1, 1},       {1, 64, 16},     {1, 16, 64},  {16, 64, 1},   {2, 3, 5},
                                 {3, 33, 17},     {4, 130, 9},     {5, 15, 31},  {7, 65, 33},   {1, 300, 70},
                                 {16, 128, 32},   {50, 65, 40},    {9, 10, 200}, {64, 96, 100}, {1, 700, 900},
                                 {33, 1100, 520}, {1500, 40, 300}, {2, 1, 5},    {17, 1, 33},   {64, 1, 64},
                                 {900, 1, 700},   {17, 33, 1}};

template <class T>
void check_product(Size s, bool ta, bool tb, bool accumulate) {
  CAPTURE(s.m);
  CAPTURE(s.n);
  CAPTURE(s.k);
  CAPTURE(ta);
  CAPTURE(tb);
  const Matrix<T> a(ta ? s.k : s.m, ta ? s.m : s.k, 1), b(tb ? s.n : s.k, tb ? s.k : s.n, 2, 5);
  Matrix<T> c(s.m, s.n, 3);
  const Matrix<T> before = c;
  rw::gemm(a, ta, b, tb, c, accumulate);
  const double unit = std::is_same_v<T, float> ? 0x1p-24 : 0x1p-53;
  double worst = 0;  // error, in roundings of the sum of sizes
  for (Index i = 0; i < s.m; ++i) {
    for (Index j = 0; j < s.n; ++j) {
      long double want = accumulate ? before(i, j) : T(0), size = std::abs(want);
      for (Index p = 0; p < s.k; ++p) {
        const long double x = static_cast<long double>(ta ? a(p, i) : a(i, p)) * (tb ? b(j, p) : b(p, j));
        want += x;
        size += std::abs(x);
      }
      worst = std::max(worst, static_cast<double>(std::abs(c(i, j) - want) / (size * unit)));
    }
    for (Index j = s.n; j < c.stride; ++j) CHECK(c(i, j) == before(i, j));
  }
  CHECK(worst <= static_cast<double>(s.k + 1));
}

}  // namespace

TEST_CASE_TEMPLATE("every form and size is the product, and touches nothing else", T, float, double) {
  for (const Size& s : sizes) {
    if (s.m * s.n * s.k > 400'000 && std::is_same_v<T, double>) continue;
    for (bool ta : {false, true}) {
      for (bool tb : {false, true}) {
        for (bool accumulate : {false, true}) check_product<T>(s, ta, tb, accumulate);
      }
    }
  }
}

TEST_CASE_TEMPLATE("empty sizes: k == 0 makes zeros, or adds nothing", T, float, double) {
  const Matrix<T> a(3, 0, 1), b(0, 4, 2);
  Matrix<T> c(3, 4, 3);
  const Matrix<T> before = c;
  rw::gemm(a, false, b, false, c, true);
  CHECK(c.data == before.data);
  rw::gemm(a, false, b, false, c, false);
  for (Index i = 0; i < 3; ++i) {
    for (Index j = 0; j < 4; ++j) CHECK(c(i, j) == 0);
    CHECK(c(i, 4) == before(i, 4));
  }
  Matrix<T> none(0, 4, 4);
  rw::gemm(Matrix<T>(0, 5, 1), false, Matrix<T>(5, 4, 1), false, none);
}

TEST_CASE_TEMPLATE("the bits do not depend on the number of threads, nor on the run", T, float, double) {
  const int threads = rw::threads();
  for (const Size& s :
       {Size{70, 2100, 300}, Size{2300, 70, 300}, Size{1, 2500, 900}, Size{40, 1100, 1030}, Size{16, 128, 32}}) {
    for (bool ta : {false, true}) {
      for (bool tb : {false, true}) {
        const Matrix<T> a(ta ? s.k : s.m, ta ? s.m : s.k, 1), b(tb ? s.n : s.k, tb ? s.k : s.n, 2);
        Matrix<T> first(s.m, s.n, 3), c(s.m, s.n, 3);
        rw::set_threads(1);
        rw::gemm(a, ta, b, tb, first);
        for (int n : {1, 2, 3, 5}) {
          rw::set_threads(n);
          rw::gemm(a, ta, b, tb, c);
          CHECK(std::memcmp(c.data.data(), first.data.data(), c.data.size() * sizeof(T)) == 0);
        }
      }
    }
  }
  rw::set_threads(threads);
}

// That bits are the same for all instruction sets takes processes of their own: tools/distributed.
TEST_CASE_TEMPLATE("products with portable bits are the product, for any number of threads", T, float, double) {
  rw::set_portable_bits(true);
  CHECK(rw::portable_bits());
  for (const Size& s : sizes)
    if (s.m * s.n * s.k <= 400'000)
      for (bool ta : {false, true})
        for (bool tb : {false, true}) check_product<T>(s, ta, tb, ta != tb);
  const int threads = rw::threads();
  const Matrix<T> a(70, 300, 1), b(300, 2100, 2);
  Matrix<T> one(70, 2100, 3), three(70, 2100, 3);
  rw::set_threads(1);
  rw::gemm(a, false, b, false, one);
  rw::set_threads(3);
  rw::gemm(a, false, b, false, three);
  CHECK(one.data == three.data);
  rw::set_threads(threads);
  rw::set_portable_bits(false);
}

TEST_CASE_TEMPLATE("in small products, rows do not depend on each other, and accumulating adds the product", T, float,
                   double) {
  if (rw::active_isa() == rw::Isa::baseline) return;  // the libraries do all products
  for (bool tb : {false, true}) {
    for (bool ta : {false, true}) {
      if (ta && tb) continue;
      const Index m = 7, n = 37, k = 45;
      const Matrix<T> a(ta ? k : m, ta ? m : k, 1), b(tb ? n : k, tb ? k : n, 2);
      Matrix<T> c(m, n, 3), added(m, n, 4);
      const Matrix<T> before = added;
      rw::gemm(a, ta, b, tb, c);
      rw::gemm(a, ta, b, tb, added, true);
      for (Index i = 0; i < m; ++i) {
        std::vector<T> row(static_cast<std::size_t>(n));
        rw::gemm(ta, tb, 1, n, k, &a.data[static_cast<std::size_t>(ta ? i : i * a.stride)], a.stride, b.data.data(),
                 b.stride, row.data(), n, false);
        for (Index j = 0; j < n; ++j) {
          CHECK(row[static_cast<std::size_t>(j)] == c(i, j));
          CHECK(added(i, j) == before(i, j) + c(i, j));
        }
      }
    }
  }
}

TEST_CASE_TEMPLATE("the bits of a column, and of what a column and a row make, do not depend on strides", T, float,
                   double) {
  for (const Size& s : {Size{5, 1, 9}, Size{70, 1, 130}, Size{900, 1, 700}, Size{17, 33, 1}})
    for (const bool ta : {false, true})
      for (const bool tb : {false, true})
        for (const bool accumulate : {false, true}) {
          CAPTURE(s.m);
          const Matrix<T> a(ta ? s.k : s.m, ta ? s.m : s.k, 1);
          Matrix<T> b(tb ? s.n : s.k, tb ? s.k : s.n, 2, 0), wide_b(b.rows, b.cols, 3, 4);
          Matrix<T> c(s.m, s.n, 4, 0), wide_c(s.m, s.n, 5, 6);
          for (Index i = 0; i < b.rows; ++i)
            for (Index j = 0; j < b.cols; ++j) wide_b(i, j) = b(i, j);
          for (Index i = 0; i < s.m; ++i)
            for (Index j = 0; j < s.n; ++j) wide_c(i, j) = c(i, j);
          rw::gemm(a, ta, b, tb, c, accumulate);
          rw::gemm(a, ta, wide_b, tb, wide_c, accumulate);
          for (Index i = 0; i < s.m; ++i)
            for (Index j = 0; j < s.n; ++j) CHECK(wide_c(i, j) == c(i, j));
        }
}

TEST_CASE("shapes and types that do not fit are errors that name them") {
  const Matrix<float> a(2, 3, 1), b(4, 5, 2);
  Matrix<float> c(2, 5, 3);
  CHECK_THROWS_WITH_AS(rw::gemm(a, false, b, false, c), "[gemm] shapes do not fit: (2, 3) x (4, 5) -> (2, 5)",
                       rw::Error);
  CHECK_THROWS_WITH_AS(rw::gemm(a, true, b, true, c), doctest::Contains("(2, 3)' x (4, 5)'"), rw::Error);
  CHECK_THROWS_AS(rw::gemm(a, false, Matrix<float>(3, 4, 1), false, c), rw::Error);
  CHECK_THROWS_WITH_AS(rw::gemm(a, false, Matrix<double>(3, 5, 1), false, c), doctest::Contains("f32 x f64 -> f32"),
                       rw::Error);
  ConstView vector = a;
  vector.shape = Shape{6};
  CHECK_THROWS_AS(rw::gemm(vector, false, b, false, c), rw::Error);
}

TEST_CASE("f64 products: no thread of OpenMP's takes part, and its settings change no bit") {
  const auto set = reinterpret_cast<void (*)(int)>(dlsym(RTLD_DEFAULT, "omp_set_num_threads"));
  if (set == nullptr) {
    MESSAGE("skipped: no OpenMP is loaded");
    return;
  }
  const auto tasks = [] { return std::distance(std::filesystem::directory_iterator("/proc/self/task"), {}); };
  const int threads = rw::threads();
  rw::set_threads(1);
  std::vector<double> first;
  for (const int omp : {1, 2, 3, 8}) {
    set(omp);
    const auto before = tasks();
    const Matrix<double> a(300, 260, 1), b(260, 310, 2);
    Matrix<double> c(300, 310, 3);
    rw::gemm(ConstView(a), false, ConstView(b), false, View(c), false);
    CHECK(tasks() == before);
    if (first.empty()) first = c.data;
    CHECK(c.data == first);
  }
  set(1);
  rw::set_threads(threads);
}
