#include <cmath>
#include <cstdint>

#include <doctest/doctest.h>

#include <rewind/autograd/backward.h>
#include <rewind/core/error.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/loss.h>
#include <rewind/ops/softmax.h>
#include <rewind/tools/gradcheck/check_op.h>

using namespace rw;

namespace {

// -log(softmax(x)[target]) of each row; `normalised`: the rows are log probabilities already.
Array losses(const Array& x, const Array& targets, bool normalised) {
  Array y(targets.shape(), DType::f64);
  const Index n = x.shape().cols();
  for (Index r = 0; r < y.size(); ++r) {
    const double* row = x.span<double>().data() + r * n;
    double largest = -INFINITY, sum = 0;
    for (Index i = 0; i < n; ++i) largest = row[i] > largest ? row[i] : largest;
    if (!std::isfinite(largest)) largest = 0;
    for (Index i = 0; i < n; ++i) sum += std::exp(row[i] - largest);
    const auto at = static_cast<std::size_t>(r);
    y.span<double>()[at] = normalised ? -row[targets.span<std::int32_t>()[at]]
                                      : std::log(sum) + (largest - row[targets.span<std::int32_t>()[at]]);
  }
  return y;
}

double total(const Array& x) {
  double sum = 0;
  for (double e : x.span<double>()) sum += e;
  return sum;
}

Array scalar(double x) { return full(Shape{}, x, DType::f64); }

const LossOptions each{.reduction = Reduction::none}, all{.reduction = Reduction::sum};

}  // namespace

TEST_CASE("cross_entropy and nll") {
  const OpCheck check{
      .shapes = {{{2, 3}, {2}}, {{3}, {}}, {{2, 2, 3}, {2, 2}}, {{0, 3}, {0}}, {{1, 3}, {1}}, {{2, 40}, {2}}},
      .domains = {{}, {.classes = 3}},
      .bad = {{{2, 3}, {3}}, {{2, 3}, {2, 3}}, {{}, {}}}};
  CHECK(check_op(
      "cross_entropy of each", [](Tensor x, Tensor t) { return cross_entropy(x, t, each); },
      [](const Array& x, const Array& t) { return losses(x, t, false); }, check));
  CHECK(check_op(
      "nll of each", [](Tensor x, Tensor t) { return nll(x, t, each); },
      [](const Array& x, const Array& t) { return losses(x, t, true); }, check));
  OpCheck whole = check;
  whole.shapes = {{{2, 3}, {2}}, {{2, 2, 3}, {2, 2}}};
  CHECK(check_op(
      "cross_entropy", [](Tensor x, Tensor t) { return cross_entropy(x, t); },
      [](const Array& x, const Array& t) { return scalar(total(losses(x, t, false)) / static_cast<double>(t.size())); },
      whole));
  CHECK(check_op(
      "nll, summed", [](Tensor x, Tensor t) { return nll(x, t, all); },
      [](const Array& x, const Array& t) { return scalar(total(losses(x, t, true))); }, whole));
}

TEST_CASE("cross_entropy is stable, and is nll of log_softmax") {
  for (DType dtype : {DType::f32, DType::f64}) {
    Tape tape(dtype);
    const Tensor x = tape.variable(Array({1e4, -1e4, 0.0, 1e4, 1e4, 1e4}, Shape{2, 3}));
    const Tensor wrong = tape.constant(Array(std::vector<std::int32_t>{1, 2}));
    const Tensor y = cross_entropy(x, wrong, each);
    CHECK(y.array().at({0}) == 2e4);
    CHECK(y.array().at({1}) == doctest::Approx(std::log(3.0)));
    CHECK(grad(cross_entropy(x, wrong, all), x).array().at({0, 1}) == -1);
    const Tensor right = tape.constant(Array(std::vector<std::int32_t>{0, 0}));
    CHECK(cross_entropy(x, right, each).array().at({0}) == 0);
    CHECK(cross_entropy(x, right).item() == doctest::Approx(nll(log_softmax(x), right).item()));
    tape.check_finite();
  }
}

TEST_CASE("losses of pairs, each by itself") {
  const std::vector<std::vector<Shape>> shapes = {{{2, 3}, {2, 3}}, {{}, {}}, {{4, 1}, {4, 1}}, {{0, 2}, {0, 2}}};
  const OpCheck check{.shapes = shapes, .bad = {{{2, 3}, {3}}, {{2, 1}, {2}}, {{2}, {}}}};
  OpCheck probabilities = check;
  probabilities.domains = {{}, {.lo = 0, .hi = 1}};
  probabilities.no_special_values = "targets are probabilities; infinite logits are tried below";
  const auto pairwise = [](double (*f)(double, double)) {
    return [f](const Array& a, const Array& b) {
      const Array both[] = {a, b};
      return broadcast_reference(both, [f](std::span<const double> e) { return f(e[0], e[1]); });
    };
  };
  CHECK(check_op(
      "mse", [](Tensor x, Tensor t) { return mse(x, t, each); },
      pairwise([](double x, double t) { return (x - t) * (x - t); }), check));
  CHECK(check_op(
      "l1", [](Tensor x, Tensor t) { return l1(x, t, each); },
      pairwise([](double x, double t) { return std::abs(x - t); }), check));
  CHECK(check_op(
      "huber", [](Tensor x, Tensor t) { return huber(x, t, 0.75, each); }, pairwise([](double x, double t) {
        const double d = std::abs(x - t);
        return d <= 0.75 ? 0.5 * d * d : 0.75 * (d - 0.375);
      }),
      check));
  CHECK(check_op(
      "binary_cross_entropy_with_logits",
      [](Tensor x, Tensor t) { return binary_cross_entropy_with_logits(x, t, each); }, pairwise([](double x, double t) {
        const double p = 1 / (1 + std::exp(-x));
        return -t * std::log(p) - (1 - t) * std::log(1 - p);
      }),
      probabilities));
}

TEST_CASE("mean, sum and weights") {
  Tape tape(DType::f64);
  const Tensor x = tape.variable(Array({1.0, 2.0, 3.0, 4.0, 5.0, 6.0}, Shape{2, 3}));
  const Tensor zero = tape.constant(0, Shape{2, 3});
  CHECK(mse(x, zero).item() == doctest::Approx(91.0 / 6));
  CHECK(mse(x, zero, all).item() == 91);
  const Tensor mask = tape.constant(Array({1.0, 0.0, 1.0}, Shape{3}));
  const Tensor masked = mse(x, zero, {.weights = mask});
  CHECK(masked.item() == (1 + 9 + 16 + 36) / 4.0);
  CHECK(grad(masked, x).array() == Array({0.5, 0.0, 1.5, 2.0, 0.0, 3.0}, Shape{2, 3}));
  CHECK(mse(x, zero, {.reduction = Reduction::sum, .weights = mask}).item() == 62);
  CHECK(mse(x, zero, {.reduction = Reduction::none, .weights = mask}).array().at({1, 2}) == 36);
  CHECK(l1(x, zero, {.weights = 2 * mask}).item() == (1 + 3 + 4 + 6) / 4.0);
  CHECK(std::isnan(l1(x, zero, {.weights = 0 * mask}).item()));
  CHECK_THROWS_WITH_AS(mse(x, zero, {.weights = tape.constant(1, Shape{4, 2, 3})}),
                       "[loss] weights (4, 2, 3) do not broadcast to the losses, (2, 3)", Error);
}

TEST_CASE("binary cross entropy is stable, and exact where the plain formula cancels") {
  for (DType dtype : {DType::f32, DType::f64}) {
    Tape tape(dtype);
    const Tensor x = tape.variable(Array({1e4, -1e4, 1e4, -1e4}, Shape{4}));
    const Tensor t = tape.constant(Array({1.0, 0.0, 0.0, 1.0}, Shape{4}));
    CHECK(binary_cross_entropy_with_logits(x, t, each).array() == Array({0.0, 0.0, 1e4, 1e4}, Shape{4}).to(dtype));
    CHECK(grad(binary_cross_entropy_with_logits(x, t, all), x).array() ==
          Array({0.0, 0.0, 1.0, -1.0}, Shape{4}).to(dtype));
    const Tensor certain = tape.variable(Array({INFINITY, -INFINITY, INFINITY}, Shape{3}));
    const Tensor truth = tape.constant(Array({1.0, 0.0, 0.0}, Shape{3}));
    CHECK(binary_cross_entropy_with_logits(certain, truth, each).array() ==
          Array({0.0, 0.0, static_cast<double>(INFINITY)}, Shape{3}).to(dtype));
    CHECK(grad(binary_cross_entropy_with_logits(certain, truth, all), certain).array() ==
          Array({0.0, 0.0, 1.0}, Shape{3}).to(dtype));
    const Tensor sure = tape.variable(full(Shape{}, 30));
    const Tensor y = binary_cross_entropy_with_logits(sure, tape.constant(1));
    CHECK(y.item() == doctest::Approx(std::exp(-30.0)).epsilon(1e-6));
    CHECK(grad(y, sure).item() == doctest::Approx(-std::exp(-30.0)).epsilon(1e-6));
  }
}

TEST_CASE("bad options and targets") {
  Tape tape;
  const Tensor x = tape.constant(0, Shape{2, 3});
  CHECK_THROWS_WITH_AS(huber(x, x, 0), "[huber] delta must be positive, not 0", Error);
  CHECK_THROWS_AS(huber(x, x, std::nan("")), Error);
  CHECK_THROWS_WITH_AS(cross_entropy(x, tape.constant(Array(std::vector<std::int32_t>{0, 3}))),
                       "[cross_entropy] index 3 at position 1 of (2) is outside [0, 3)", Error);
  CHECK_THROWS_AS(cross_entropy(x, tape.constant(0, Shape{2})), Error);
}
