#include <cmath>
#include <limits>
#include <utility>

#include <doctest/doctest.h>

#include <rewind/autograd/compile/compile.h>
#include <rewind/autograd/compile/passes/passes.h>
#include <rewind/core/error.h>
#include <rewind/core/gemm/bf16.h>

#include "../hand_lstm.h"

namespace rw {
namespace {

using namespace rw::test;

const CompileOptions in_bf16{.matmul = Precision::bf16, .force_bf16 = true};

/// x to 8 significant bits, nearest even.
double rounded(double x) {
  if (x == 0 || !std::isfinite(x)) return x;
  int exponent = 0;
  std::frexp(x, &exponent);
  return std::ldexp(std::nearbyint(std::ldexp(x, 8 - exponent)), exponent - 8);
}

double relative_distance(const Array& a, const Array& b) {
  REQUIRE(a.shape() == b.shape());
  double apart = 0, size = 0;
  for (std::size_t i = 0; i < a.span<float>().size(); ++i) {
    const double x = a.span<float>()[i], y = b.span<float>()[i];
    apart += (x - y) * (x - y);
    size += y * y;
  }
  return std::sqrt(apart / size);
}

}  // namespace

TEST_CASE("bf16: a product is of rounded numbers, summed in f32") {
  for (const Index m : {1, 5, 70}) {
    const Index n = 33, k = 90;
    const Array a = random_array(Shape{m, k}, 1), b = random_array(Shape{k, n}, 2);
    auto product = compile([](Tape&, Tensor x, Tensor y) { return matmul(x, y); }, in_bf16, a, b);
    const Array c = product(a, b).array();
    double most = 0;
    for (Index i = 0; i < m; ++i) {
      for (Index j = 0; j < n; ++j) {
        double exact = 0, of_rounded = 0, size = 0;
        for (Index p = 0; p < k; ++p) {
          const double x = a.at({i, p}), y = b.at({p, j});
          exact += x * y;
          of_rounded += rounded(x) * rounded(y);
          size += std::abs(x * y);
        }
        CHECK(std::abs(c.at({i, j}) - of_rounded) <= static_cast<double>(k) * std::ldexp(1, -23) * size);
        CHECK(std::abs(c.at({i, j}) - exact) <= std::ldexp(1.01, -8) * size);  // half a unit for each factor
        most = std::max(most, std::abs(c.at({i, j}) - exact) / size);
      }
    }
    CHECK(most > std::ldexp(1, -14));
  }
}

TEST_CASE("bf16: what cannot be rounded") {
  const float infinite = std::numeric_limits<float>::infinity(), none = std::numeric_limits<float>::quiet_NaN();
  const std::vector<float> values{infinite, -infinite, none, 3.4e38f, 1e-40f, -0.0f, 1.00390625f, 1.01171875f};
  const Array x(std::span<const float>(values), Shape{8, 1});
  auto times_one = compile([](Tape& tape, Tensor a) { return matmul(a, tape.constant(1, Shape{1, 1})); }, in_bf16, x);
  const Array y = times_one(x).array();
  CHECK(y.at({0, 0}) == infinite);
  CHECK(y.at({1, 0}) == -infinite);
  CHECK(std::isnan(y.at({2, 0})));
  CHECK(y.at({3, 0}) == infinite);                // as f32 does beyond its largest number
  CHECK(std::abs(y.at({4, 0}) - 1e-40) < 5e-41);  // half a unit of the smallest numbers
  CHECK(y.at({5, 0}) == 0);
  CHECK(y.at({6, 0}) == 1);  // halfway: to even
  CHECK(y.at({7, 0}) == 1.015625);
}

TEST_CASE("bf16: an LSTM's loss and gradients are those of f32 within rounding, its parameters stay f32") {
  const Index T = 12, N = 6, I = 9, H = 20;
  HandLstm lstm(I, H);
  const Array x = random_array(Shape{T, N, I}, 7), zero(Shape{N, H});
  const auto run = [&](const CompileOptions& options) {
    auto step = compile(
        [&](Tape&, Tensor in, Tensor h, Tensor c) {
          const Tensor loss = sum_of_h(lstm.unroll(in, {h, c}));
          backward(loss);
          return loss;
        },
        options, x, zero, zero);
    std::vector<Array> out{step(x, zero, zero).array()};
    for (Parameter* p : {&lstm.W, &lstm.R, &lstm.b}) {
      CHECK(p->dtype() == DType::f32);
      out.push_back(p->grad());
      p->zero_grad();
    }
    std::size_t products = 0, roundings = 0;
    const Tape graph = step.graph();
    for (NodeId i = 0; i < graph.size(); ++i) {
      products += graph.node(i).info->product != nullptr;
      roundings += graph.node(i).info->name == "bf16";
    }
    CHECK(products <= static_cast<std::size_t>(2 * T + 4));
    // W, R, the inputs x and h, and of each step h, but the last, and the gradients of 4 gates: once each.
    if (options.matmul == Precision::bf16) CHECK(roundings == static_cast<std::size_t>(4 + (T - 1) + 4 * T));
    if (options.matmul == Precision::full) CHECK(roundings == 0);
    return out;
  };
  const auto full = run({}), half = run(in_bf16);
  for (std::size_t i = 0; i < full.size(); ++i) {
    CAPTURE(i);
    CHECK(relative_distance(half[i], full[i]) < std::ldexp(1, -8));
    CHECK(relative_distance(half[i], full[i]) > std::ldexp(1, -16));
  }
}

TEST_CASE("bf16: with products that oneDNN runs, an LSTM has the same loss and gradients") {
  if (!detail::has_bf16()) return;
  const Index T = 4, N = 20, I = 40, H = 64;
  HandLstm lstm(I, H);
  const Array x = random_array(Shape{T, N, I}, 7), zero(Shape{N, H});
  const auto run = [&](bool library) {
    const bool before = std::exchange(detail::bf16_is_faster(), library);
    auto step = compile(
        [&](Tape&, Tensor in, Tensor h, Tensor c) {
          const Tensor loss = sum_of_h(lstm.unroll(in, {h, c}));
          backward(loss);
          return loss;
        },
        in_bf16, x, zero, zero);
    detail::bf16_is_faster() = before;
    step(x, zero, zero);
    std::vector<Array> out{step(x, zero, zero).array()};  // gradients add up
    for (Parameter* p : {&lstm.W, &lstm.R, &lstm.b}) {
      out.push_back(p->grad());
      p->zero_grad();
    }
    return out;
  };
  const auto ours = run(false), library = run(true);
  for (std::size_t i = 0; i < ours.size(); ++i) CHECK(relative_distance(library[i], ours[i]) < 1e-3);
  CHECK(relative_distance(library[2], ours[2]) > 0);  // sums in another order
}

TEST_CASE("bf16 is refused for f64, and without AVX512_BF16 unless it is forced") {
  const Array x = random_array(Shape{2, 2}, 1, 1, DType::f64);
  const auto square = [](Tape&, Tensor a) { return matmul(a, a); };
  CHECK_THROWS_WITH_AS(compile(square, in_bf16, x),
                       "compile: {.matmul = Precision::bf16} is for f32 functions, and this one is f64: give it f32 "
                       "arguments or {.dtype = DType::f32}, or leave the option out",
                       Error);
  const CompileOptions unforced{.matmul = Precision::bf16};
  CHECK_THROWS_WITH_AS(ir::check_precision(unforced, DType::f32, false),
                       "compile: {.matmul = Precision::bf16} needs a processor with AVX512_BF16, and this one has "
                       "none: leave the option out, or round all the same with {.force_bf16 = true}, which is slower "
                       "than f32",
                       Error);
  CHECK_NOTHROW(ir::check_precision(unforced, DType::f32, true));
  CHECK_NOTHROW(ir::check_precision(in_bf16, DType::f32, false));
  CHECK_NOTHROW(ir::check_precision({}, DType::f64, false));
}

}  // namespace rw
