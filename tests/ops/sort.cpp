#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include <doctest/doctest.h>

#include <rewind/autograd/backward.h>
#include <rewind/core/error.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/reduce.h>
#include <rewind/ops/sort.h>
#include <rewind/tools/gradcheck/check_op.h>

using namespace rw;

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity(),
                 not_a_number = std::numeric_limits<double>::quiet_NaN();

// The first `count` of each row, or of all, in order; nan is the largest.
Array ordered(const Array& x, Index count, bool descending) {
  const Index n = x.shape().cols();
  Array y(x.shape().with(x.shape().rank() - 1, count), DType::f64);
  for (Index r = 0; r < x.shape().rows(); ++r) {
    std::vector<double> row(x.span<double>().begin() + r * n, x.span<double>().begin() + (r + 1) * n);
    std::stable_sort(row.begin(), row.end(), [](double a, double b) { return a < b || (a == a && b != b); });
    if (descending) std::reverse(row.begin(), row.end());
    std::copy_n(row.begin(), count, y.span<double>().begin() + r * count);
  }
  return y;
}

}  // namespace

TEST_CASE("sort and topk") {
  const OpCheck check{.shapes = {{{2, 3}}, {{5}}, {{1, 1}}, {{2, 37}}, {{2, 2, 3}}, {{0, 3}}}, .bad = {{{}}}};
  CHECK(check_op(
      "sort", [](Tensor x) { return sort(x); }, [](const Array& x) { return ordered(x, x.shape().cols(), false); },
      check));
  CHECK(check_op(
      "sort, falling", [](Tensor x) { return sort(x, -1, true); },
      [](const Array& x) { return ordered(x, x.shape().cols(), true); }, check));
  CHECK(check_op(
      "topk", [](Tensor x) { return topk(x, 2); }, [](const Array& x) { return ordered(x, 2, true); },
      {.shapes = {{{2, 3}}, {{5}}, {{2, 2, 3}}, {{0, 3}}}, .bad = {{{1}}, {{2, 1}}}}));
}

TEST_CASE("along another axis, equal numbers, infinities and nan") {
  Tape tape(DType::f64);
  const Tensor x = tape.variable(Array({3.0, 1.0, 2.0, 2.0}, Shape{2, 2}));
  CHECK(sort(x, 0).array() == Array({2.0, 1.0, 3.0, 2.0}, Shape{2, 2}));
  const Tensor same = tape.variable(Array({7.0, 7.0, 5.0}, Shape{3}));
  CHECK(grad(sum(topk(same, 1)), same).array() == Array({1.0, 0.0, 0.0}, Shape{3}));
  const Tensor special = tape.constant(Array({not_a_number, -infinity, infinity, 0.0}, Shape{4}));
  const Array rising = sort(special).array(), largest = topk(special, 2).array();
  CHECK(rising.at({0}) == -infinity);
  CHECK(rising.at({2}) == infinity);
  CHECK(std::isnan(rising.at({3})));
  CHECK(std::isnan(largest.at({0})));
  CHECK(largest.at({1}) == infinity);
  CHECK_THROWS_WITH_AS(topk(special, 5), "[topk] no 5 numbers on axis 0 of (4)", Error);
  CHECK_THROWS_AS(topk(special, -1), Error);
}
