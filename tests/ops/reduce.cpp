#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include <doctest/doctest.h>

#include <rewind/autograd/backward.h>
#include <rewind/core/error.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/reduce.h>
#include <rewind/ops/view.h>
#include <rewind/tools/gradcheck/check_op.h>

using namespace rw;

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity(),
                 not_a_number = std::numeric_limits<double>::quiet_NaN();

using Fold = std::function<double(const std::vector<double>&)>;

// Folds, of a rank 3 array, what differs along the axes that `gone` names; `keep` leaves them with length 1.
Array reference(const Array& x, std::array<bool, 3> gone, bool keep, const Fold& fold) {
  Shape out, kept;
  for (int a = 0; a < 3; ++a) {
    kept = kept.inserted(a, gone[static_cast<std::size_t>(a)] ? 1 : x.shape()[a]);
    if (keep || !gone[static_cast<std::size_t>(a)]) out = out.inserted(out.rank(), kept[a]);
  }
  std::vector<std::vector<double>> groups(static_cast<std::size_t>(kept.size()));
  for (Index i = 0; i < x.size(); ++i) {
    Index rest = i, stride = 1, to = 0;
    for (int a = 2; a >= 0; --a) {
      if (kept[a] != 1) to += rest % x.shape()[a] * stride;
      rest /= x.shape()[a];
      stride *= kept[a];
    }
    groups[static_cast<std::size_t>(to)].push_back(x.span<double>()[static_cast<std::size_t>(i)]);
  }
  Array y(out, DType::f64);
  for (std::size_t i = 0; i < groups.size(); ++i) y.span<double>()[i] = fold(groups[i]);
  return y;
}

double total(const std::vector<double>& v) { return std::accumulate(v.begin(), v.end(), 0.0); }
double average(const std::vector<double>& v) { return total(v) / static_cast<double>(v.size()); }
double nan_or(double x, const std::vector<double>& v) {
  return std::any_of(v.begin(), v.end(), [](double e) { return std::isnan(e); }) ? not_a_number : x;
}
double largest(const std::vector<double>& v) { return nan_or(*std::max_element(v.begin(), v.end()), v); }
double smallest(const std::vector<double>& v) { return nan_or(*std::min_element(v.begin(), v.end()), v); }

template <class F>
void check_reduction(const std::string& name, const F& f, const Fold& fold) {
  const std::vector<std::vector<Shape>> shapes = {{{2, 3, 4}}, {{1, 3, 1}}, {{1, 1, 1}}, {{2, 1, 35}}};
  const OpCheck check{.shapes = shapes, .bad = {{{3}}}}, any{.shapes = shapes};
  const auto by = [&](std::array<bool, 3> gone, bool keep) {
    return [&fold, gone, keep](const Array& x) { return reference(x, gone, keep, fold); };
  };
  CHECK(check_op(
      name + " of all", [&](Tensor x) { return f(x, Axes::all(), false); }, by({true, true, true}, false), any));
  CHECK(check_op(
      name + " of the last", [&](Tensor x) { return f(x, -1, false); }, by({false, false, true}, false), any));
  CHECK(check_op(
      name + " of the first", [&](Tensor x) { return f(x, -3, false); }, by({true, false, false}, false), check));
  CHECK(check_op(
      name + " of the middle", [&](Tensor x) { return f(x, 1, true); }, by({false, true, false}, true), check));
  CHECK(check_op(
      name + " of two",
      [&](Tensor x) {
        return f(x, {0, -1}, false);
      },
      by({true, false, true}, false), any));
  CHECK(check_op(
      name + " of two, kept",
      [&](Tensor x) {
        return f(x, {2, 1}, true);
      },
      by({false, true, true}, true), check));
  CHECK(check_op(
      name + " of none", [&](Tensor x) { return f(x, {}, false); }, by({false, false, false}, false), any));
}

}  // namespace

TEST_CASE("sum") {
  check_reduction(
      "sum", [](Tensor x, const Axes& a, bool keep) { return sum(x, a, keep); }, total);
  CHECK(check_op(
      "sum of empty axes", [](Tensor x) { return sum(x, 1); },
      [](const Array& x) {
        return reference(x, {false, true, false}, false, total);
      },
      {.shapes = {{{2, 0, 3}}, {{0, 2, 3}}, {{2, 3, 0}}}}));
}

TEST_CASE("mean") {
  check_reduction(
      "mean", [](Tensor x, const Axes& a, bool keep) { return mean(x, a, keep); }, average);
  Tape tape;
  CHECK(std::isnan(mean(tape.constant(Array(Shape{0}))).item()));
  CHECK(mean(tape.constant(Array(Shape{3, 0, 2})), 0).shape() == Shape{0, 2});
}

TEST_CASE("norm") {
  check_reduction(
      "norm", [](Tensor x, const Axes& a, bool keep) { return norm(x, a, keep); },
      [](const std::vector<double>& v) {
        double size = 0;
        for (const double e : v) size = std::hypot(size, e);
        return size;
      });
}

TEST_CASE("max and min") {
  check_reduction(
      "max", [](Tensor x, const Axes& a, bool keep) { return max(x, a, keep); }, largest);
  check_reduction(
      "min", [](Tensor x, const Axes& a, bool keep) { return min(x, a, keep); }, smallest);
}

TEST_CASE("the forms without axes are those over all") {
  Tape tape(DType::f64);
  const Tensor x = tape.constant(Array({1.5, -2.0, 3.0, 4.0}, Shape{2, 2}));
  CHECK(sum(x).item() == 6.5);
  CHECK(mean(x).item() == 1.625);
  CHECK(max(x).item() == 4);
  CHECK(min(x).item() == -2);
  CHECK(sum(tape.constant(3.0)).item() == 3);
}

TEST_CASE("ties share the gradient of max and min equally") {
  Tape tape;
  const Tensor x = tape.variable(Array({1.0f, 5.0f, 5.0f, 0.0f, 5.0f, 0.0f}, Shape{2, 3}));
  CHECK(grad(sum(max(x, {1})), x).array() == Array({0.0f, 0.5f, 0.5f, 0.0f, 1.0f, 0.0f}, Shape{2, 3}));
  const Tensor third = grad(max(x), x);
  CHECK(third.array().at({0, 1}) == doctest::Approx(1.0 / 3));
  CHECK(grad(min(x), x).array() == Array({0.0f, 0.0f, 0.0f, 0.5f, 0.0f, 0.5f}, Shape{2, 3}));
}

TEST_CASE("max and min of nan, of infinities and of nothing") {
  Tape tape(DType::f64);
  for (Index place : {0, 7, 16, 20}) {
    Array x(Shape{21}, DType::f64);
    x.span<double>()[static_cast<std::size_t>(place)] = not_a_number;
    const Tensor t = tape.constant(x);
    CHECK(std::isnan(max(t).item()));
    CHECK(std::isnan(min(reshape(t, {7, 3}), {0}).array().at({place % 3})));
  }
  CHECK(max(tape.constant(-infinity, Shape{3})).item() == -infinity);
  CHECK(min(tape.constant(infinity, Shape{3})).item() == infinity);
  CHECK_THROWS_WITH_AS(max(tape.constant(Array(Shape{2, 0})), {1}),
                       "[max] nothing to choose from: (2, 0) over axes of length 0", Error);
  CHECK(max(tape.constant(Array(Shape{2, 0})), {0}).shape() == Shape{0});
}

TEST_CASE("axes that are not there") {
  Tape tape;
  const Tensor x = tape.constant(0, Shape{2, 3});
  CHECK_THROWS_WITH_AS(sum(x, 2), "[sum] no axis 2 in shape (2, 3)", Error);
  CHECK_THROWS_WITH_AS(mean(x, {0, -2}), "[mean] axis 0 of (2, 3) is named twice", Error);
  CHECK_THROWS_AS(max(x, {0, 1, 2, 3, 4, 5, 6}), Error);
}
