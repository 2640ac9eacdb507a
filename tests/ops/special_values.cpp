// What is not chosen has no say: recorded, plain and compiled gradients where slopes are infinite or nan.
#include <cmath>
#include <limits>
#include <vector>

#include <doctest/doctest.h>

#include <rewind/autograd/backward.h>
#include <rewind/autograd/compile/compile.h>
#include <rewind/ops/ops.h>

using namespace rw;

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity(),
                 not_a_number = std::numeric_limits<double>::quiet_NaN();

// The gradient of a sum of f at x: as `grad` records it, as a plain backward, compiled, and in both types.
template <class F>
std::vector<Array> gradients(const Array& x, F f) {
  std::vector<Array> found;
  for (const DType dtype : {DType::f64, DType::f32}) {
    Tape tape(dtype);
    const Tensor recorded = tape.variable(x), plain = tape.variable(x);
    found.push_back(grad(sum(f(recorded)), recorded).array());
    backward(sum(f(plain)), {.keep_grads = true});
    found.emplace_back(tape.grad(plain));
    for (const Passes passes : {Passes::exact(), Passes::all()}) {
      auto compiled = compile([&](Tape&, Tensor t) { return grad(sum(f(t)), t); },
                              {.dtype = dtype, .passes = passes, .verify = true}, x);
      found.push_back(compiled(x).array());
    }
  }
  return found;
}

template <class F>
void check_gradient(const std::vector<double>& x, const std::vector<double>& expected, F f) {
  for (const Array& g : gradients(Array(x), f)) {
    const std::vector<double> found = g.to_vector<double>();
    REQUIRE(found.size() == expected.size());
    for (std::size_t i = 0; i < found.size(); ++i) {
      CAPTURE(i);
      if (std::isfinite(expected[i]))
        CHECK(found[i] == doctest::Approx(expected[i]).epsilon(1e-6));
      else
        CHECK(found[i] == expected[i]);
    }
  }
}

}  // namespace

TEST_CASE("where: a slope on the side that was not chosen") {
  check_gradient({1, 4}, {1, 1}, [](Tensor x) { return where(x >= 0, x, sqrt(-x)); });
  check_gradient({-1, -4}, {-0.5, -0.25}, [](Tensor x) { return where(x >= 0, x, sqrt(-x)); });
  check_gradient({0, 1, std::exp(-2.0)}, {0, 1, -1}, [](Tensor p) { return where(p > 0, p * log(p), 0); });
  check_gradient({0, 2}, {0, -0.25}, [](Tensor x) { return where(x > 0, 1 / x, 0); });
  check_gradient({0, 4}, {0, -0.0625}, [](Tensor x) { return where(x > 0, pow(x, -0.5), 0); });
  check_gradient({-1, 1}, {0, 1}, [](Tensor x) { return where(x > 0, tanh(log(x)), 0); });
  check_gradient({1e3, 0}, {1, 1}, [](Tensor x) { return where(x > 1, x, exp(square(x)) - 1 + x); });
}

TEST_CASE("masks, clamps, extremes and relu: the same") {
  check_gradient({0, 4}, {0, 0.25}, [](Tensor x) { return clamp(sqrt(x), 1, 3); });
  check_gradient({0, 4}, {0, 0.25}, [](Tensor x) { return maximum(sqrt(x), 0.5); });
  check_gradient({0, 4}, {0, 0.25}, [](Tensor x) { return max(sqrt(x), {0}); });
  check_gradient({0, 4}, {0, 0.25}, [](Tensor x) { return relu(sqrt(x) - 1); });
  check_gradient({0, 4}, {0, 0.25}, [](Tensor x) { return sqrt(x) * (x > 1); });
  check_gradient({0, 4}, {0, 0}, [](Tensor x) { return pow(sqrt(x), 0.0); });
  check_gradient({0, 0}, {0, 0}, [](Tensor x) { return abs(sqrt(x)); });
  check_gradient({0, 4}, {0, 0.25}, [](Tensor x) { return topk(sqrt(x), 1); });
}

TEST_CASE("log scales: impossible states get no gradient") {
  check_gradient({-infinity, -infinity, 2}, {0, 0, 1}, [](Tensor x) {
    const Tensor impossible = logsumexp(slice(x, 0, 0, 2), 0, true);
    return logsumexp(concat({impossible, slice(x, 0, 2, 1)}));
  });
  check_gradient({-infinity, -infinity, 2}, {0, 0, 1}, [](Tensor x) {
    const Tensor rows = reshape(concat({x, -infinity * (x.tape().constant(1, Shape{1}))}), {2, 2});
    return logsumexp(logsumexp(rows, 1));
  });
  check_gradient({-infinity, 0, 0}, {0, -0.25, 0.25}, [](Tensor x) { return slice(softmax(x), 0, 2, 1); });
  check_gradient({-infinity, 0, 0}, {0, -0.5, 0.5}, [](Tensor x) { return slice(log_softmax(x), 0, 2, 1); });
  check_gradient({-infinity, 0, 0}, {0, 0.5, -0.5}, [](Tensor x) {
    const Tensor target = x.tape().constant(Array({std::int32_t{2}}, Shape{}));
    return cross_entropy(x, target);
  });
}

TEST_CASE("second derivatives of what was not chosen") {
  const auto slope = [](Tensor x, const auto& f) { return grad(sum(f(x)), x); };
  check_gradient({1, 4}, {0, 0},
                 [&](Tensor x) { return slope(x, [](Tensor t) { return where(t >= 0, t, sqrt(-t)); }) + 0 * x; });
  check_gradient({0, 2}, {0, 0.5},
                 [&](Tensor x) { return slope(x, [](Tensor p) { return where(p > 0, p * log(p), 0); }) + 0 * x; });
}

TEST_CASE("forward mode, as the gradient of a gradient, survives cotangents that cancel") {
  Tape tape(DType::f64);
  const Tensor h = tape.variable(Array({0.5, 2.0}, Shape{2})), dy = tape.variable(Array({0.0, 0.0}, Shape{2}));
  const Tensor back = grad(times0(h, log(h)), h, {.cotangent = dy});
  CHECK(grad(sum(back), dy).array().at({1}) == doctest::Approx(std::log(2.0) + 1));
}

TEST_CASE("compile leaves out what is times0 of 0") {
  const Array x({1.0f, 2.0f}, Shape{2});
  auto f = compile([](Tape&, Tensor t) { return times0(exp(t) * log(t), 0) + t; }, x);
  const Tape graph = f.graph();
  for (NodeId i = 0; i < graph.size(); ++i) CHECK(graph.node(i).info->name != "exp");
  CHECK(f(x).array() == x);
}

TEST_CASE("activations at infinities: limits and their slopes") {
  struct Case {
    const char* name;
    Tensor (*f)(Operand);
    double below, above, slope_below, slope_above;
  };
  const Case cases[] = {{"tanh", tanh, -1, 1, 0, 0},
                        {"sigmoid", sigmoid, 0, 1, 0, 0},
                        {"log_sigmoid", log_sigmoid, -infinity, 0, 1, 0},
                        {"relu", relu, 0, infinity, 0, 1},
                        {"softplus", softplus, 0, infinity, 0, 1},
                        {"gelu", gelu, 0, infinity, 0, 1},
                        {"erf", erf, -1, 1, 0, 0},
                        {"normal_cdf", normal_cdf, 0, 1, 0, 0},
                        {"normal_pdf", normal_pdf, 0, 0, 0, 0},
                        {"exp", exp, 0, infinity, 0, infinity},
                        {"expm1", expm1, -1, infinity, 0, infinity}};
  for (const Case& c : cases) {
    CAPTURE(c.name);
    Tape tape(DType::f64);
    const Tensor x = tape.constant(Array({-infinity, infinity}, Shape{2}));
    CHECK(c.f(x).array() == Array({c.below, c.above}, Shape{2}));
    check_gradient({-infinity, infinity}, {c.slope_below, c.slope_above}, c.f);
    CHECK(std::isnan(c.f(tape.constant(not_a_number)).item()));
  }
}

TEST_CASE("norm: at 0, at the ends of the numbers, along an axis") {
  check_gradient({0, 0}, {0, 0}, [](Tensor x) { return norm(x); });
  check_gradient({3, -4}, {0.6, -0.8}, [](Tensor x) { return norm(x); });
  check_gradient({3, -4, 0, 0}, {0.6, -0.8, 0, 0}, [](Tensor x) { return norm(reshape(x, {2, 2}), 1); });
  for (const double size : {1e300, 1e-310, 1.0}) {
    Tape tape(DType::f64);
    const Tensor x = tape.variable(Array({3 * size, 4 * size}, Shape{2}));
    const Tensor y = norm(x);
    CHECK(y.item() == doctest::Approx(5 * size).epsilon(1e-14));
    CHECK(grad(y, x).array().at({1}) == doctest::Approx(0.8));
  }
  Tape tape;
  CHECK(norm(tape.constant(3e38, Shape{1})).item() == doctest::Approx(3e38));
  CHECK(norm(tape.constant(Array({infinity, 1.0}, Shape{2}))).item() == infinity);
  CHECK(std::isnan(norm(tape.constant(Array({not_a_number, 1.0}, Shape{2}))).item()));
  CHECK(norm(tape.constant(Array(Shape{2, 0})), 1).array() == Array(Shape{2}));
}
