// Functions with rules of their own: custom_vjp, stop, checkpoint, fixed_point, argmin.
#include <cmath>

#include <doctest/doctest.h>

#include <rewind/autograd/compile/compile.h>
#include <rewind/autograd/detail/tape_data.h>
#include <rewind/autograd/transform/checkpoint.h>
#include <rewind/autograd/transform/custom_vjp.h>
#include <rewind/autograd/transform/implicit.h>
#include <rewind/autograd/transform/sparse.h>
#include <rewind/autograd/transform/vmap.h>
#include <rewind/ops/ops.h>
#include <rewind/tools/gradcheck/gradcheck.h>

#include "../support.h"

using namespace rw;
using test::error_of;
using test::list;
using test::numbers;

namespace {

bool close(const Tensor& a, const Tensor& b, double tolerance = 1e-13) {
  const std::vector<double> x = list(a.value()), y = list(b.value());
  for (std::size_t i = 0; i < x.size(); ++i)
    if (!(std::abs(x[i] - y[i]) <= tolerance * (1 + std::abs(y[i])))) return false;
  return a.shape() == b.shape();
}

}  // namespace

TEST_CASE("custom_vjp: the function's value and the rule's gradient, to any order") {
  Tape tape(DType::f64);
  const Tensor x = tape.variable(numbers({4}, 1, DType::f64));
  // log(1 + e^x) with a rule that does not overflow.
  const auto stable =
      custom_vjp([](Tensor a) { return log(exp(a) + 1); }, [](Tensor a, Tensor, Tensor dy) { return dy * sigmoid(a); });
  const auto plain = [](Tensor a) { return log(exp(a) + 1); };
  const auto total = [](auto f) { return [f](Tensor a) { return sum(square(f(a))); }; };
  CHECK(test::same_bits(stable(x).array(), plain(x).array()));
  CHECK(close(value_and_grad(total(stable), x).second, value_and_grad(total(plain), x).second));
  CHECK(close(hvp(total(stable), x, x), hvp(total(plain), x, x)));
  CHECK(close(jvp(stable, x, x).second, jvp(plain, x, x).second));
  CHECK(close(hessian(total(stable), x), hessian(total(plain), x)));
  CHECK(close(vmap(stable)(x), plain(x)));
  backward(sum(stable(x * 1)));
  CHECK(close(tape.constant(Array(tape.grad(x))), sigmoid(x)));
  CHECK(std::isfinite(
      list(value_and_grad([&](Tensor a) { return sum(stable(a)); }, tape.constant(1000, {1})).second.value())[0]));
}

TEST_CASE("custom_vjp of several arguments and results; and a rule that is another on purpose") {
  Tape tape(DType::f64);
  const Tensor a = tape.variable(numbers({2, 3}, 1, DType::f64)), b = tape.variable(numbers({3}, 2, DType::f64));
  const auto f = [](Tensor x, Tensor y) { return std::pair(x * y, sum(x, 0)); };
  const auto rule = [](const std::tuple<Tensor, Tensor>& x, const std::pair<Tensor, Tensor>&,
                       const std::pair<Tensor, Tensor>& dy) {
    const auto& [p, q] = x;
    return std::tuple(dy.first * q + dy.second, sum(dy.first * p, 0));
  };
  const auto own = custom_vjp(f, rule);
  const auto loss = [](auto g) {
    return [g](Tensor x, Tensor y) {
      const auto [p, q] = g(std::tuple(x, y));
      return sum(sin(p)) + sum(q * q);
    };
  };
  const auto tupled = [&](const std::tuple<Tensor, Tensor>& x) { return std::apply(f, x); };
  const auto [value, gradient] = value_and_grad(loss(own), std::tuple(a, b));
  const auto [same, expected] = value_and_grad(loss(tupled), std::tuple(a, b));
  CHECK(value.item() == same.item());
  CHECK(close(std::get<0>(gradient), std::get<0>(expected)));
  CHECK(close(std::get<1>(gradient), std::get<1>(expected)));
  // Straight through (Bengio, Leonard and Courville, 2013).
  const auto rounded = custom_vjp([](Tensor x) { return where(x > 0, 1.0, broadcast_to(0 * sum(x), x.shape())); },
                                  [](Tensor, Tensor, Tensor dy) { return dy; });
  CHECK(list(value_and_grad([&](Tensor x) { return sum(rounded(x) * 3); }, b).second.value()) ==
        std::vector<double>{3, 3, 3});
  CHECK(list(value_and_grad([](Tensor x) { return sum(x * stop(x)); }, b).second.value()) == list(b.value()));
}

TEST_CASE("a rule of the wrong number of gradients, or of other shapes, is refused") {
  Tape tape(DType::f64);
  const Tensor a = tape.variable(numbers({2}, 1, DType::f64));
  const auto sum_of = [](Tensor x, Tensor y) { return sum(x) + sum(y); };
  const auto one = custom_vjp(sum_of, [](const auto&, Tensor, Tensor dy) { return dy; });
  const auto scalar = custom_vjp([](Tensor x) { return sum(x); }, [](Tensor, Tensor, Tensor dy) { return dy; });
  const Tensor y = one(std::tuple(a, a * 2)), z = scalar(a);
  const NodeId before = tape.size();
  CHECK(error_of([&] { grad(y, a); }) == "[custom_vjp] the rule gives 1 gradients for 2 arguments");
  CHECK(error_of([&] { backward(z); }) == "[custom_vjp] the rule gives a gradient of () to argument 0 of (2)");
  CHECK(tape.size() == before);
  CHECK_FALSE(tape.data().in_rule);
}

TEST_CASE("checkpoint: the same bits, dropout and parameters included, and less memory") {
  const auto run = [](bool checkpointed, std::size_t* memory, std::vector<Array>* out) {
    Tape tape({.dtype = DType::f64, .seed = 3});
    Parameter w("w", numbers({8, 8}, 1, DType::f64)), unused("unused", numbers({2}, 1, DType::f64));
    const Tensor outside = tape.variable(numbers({8}, 2, DType::f64));
    Tensor x = tape.variable(numbers({4, 8}, 3, DType::f64));
    const Tensor start = x;
    const auto block = [&](Tensor a) {
      for (int i = 0; i < 5; ++i) a = dropout(tanh(matmul(a, w) + outside), 0.3);
      return a;
    };
    for (int i = 0; i < 6; ++i) x = checkpointed ? checkpoint(block)(x) : block(x);
    x = dropout(x, 0.2);
    *memory = tape.memory().values;
    backward(sum(square(x)));
    for (const ConstView v : {x.value(), tape.grad(start), tape.grad(outside)}) out->emplace_back(v);
    out->push_back(w.grad());
  };
  std::size_t plain = 0, small = 0;
  std::vector<Array> expected, found;
  run(false, &plain, &expected);
  run(true, &small, &found);
  CHECK(small * 4 < plain);
  for (std::size_t i = 0; i < 4; ++i) CHECK(test::same_bits(found[i], expected[i]));
}

TEST_CASE("checkpoint of aggregates, nested, inside other transforms") {
  Tape tape(DType::f64);
  const Tensor x = tape.variable(numbers({3}, 1, DType::f64));
  const auto f = [](Tensor a) { return std::pair(sin(a) * a, exp(a)); };
  const auto outer = [&](bool on) {
    return [&f, on](Tensor a) {
      const auto inner = [&](Tensor b) {
        const auto [p, q] = on ? checkpoint(f)(b) : f(b);
        return p * q;
      };
      return on ? sum(checkpoint([inner](Tensor b) { return inner(inner(b)); })(a)) : sum(inner(inner(a)));
    };
  };
  CHECK(close(value_and_grad(outer(true), x).second, value_and_grad(outer(false), x).second));
  CHECK(close(hvp(outer(true), x, x), hvp(outer(false), x, x), 1e-12));
  CHECK(close(jvp(outer(true), x, x).second, jvp(outer(false), x, x).second));
  CHECK(close(jacobian(outer(true), x), jacobian(outer(false), x)));
  const NodeId before = tape.size();
  CHECK(error_of([&] { checkpoint([](Tensor a) { return matmul(a, a); })(x); }).find("[matmul]") == 0);
  CHECK(tape.size() == before);
}

TEST_CASE("fixed_point: the gradient of the point, whatever the way to it") {
  Tape tape(DType::f64);
  const Tensor a = tape.variable(Array({2.0, 3.0, 10.0}, Shape{3}));
  // Newton's iteration for the square root.
  const auto root = [](Tensor n, double start) {
    return fixed_point([n](Tensor x) { return (x + n / x) * 0.5; }, n.tape().constant(start, {3}));
  };
  CHECK(close(root(a, 1), sqrt(a), 1e-12));
  const auto total = [&](double start) { return [&, start](Tensor n) { return sum(root(n, start) * n); }; };
  const auto plain = [](Tensor n) { return sum(sqrt(n) * n); };
  for (const double start : {1.0, 3.0})
    CHECK(close(value_and_grad(total(start), a).second, value_and_grad(plain, a).second, 1e-11));
  CHECK(close(hvp(total(1), a, a), hvp(plain, a, a), 1e-10));
  CHECK(close(jvp(total(2), a, a).second, jvp(plain, a, a).second, 1e-11));
  backward(sum(root(a, 1)));
  CHECK(close(tape.constant(Array(tape.grad(a))), 0.5 / sqrt(a), 1e-11));
}

TEST_CASE("fixed_point of an aggregate with parameters: an equilibrium of two coupled layers") {
  Tape tape(DType::f64);
  Parameter w("w", numbers({3, 3}, 1, DType::f64));
  for (double& e : std::span(w.edit().as<double>(), 9)) e *= 0.3;
  const Tensor x = tape.constant(numbers({2, 3}, 2, DType::f64)), zero = tape.constant(0, {2, 3});
  const auto step = [&](const std::pair<Tensor, Tensor>& s) {
    return std::pair(tanh(matmul(s.second, w) + x), tanh(matmul(s.first, w) * 0.5));
  };
  const auto implicit = [&] {
    const auto [h, g] = fixed_point(step, std::pair(zero, zero));
    return sum(h * h) + sum(g);
  };
  const auto unrolled = [&] {
    std::pair<Tensor, Tensor> s(zero, zero);
    for (int i = 0; i < 80; ++i) s = step(s);
    return sum(s.first * s.first) + sum(s.second);
  };
  const ParameterList by(tape, std::vector<Parameter*>{&w});
  CHECK(close(value_and_grad(implicit, by).second[0], value_and_grad(unrolled, by).second[0], 1e-11));
}

TEST_CASE("a fixed point that does not converge says how far it came") {
  Tape tape(DType::f64);
  const Tensor x = tape.variable(numbers({2}, 1, DType::f64));
  const NodeId before = tape.size();
  CHECK(error_of([&] {
          fixed_point([](Tensor a) { return 1 - a; }, x, {.most_steps = 20});
        }).find("[fixed_point] it does not converge: after 20 steps the largest change is ") == 0);
  CHECK(error_of([&] { fixed_point([](Tensor a) { return sum(a); }, x); }) ==
        "[fixed_point] the function takes (2) and gives ()");
  CHECK(error_of([&] { fixed_point([](Tensor a) { return log(a * 0 - 1); }, x); }).find("gives nan") !=
        std::string::npos);
  CHECK(tape.size() == before);
}

TEST_CASE("argmin: the point, and its derivatives") {
  Tape tape(DType::f64);
  const Array m0 = numbers({3, 3}, 1, DType::f64);
  const Tensor c = tape.variable(numbers({3}, 2, DType::f64)), zero = tape.constant(0, {3});
  const Tensor m = tape.constant(m0);
  // Of |x - c|^2 + sum(x^4): 2(x - c) + 4 x^3 = 0.
  const auto nearest = [&](Tensor p) {
    return argmin([p](Tensor x) { return sum(square(x - p)) + sum(square(square(x))); }, zero);
  };
  const Tensor x = nearest(c);
  CHECK(close(2 * (x - c) + 4 * x * x * x, zero, 1e-9));
  const auto loss = [&](Tensor p) { return sum(sin(nearest(p))); };
  const Tensor slope = 2 / (2 + 12 * x * x);
  CHECK(close(value_and_grad(loss, c).second, cos(x) * slope, 1e-9));
  // d2x/dc2 = -24 x x'^2 / (2 + 12 x^2), with x' = 2 / (2 + 12 x^2).
  const Tensor curve = -(24 * x * slope * slope) / (2 + 12 * x * x);
  CHECK(close(hvp(loss, c, c), c * (cos(x) * curve - sin(x) * slope * slope), 1e-8));
  CHECK(close(jvp(nearest, c, c).second, slope * c, 1e-9));
  // A coupled one: least squares.
  const auto fit = [&](Tensor p) {
    return argmin(
        [&, p](Tensor z) {
          return sum(square(matmul(m, reshape(z, {3, 1})) - reshape(p, {3, 1}))) + sum(z * z);
        },
        zero);
  };
  const Tensor g = value_and_grad([&](Tensor p) { return sum(fit(p)); }, c).second;
  for (Index i = 0; i < 3; ++i) {
    Array moved = c.array();
    const auto at = [&](double h) {
      moved.span<double>()[static_cast<std::size_t>(i)] += h;
      const double y = sum(fit(tape.constant(moved))).item();
      moved = c.array();
      return y;
    };
    CHECK((at(1e-4) - at(-1e-4)) / 2e-4 == doctest::Approx(list(g.value())[static_cast<std::size_t>(i)]).epsilon(1e-7));
  }
  const NodeId before = tape.size();
  CHECK(error_of([&] {
          argmin([](Tensor z) { return sum(z); }, c, {.most_steps = 5});
        }).find("[argmin] it does not converge: after 5 steps") == 0);
  CHECK(error_of([&] { argmin([](Tensor z) { return z; }, c); }).find("[argmin] the function gives (3)") == 0);
  CHECK(tape.size() == before);
}

TEST_CASE("own rules, checkpoints and fixed points within compile") {
  const Array x = numbers({3}, 1, DType::f64);
  const auto all = [](Tape& tape, Tensor at) {
    const auto own = custom_vjp([](Tensor a) { return exp(a); }, [](Tensor, Tensor y, Tensor dy) { return dy * y; });
    const auto block = checkpoint([](Tensor a) { return dropout(sin(a) * a, 0.4); });
    const auto root = [](Tensor n) {
      return fixed_point([n](Tensor r) { return (r + n / r) * 0.5; }, n.tape().constant(1, {3}), {.traced_steps = 12});
    };
    const auto loss = [&](Tensor a) {
      tape.set_draw(0);
      return sum(own(a)) + sum(block(a)) + sum(root(a * a + 1));
    };
    return std::vector<Tensor>{value_and_grad(loss, at).second, hvp(loss, at, at), jvp(loss, at, at).second};
  };
  Tape tape(DType::f64);
  const std::vector<Tensor> eager = all(tape, tape.constant(x));
  auto compiled = compile(all, {.dtype = DType::f64, .verify = true}, x);
  const std::vector<Tensor> found = compiled(x);
  for (std::size_t i = 0; i < 3; ++i) CHECK(close(found[i], eager[i], 1e-10));
  CHECK(error_of([&] {
          compile([](Tape&, Tensor a) { return fixed_point([](Tensor r) { return r * 0.5; }, a); }, x);
        }).find("traced_steps") != std::string::npos);
  CHECK(error_of([&] {
          compile([](Tape&, Tensor a) { return argmin([](Tensor r) { return sum(r * r); }, a); }, x);
        }).find("set ArgminOptions::traced_steps, or find it eagerly") != std::string::npos);
}

namespace {

// The square root by Newton's steps, and the x that makes |x - p|^2 + sum(x^4) smallest.
Tensor root_of(Tensor n, int traced) {
  return fixed_point([n](Tensor r) { return (r + n / r) * 0.5; }, n.tape().constant(1, n.shape()),
                     {.traced_steps = traced});
}
Tensor nearest_to(Tensor p, int traced) {
  return argmin([p](Tensor x) { return sum(square(x - p)) + sum(square(square(x))); }, p.tape().constant(0, p.shape()),
                {.traced_steps = traced});
}

}  // namespace

TEST_CASE("points that are found within compile: the steps that were traced are checked, and that they were enough") {
  const Array x({0.3, 0.5, 0.7}, Shape{3});
  // Steps converge slowly: on a tape they end before they have all digits.
  const auto slope = [](int steps) {
    return [steps](Tape&, Tensor q) {
      const Tensor r = fixed_point([q](Tensor r) { return cos(q * r); }, 0 * q, {.traced_steps = steps});
      return grad(sum(r), q);
    };
  };
  Tape tape(DType::f64);
  const Array expected = slope(0)(tape, tape.variable(x)).array();
  auto compiled = compile(slope(60), x);
  CHECK(close(compiled(x), tape.constant(expected), 1e-11));
  CHECK(compiled.explain().find("checked: ") != std::string::npos);
  auto hasty = compile(slope(10), x);
  CHECK(error_of([&] { hasty(x); })
            .find("[fixed_point] it does not converge in FixedPointOptions::traced_steps: after "
                  "10 the largest change is ") == 0);
  const auto lowest = [](int steps) {
    return [steps](Tape&, Tensor q) {
      return argmin([q](Tensor x) { return sum(square(x - q) + square(square(x))); }, 0 * q, {.traced_steps = steps});
    };
  };
  auto found = compile(lowest(10), x);
  CHECK(close(found(x), lowest(0)(tape, tape.variable(x)), 1e-9));
  auto soon = compile(lowest(1), x);
  CHECK(error_of([&] { soon(x); })
            .find("[argmin] it does not converge in ArgminOptions::traced_steps: after 1 the "
                  "largest number of the gradient is ") == 0);
}

TEST_CASE("vmap of points that are found, with gradients outside of it") {
  Tape tape(DType::f64);
  const Tensor a = tape.variable(Array({2.0, 3.0, 10.0, 0.5, 1.0, 7.0}, Shape{3, 2}));
  const auto check = [&](auto f, double tolerance) {  // f of a row is f of its numbers
    const auto mapped = [&](Tensor t) { return sum(square(vmap(f)(t)) * t); };
    const auto whole = [&](Tensor t) { return sum(square(f(t)) * t); };
    CHECK(close(vmap(f)(a), f(a), tolerance));
    CHECK(close(value_and_grad(mapped, a).second, value_and_grad(whole, a).second, tolerance));
    CHECK(close(jvp(mapped, a, a).second, jvp(whole, a, a).second, tolerance));
    CHECK(close(hvp(mapped, a, a), hvp(whole, a, a), tolerance * 10));
    const auto own = [&](Tensor row) { return value_and_grad([&](Tensor t) { return sum(f(t)); }, row).second; };
    CHECK(close(vmap(own)(a), own(a), tolerance));
    CHECK(close(vmap(vmap(f))(a), f(a), tolerance));
  };
  check([](Tensor t) { return root_of(t, 14); }, 1e-11);
  check([](Tensor t) { return nearest_to(t, 14); }, 1e-9);
  // A parameter, and a part of the surroundings that no gradient reaches.
  Parameter w("w", Array({0.3, 0.2}, Shape{2}));
  const auto equilibrium = [&](Tensor x) {
    return fixed_point([&w, x](Tensor h) { return tanh(h * w + x); }, x.tape().constant(0, x.shape()),
                       {.traced_steps = 60});
  };
  const ParameterList by(tape, std::vector<Parameter*>{&w});
  const Tensor x = tape.constant(a.array());
  const auto mapped = [&] { return sum(square(vmap(equilibrium)(x))); };
  CHECK(close(value_and_grad(mapped, by).second[0],
              value_and_grad([&] { return sum(square(equilibrium(x))); }, by).second[0], 1e-11));
  // Indices of an example are gone with it.
  const Tensor rows = tape.constant(Array(std::vector<std::int32_t>{1, 0, 1}));
  const auto looked_up = [&](Tensor t, Tensor i) {
    return fixed_point(
        [t, i](Tensor h) {
          return 0.5 * h + sum(lookup(reshape(t, {2, 1}), i));
        },
        t.tape().constant(0, {}), {.traced_steps = 60});
  };
  CHECK(error_of([&] {
          value_and_grad([&](Tensor t) { return sum(vmap(looked_up)(t, rows)); }, a);
        }).find("[fixed_point] the gradient is taken outside of vmap, and the function uses indices of one example") ==
        0);
}

TEST_CASE("Jacobians and Hessians of points that are found, and derivatives of these") {
  Tape tape(DType::f64);
  const Tensor a = tape.variable(Array({2.0, 3.0, 0.5}, Shape{3}));
  const Tensor m = tape.constant(numbers({3, 3}, 4, DType::f64));
  // Coupled, so that the linear systems are not diagonal.
  const auto mixed = [&](Tensor t) { return reshape(matmul(m, reshape(t, {3, 1})), {3}); };
  const auto equilibrium = [&](Tensor t) {
    return fixed_point([&, t](Tensor h) { return 0.4 * tanh(mixed(h)) + t; }, t.tape().constant(0, {3}));
  };
  const auto best = [&](Tensor t) {
    return argmin([&, t](Tensor x) { return sum(square(mixed(x) - t)) + sum(square(square(x))) + sum(x * x); },
                  t.tape().constant(0, {3}));
  };
  const auto check = [&](auto f) {
    const Tensor v = tape.constant(numbers({3}, 5, DType::f64));
    const Tensor j = jacobian(f, a);
    CHECK(close(reshape(matmul(j, reshape(v, {3, 1})), {3}), jvp(f, a, v).second, 1e-9));
    CHECK(close(jacobian(f, a, Direction::columns), j, 1e-9));
    CHECK(close(sparse_jacobian(f, a).values, reshape(j, {9}), 1e-9));
    const auto total = [&](Tensor t) { return sum(square(f(t))); };
    CHECK(close(reshape(matmul(hessian(total, a), reshape(v, {3, 1})), {3}), hvp(total, a, v), 1e-8));
    const auto slopes = [&](Tensor t) { return sum(square(jacobian(f, t))); };
    const double along = sum(value_and_grad(slopes, a).second * v).item(), h = 1e-4;
    CHECK((slopes(a + h * v).item() - slopes(a - h * v).item()) / (2 * h) == doctest::Approx(along).epsilon(1e-6));
  };
  check(equilibrium);
  check(best);
}

TEST_CASE("argmin within compile, and what it refuses") {
  const Array x = numbers({3}, 1, DType::f64);
  const auto all = [](Tape&, Tensor at) {
    const auto loss = [](Tensor p) { return sum(sin(nearest_to(p, 12))); };
    return std::vector<Tensor>{nearest_to(at, 12), value_and_grad(loss, at).second, hvp(loss, at, at)};
  };
  Tape tape(DType::f64);
  const std::vector<Tensor> eager = all(tape, tape.constant(x));
  auto compiled = compile(all, {.dtype = DType::f64, .verify = true}, x);
  const std::vector<Tensor> found = compiled(x);
  for (std::size_t i = 0; i < 3; ++i) CHECK(close(found[i], eager[i], 1e-9));
  const Tensor at = tape.constant(x);
  const NodeId before = tape.size();
  CHECK(error_of([&] { argmin([](Tensor t) { return sum(log(t * 0 - 1)); }, at); }) ==
        "[argmin] the function is nan at the starting point");
  CHECK(error_of([&] {
          argmin([](Tensor t) { return std::pair(sum(t), sum(t)); }, at);
        }).find("[argmin] the function") == 0);
  CHECK(error_of([&] { vmap([](Tensor t) { return nearest_to(t, 0); })(at); }).find("ArgminOptions::traced_steps") !=
        std::string::npos);
  CHECK(tape.size() == before);
}

TEST_CASE("a custom rule beside differences of its function, and its bad arguments") {
  const auto own =
      custom_vjp([](Tensor a) { return log(exp(a) + 1); }, [](Tensor a, Tensor, Tensor dy) { return dy * sigmoid(a); });
  const auto wrong = custom_vjp([](Tensor a) { return exp(a); }, [](Tensor, Tensor, Tensor dy) { return dy; });
  const std::vector<Array> at{numbers({4}, 1, DType::f64)};
  CHECK(gradcheck([&](std::span<const Tensor> x) { return own(x[0]); }, at).ok());
  CHECK_FALSE(gradcheck([&](std::span<const Tensor> x) { return wrong(x[0]); }, at).ok());
  Tape tape(DType::f64);
  const Tensor x = tape.variable(numbers({3, 2}, 1, DType::f64));
  const Tensor rows = tape.constant(Array(std::vector<std::int32_t>{1, 0, 1}));
  const NodeId before = tape.size();
  const auto indices = [](Tensor t) { return t.tape().constant(Array(std::vector<std::int32_t>{1})); };
  CHECK(error_of([&] { custom_vjp(indices, [](Tensor t, Tensor, Tensor) { return t; })(x); }) ==
        "[custom_vjp] the function gives indices, which have no gradient");
  CHECK(tape.size() == before);
  // An argument that is indices: one for all, or one of each example.
  const auto chosen = custom_vjp(
      [](Tensor t, Tensor i) {
        return square(lookup(reshape(t, {t.size(), 1}), i));
      },
      [](const std::tuple<Tensor, Tensor>& at, Tensor, Tensor dy) {
        const auto& [t, i] = at;
        const auto f = [i = i](Tensor u) { return square(lookup(reshape(u, {u.size(), 1}), i)); };
        return std::tuple(vjp(f, t).second(dy), i);
      });
  const auto of = [&](Tensor t, Tensor i) { return sum(chosen(std::tuple(t, i))); };
  const auto one = [&](Tensor row) { return vmap(of, {.in = {0, no_axis}})(row, rows); };
  CHECK(close(value_and_grad([&](Tensor t) { return sum(one(t)); }, x).second,
              value_and_grad([&](Tensor t) { return sum(square(lookup(transpose(t), rows))); }, x).second));
  CHECK(error_of([&] {
          value_and_grad([&](Tensor t) { return sum(vmap(of, {.in = {no_axis, 0}})(reshape(t, {6}), rows)); }, x);
        }).find("[custom_vjp] the gradient is taken outside of vmap, and an argument is indices of one example") == 0);
}

TEST_CASE("a checkpointed function that gives other shapes when it is called again") {
  Tape tape(DType::f64);
  const Tensor x = tape.variable(numbers({3}, 1, DType::f64));
  int calls = 0;
  const Tensor y = sum(checkpoint([&calls](Tensor t) { return calls++ == 0 ? t * t : sum(t); })(x));
  const NodeId before = tape.size();
  CHECK(error_of([&] { backward(y); }).find("[checkpoint] the function gives other shapes than before") == 0);
  CHECK(tape.size() == before);
}
