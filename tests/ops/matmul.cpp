#include <doctest/doctest.h>

#include <rewind/core/error.h>
#include <rewind/ops/matmul.h>
#include <rewind/tools/gradcheck/check_op.h>

using namespace rw;

namespace {

// Plain loops over stacks of matrices; b may be one matrix for all.
Array product(const Array& a, const Array& b, bool ta, bool tb) {
  const int ra = a.shape().rank(), rb = b.shape().rank();
  const Index rows = a.shape()[ra - 2], cols = a.shape()[ra - 1], b_rows = b.shape()[rb - 2],
              b_cols = b.shape()[rb - 1];
  const Index m = ta ? cols : rows, k = ta ? rows : cols, n = tb ? b_rows : b_cols;
  Array y(a.shape().with(ra - 2, m).with(ra - 1, n), DType::f64);
  Index stacked = 1;
  for (int i = 0; i + 2 < ra; ++i) stacked *= a.shape()[i];
  const auto at = [](Index i) { return static_cast<std::size_t>(i); };
  for (Index s = 0; s < stacked; ++s)
    for (Index i = 0; i < m; ++i)
      for (Index j = 0; j < n; ++j) {
        double sum = 0;
        const double* pa = a.span<double>().data() + s * rows * cols;
        const double* pb = b.span<double>().data() + (rb > 2 ? s * b_rows * b_cols : 0);
        for (Index l = 0; l < k; ++l)
          sum += pa[ta ? l * cols + i : i * cols + l] * pb[tb ? j * b_cols + l : l * b_cols + j];
        y.span<double>()[at((s * m + i) * n + j)] = sum;
      }
  return y;
}

OpReport check_product(bool ta, bool tb, OpCheck check) {
  check.no_zero_gradients = "sums of products add 0 times what is not finite";
  return check_op(
      "matmul", [&](Tensor a, Tensor b) { return matmul(a, b, {.transpose_a = ta, .transpose_b = tb}); },
      [&](const Array& a, const Array& b) { return product(a, b, ta, tb); }, check);
}

}  // namespace

TEST_CASE("matmul: every transposition, stacks, empty axes") {
  const std::vector<std::vector<Shape>> bad = {{{2, 3}, {4, 5}}, {{3}, {3, 2}}, {{2, 3, 4}, {3, 4, 2}}, {{2, 3}, {3}}};
  CHECK(check_product(false, false,
                      {.shapes = {{{2, 3}, {3, 4}},
                                  {{1, 1}, {1, 1}},
                                  {{0, 3}, {3, 2}},
                                  {{2, 0}, {0, 3}},
                                  {{2, 3}, {3, 0}},
                                  {{2, 2, 3}, {3, 2}},
                                  {{2, 2, 3}, {2, 3, 2}},
                                  {{1, 2, 1, 3}, {1, 2, 3, 1}},
                                  {{0, 2, 3}, {3, 2}}},
                       .bad = bad}));
  CHECK(check_product(true, false, {.shapes = {{{3, 2}, {3, 4}}, {{2, 3, 2}, {2, 3, 1}}}, .bad = {{{2, 3}, {3, 2}}}}));
  CHECK(check_product(
      false, true,
      {.shapes = {{{2, 3}, {4, 3}}, {{2, 1, 3}, {2, 4, 3}}, {{2, 2, 3}, {4, 3}}}, .bad = {{{2, 3}, {3, 2}}}}));
  CHECK(check_product(true, true, {.shapes = {{{3, 2}, {4, 3}}, {{2, 3, 2}, {2, 1, 3}}}, .bad = {{{2, 3}, {2, 3}}}}));
  CHECK(check_product(true, false, {.shapes = {{{3, 2}, {3, 1}}}, .bad = {{{2, 3, 4}, {3, 5}}}}));
}

TEST_CASE("the message of a product that does not fit") {
  Tape tape;
  const Scope scope(tape, "lstm");
  CHECK_THROWS_WITH_AS(matmul(tape.constant(0, Shape{32, 128}), tape.constant(0, Shape{64, 256})),
                       "[matmul] inner dimensions differ: (32, 128) x (64, 256), in lstm", Error);
}
