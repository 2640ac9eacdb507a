#include <cmath>
#include <cstring>
#include <vector>

#include <doctest/doctest.h>

#include <rewind/core/gemm/bf16.h>
#include <rewind/core/gemm/gemm.h>
#include <rewind/core/random.h>
#include <rewind/core/threads.h>

using rw::Index;

namespace {

/// Numbers of 8 significant bits.
std::vector<float> halves(Index n, std::uint64_t seed) {
  rw::Rng rng(seed);
  std::vector<float> x(static_cast<std::size_t>(n));
  for (float& v : x) v = static_cast<float>(std::round(rng.uniform(-127, 127)) / 128);
  return x;
}

struct Size {
  Index m, n, k;
};

}  // namespace

TEST_CASE("products that oneDNN runs in bf16 are those of f32, for every form") {
  if (!rw::detail::has_bf16()) return;
  for (const Size& s : {Size{1, 1, 1}, Size{5, 33, 17}, Size{64, 256, 96}, Size{130, 600, 400}}) {
    for (const bool ta : {false, true}) {
      for (const bool tb : {false, true}) {
        for (const bool add : {false, true}) {
          CAPTURE(s.m);
          CAPTURE(ta);
          CAPTURE(tb);
          CAPTURE(add);
          const Index lda = (ta ? s.m : s.k) + 3, ldb = (tb ? s.k : s.n) + 5, ldc = s.n + 2;
          const auto a = halves((ta ? s.k : s.m) * lda, 1), b = halves((tb ? s.n : s.k) * ldb, 2);
          std::vector<float> c = halves(s.m * ldc, 3), expected = c;
          rw::gemm(ta, tb, s.m, s.n, s.k, a.data(), lda, b.data(), ldb, expected.data(), ldc, add);
          rw::detail::Bf16Product product(ta, tb, s.m, s.n, s.k, ldb, ldc, add);
          product.pack(b.data());
          product.run(a.data(), lda, c.data());
          double worst = 0;
          for (std::size_t i = 0; i < c.size(); ++i)
            worst = std::max(worst, static_cast<double>(std::abs(c[i] - expected[i])));
          CHECK(worst <= 1e-6 * static_cast<double>(s.k));  // what lies beside c is as it was
        }
      }
    }
  }
}

TEST_CASE("products in bf16 have the same bits on any number of threads") {
  if (!rw::detail::has_bf16()) return;
  const int threads = rw::threads();
  const Index m = 300, n = 600, k = 400;
  const auto a = halves(m * k, 1), b = halves(k * n, 2);
  std::vector<float> first(m * n), again(m * n);
  rw::detail::Bf16Product product(false, false, m, n, k, n, n, false);
  for (const int count : {1, 2, 3}) {
    rw::set_threads(count);
    product.pack(b.data());
    product.run(a.data(), k, again.data());
    if (count == 1) first = again;
    CHECK(std::memcmp(first.data(), again.data(), again.size() * sizeof(float)) == 0);
  }
  rw::set_threads(threads);
}
