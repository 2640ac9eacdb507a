#include <algorithm>
#include <cmath>
#include <limits>

#include <doctest/doctest.h>

#include <rewind/autograd/backward.h>
#include <rewind/core/error.h>
#include <rewind/core/threads.h>
#include <rewind/ops/reduce.h>
#include <rewind/ops/softmax.h>
#include <rewind/tools/gradcheck/check_op.h>

using namespace rw;

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

// f of every line along `axis`: line to line.
template <class F>
Array lines(const Array& x, int axis, F f) {
  Array y(x.shape(), DType::f64);
  Index outer = 1, inner = 1;
  const Index n = x.shape()[axis];
  for (int i = 0; i < x.shape().rank(); ++i) (i < axis ? outer : inner) *= i == axis ? 1 : x.shape()[i];
  for (Index o = 0; o < outer; ++o)
    for (Index i = 0; i < inner; ++i) {
      std::vector<double> line;
      const auto place = [&](Index k) { return static_cast<std::size_t>((o * n + k) * inner + i); };
      for (Index k = 0; k < n; ++k) line.push_back(x.span<double>()[place(k)]);
      line = f(line);
      for (Index k = 0; k < n; ++k) y.span<double>()[place(k)] = line[static_cast<std::size_t>(k)];
    }
  return y;
}

// The largest, or 0 when that is not finite, and the logarithm of the sum of exp of what is left without it.
std::pair<double, double> shifted_log_sum(const std::vector<double>& x) {
  double largest = -infinity, sum = 0;
  for (double e : x) largest = e > largest ? e : largest;
  if (!std::isfinite(largest)) largest = 0;
  for (double e : x) sum += std::exp(e - largest);
  return {largest, std::log(sum)};
}

double log_sum(const std::vector<double>& x) {
  const auto [largest, rest] = shifted_log_sum(x);
  return largest + rest;
}

std::vector<double> log_parts(std::vector<double> x) {
  const auto [largest, rest] = shifted_log_sum(x);
  for (double& e : x) e = (e - largest) - rest;
  return x;
}

std::vector<double> parts(std::vector<double> x) {
  x = log_parts(x);
  for (double& e : x) e = std::exp(e);
  return x;
}

Array log_sums(const Array& x, int axis, bool keep) {
  const Shape out = keep ? x.shape().with(axis, 1) : x.shape().without(axis);
  const Array all = lines(x, axis, [](std::vector<double> v) { return std::vector<double>(v.size(), log_sum(v)); });
  Array y(out, DType::f64);
  Index inner = 1;
  for (int i = axis + 1; i < x.shape().rank(); ++i) inner *= x.shape()[i];
  for (Index i = 0; i < y.size(); ++i)
    y.span<double>()[static_cast<std::size_t>(i)] =
        all.span<double>()[static_cast<std::size_t>(i / inner * inner * x.shape()[axis] + i % inner)];
  return y;
}

}  // namespace

TEST_CASE("softmax, log_softmax and logsumexp along the last axis") {
  const OpCheck check{.shapes = {{{2, 3}}, {{5}}, {{2, 1}}, {{1, 37}}, {{2, 2, 3}}, {{0, 3}}}, .bad = {{{}}}};
  const auto last = [](const Array& x) { return x.shape().rank() - 1; };
  CHECK(check_op(
      "softmax", [](Tensor x) { return softmax(x); }, [&](const Array& x) { return lines(x, last(x), parts); }, check));
  CHECK(check_op(
      "log_softmax", [](Tensor x) { return log_softmax(x); },
      [&](const Array& x) { return lines(x, last(x), log_parts); }, check));
  CHECK(check_op(
      "logsumexp", [](Tensor x) { return logsumexp(x); }, [&](const Array& x) { return log_sums(x, last(x), false); },
      check));
}

TEST_CASE("the same along other axes") {
  const OpCheck check{.shapes = {{{2, 3}}, {{2, 1, 2}}, {{2, 3, 2}}, {{3, 0}}}, .bad = {{{2}}, {{}}}};
  const auto middle = [](const Array& x) { return x.shape().rank() - 2; };
  CHECK(check_op(
      "softmax", [](Tensor x) { return softmax(x, -2); }, [&](const Array& x) { return lines(x, middle(x), parts); },
      check));
  CHECK(check_op(
      "log_softmax", [](Tensor x) { return log_softmax(x, -2); },
      [&](const Array& x) { return lines(x, middle(x), log_parts); }, check));
  CHECK(check_op(
      "logsumexp", [](Tensor x) { return logsumexp(x, -2); },
      [&](const Array& x) { return log_sums(x, middle(x), false); }, check));
  CHECK(check_op(
      "logsumexp, kept", [](Tensor x) { return logsumexp(x, -2, true); },
      [&](const Array& x) { return log_sums(x, middle(x), true); }, check));
}

TEST_CASE("stable at 1e4 and at infinities") {
  for (DType dtype : {DType::f32, DType::f64}) {
    Tape tape(dtype);
    const Tensor x = tape.variable(Array({1e4, -1e4, 1e4, 0.0}, Shape{4}));
    CHECK(softmax(x).array() == Array({0.5, 0.0, 0.5, 0.0}, Shape{4}).to(dtype));
    CHECK(logsumexp(x).item() == doctest::Approx(1e4 + std::log(2.0)));
    CHECK(log_softmax(x).array().at({1}) == doctest::Approx(-2e4 - std::log(2.0)));
    CHECK(grad(logsumexp(x), x).array() == softmax(x).array());
    tape.check_finite();
    const Tensor low = tape.constant(Array({-infinity, 0.0, -infinity}, Shape{3}));
    CHECK(softmax(low).array() == Array({0.0, 1.0, 0.0}, Shape{3}).to(dtype));
    CHECK(logsumexp(tape.constant(-infinity, Shape{2})).item() == -infinity);
    CHECK(logsumexp(tape.constant(Array({infinity, 0.0}, Shape{2}))).item() == infinity);
    CHECK(logsumexp(tape.constant(Array(Shape{2, 0}))).array() == Array({-infinity, -infinity}, Shape{2}).to(dtype));
  }
}

TEST_CASE("many rows give the same bits for any number of threads") {
  Array x(Shape{700, 65});
  for (std::size_t i = 0; i < x.span<float>().size(); ++i)
    x.span<float>()[i] = std::sin(static_cast<float>(i) * 0.7f) * 5;
  const int before = threads();
  std::vector<Array> results;
  for (int n : {1, 2, 3}) {
    set_threads(n);
    Tape tape;
    const Tensor t = tape.constant(x);
    for (const Tensor& y : {softmax(t), log_softmax(t), logsumexp(t)}) results.push_back(y.array());
  }
  set_threads(before);
  for (std::size_t i = 3; i < results.size(); ++i) CHECK(results[i] == results[i % 3]);
}

TEST_CASE("rows of any length") {
  for (Index n : {1, 7, 8, 15, 16, 17, 31, 64, 65, 4095, 4096, 4097, 10000}) {
    CAPTURE(n);
    Array x(Shape{2, n});
    for (std::size_t i = 0; i < x.span<float>().size(); ++i)
      x.span<float>()[i] = 3 * std::sin(static_cast<float>(i) * 1.7f);
    Tape tape;
    const Tensor t = tape.constant(x);
    const Array exact = lines(x.to(DType::f64), 1, log_parts), found = log_softmax(t).array(), p = softmax(t).array();
    for (Index i : {Index{0}, n / 2, n - 1}) {
      CHECK(found.at({1, i}) == doctest::Approx(exact.at({1, i})).epsilon(1e-6));
      CHECK(p.at({1, i}) == doctest::Approx(std::exp(exact.at({1, i}))).epsilon(2e-6));
    }
    CHECK(logsumexp(t).array().at({0}) == doctest::Approx(log_sums(x.to(DType::f64), 1, false).at({0})).epsilon(1e-6));
    CHECK(max(t, {1}).array().at({1}) == lines(x.to(DType::f64), 1, [](std::vector<double> v) {
                                           return std::vector<double>(v.size(), *std::max_element(v.begin(), v.end()));
                                         }).at({1, 0}));
  }
}
