#include <cmath>
#include <cstdlib>
#include <vector>

#include <doctest/doctest.h>

#include <rewind/core/gemm/packed.h>
#include <rewind/core/memory.h>
#include <rewind/core/threads.h>

#include "numbers.h"

namespace rw {
namespace {

using Case = ProductCase;

std::vector<float> product(const Case& s, const std::vector<float>& a, const std::vector<float>& b, bool accumulate) {
  auto* packed =
      static_cast<float*>(detail::allocate_vectors(static_cast<std::size_t>(detail::packed_size(s.k, s.n)) * 4));
  detail::pack(s.tb, s.k, s.n, b.data(), s.tb ? s.k : s.n, packed);
  std::vector<float> c(static_cast<std::size_t>(s.m * (s.n + 3)), 0.5f);  // rows with a gap
  detail::packed_gemm(s.ta, s.m, s.n, s.k, a.data(), s.ta ? s.m : s.k, packed, c.data(), s.n + 3, accumulate);
  std::free(packed);
  return c;
}

}  // namespace

TEST_CASE("packed_gemm: every form and edge beside sums in double; gaps stay; the same bits for one thread and three") {
  if (!detail::has_packed_gemm()) return;
  const int before = threads();
  for (const bool ta : {false, true})
    for (const bool tb : {false, true})
      for (const Case s : {Case{ta, tb, 1, 1, 1}, Case{ta, tb, 5, 33, 15}, Case{ta, tb, 14, 64, 256},
                           Case{ta, tb, 29, 47, 273}, Case{ta, tb, 64, 160, 530}, Case{ta, tb, 400, 70, 300}}) {
        CAPTURE(ta);
        CAPTURE(tb);
        CAPTURE(s.m);
        const auto a = numbers<float>(s.m * s.k, 1), b = numbers<float>(s.k * s.n, 2);
        for (const bool accumulate : {false, true}) {
          set_threads(1);
          const auto c = product(s, a, b, accumulate);
          set_threads(3);
          CHECK(product(s, a, b, accumulate) == c);
          double worst = 0;
          bool gaps = true;
          for (Index i = 0; i < s.m; ++i) {
            for (Index j = 0; j < s.n; ++j) {
              double sum = accumulate ? 0.5 : 0;
              for (Index p = 0; p < s.k; ++p)
                sum += static_cast<double>(a[static_cast<std::size_t>(ta ? p * s.m + i : i * s.k + p)]) *
                       static_cast<double>(b[static_cast<std::size_t>(tb ? j * s.k + p : p * s.n + j)]);
              worst =
                  std::max(worst, std::abs(sum - static_cast<double>(c[static_cast<std::size_t>(i * (s.n + 3) + j)])));
            }
            for (Index j = s.n; j < s.n + 3; ++j) gaps = gaps && c[static_cast<std::size_t>(i * (s.n + 3) + j)] == 0.5f;
          }
          CHECK(worst < 2e-6 * std::sqrt(static_cast<double>(s.k)) + 1e-6);
          CHECK(gaps);
        }
      }
  set_threads(before);
}

}  // namespace rw
