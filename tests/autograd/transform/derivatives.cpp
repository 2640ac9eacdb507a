// jvp, vjp, hvp and their like: beside each other, beside differences, nested, of aggregates, of parameters.
#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>

#include <doctest/doctest.h>

#include <rewind/autograd/transform/derivatives.h>
#include <rewind/ops/ops.h>

#include "../../tools/gradcheck/random_graph.h"
#include "../support.h"

using namespace rw;
using ::test::error_of;
using ::test::list;
using ::test::numbers;

namespace {

double dot(const std::vector<Tensor>& a, const std::vector<Tensor>& b) {
  double total = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const std::vector<double> x = list(a[i].value()), y = list(b[i].value());
    total += std::inner_product(x.begin(), x.end(), y.begin(), 0.0);
  }
  return total;
}

std::vector<Tensor> random_like(Tape& tape, const std::vector<Tensor>& like, std::uint64_t seed) {
  std::vector<Tensor> out;
  for (const Tensor& t : like) out.push_back(tape.constant(numbers(t.shape(), seed++, DType::f64)));
  return out;
}

// Extrapolated central differences of f at 0 (Ridders, 1982).
double ridders(const std::function<double(double)>& f) {
  constexpr int n = 8;
  double table[n][n], best = 0, least = 1e300, h = 0.1;
  for (int i = 0; i < n; ++i, h /= 1.6) {
    table[0][i] = (f(h) - f(-h)) / (2 * h);
    double factor = 1.6 * 1.6;
    for (int k = 1; k <= i; ++k, factor *= 1.6 * 1.6) {
      table[k][i] = (table[k - 1][i] * factor - table[k - 1][i - 1]) / (factor - 1);
      const double error =
          std::max(std::abs(table[k][i] - table[k - 1][i]), std::abs(table[k][i] - table[k - 1][i - 1]));
      if (error <= least) least = error, best = table[k][i];
    }
  }
  return best;
}

struct State {
  Tensor h, c;
};

// A small recurrent step, smooth, of two arguments.
State step(Tensor x, const State& s) {
  const Tensor gate = sigmoid(x + s.h), c = gate * s.c + (1 - gate) * tanh(x * s.h);
  return {gate * tanh(c), c};
}

double cubic(double x) { return 3 * x * x; }

}  // namespace

TEST_CASE("<u, J v> is <J' u, v> on random programs") {
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    const rw::test::RandomGraph graph(seed);
    Tape tape(DType::f64);
    std::vector<Parameter*> parameters;
    for (const auto& p : graph.parameters()) parameters.push_back(p.parameter);
    if (parameters.empty()) continue;
    const ParameterList by(tape, parameters);
    const std::vector<Tensor> v = random_like(tape, detail::tensors_of(by), 100 * seed);
    const auto f = [&] {
      tape.set_draw(0);
      return graph(tape);
    };
    const auto [y, dy] = jvp(f, by, v);
    const auto [again, pull] = vjp(f, by);
    CHECK(::test::same_bits(y.value(), again.value()));
    const Tensor u = tape.constant(1.25);
    const std::vector<Tensor> dx = pull(u);
    double size = 0;
    for (std::size_t i = 0; i < v.size(); ++i)
      for (std::size_t k = 0; k < list(v[i].value()).size(); ++k)
        size += std::abs(list(dx[i].value())[k] * list(v[i].value())[k]);
    CHECK_MESSAGE(std::abs(1.25 * dy.item() - dot(dx, v)) <= 1e-13 * std::max(size, 1e-3), graph.str());
  }
}

TEST_CASE("jvp and second derivatives along a line beside Ridders' differences") {
  Tape tape(DType::f64);
  const Array at = numbers({2, 3}, 1, DType::f64), along = numbers({2, 3}, 2, DType::f64);
  const auto f = [](Tensor x) {
    return sum(tanh(matmul(x, x, {.transpose_b = true})) * 1.3) + sum(softmax(x) * exp(x)) + sum(x / (x * x + 1));
  };
  const Tensor x = tape.constant(at), v = tape.constant(along);
  const auto [y, dy] = jvp(f, x, v);
  const auto line = second_derivative(f, x, v);
  const auto value = [&](double t) {
    Tape other(DType::f64);
    return f(other.constant(at) + t * other.constant(along)).item();
  };
  const auto slope = [&](double t) {
    Tape other(DType::f64);
    const Tensor moved = other.constant(at) + t * other.constant(along);
    return jvp(f, moved, other.constant(along)).second.item();
  };
  CHECK(dy.item() == doctest::Approx(ridders(value)).epsilon(1e-10));
  CHECK(line.second.item() == doctest::Approx(ridders(slope)).epsilon(1e-10));
  CHECK(line.value.item() == y.item());
  CHECK(line.first.item() == dy.item());
}

TEST_CASE("forward and reverse, nested in any order, agree") {
  Tape tape(DType::f64);
  const Tensor x = tape.constant(numbers({3}, 1, DType::f64)), v = tape.constant(numbers({3}, 2, DType::f64)),
               w = tape.constant(numbers({3}, 3, DType::f64));
  const auto f = [](Tensor a) { return sum(sin(a) * exp(a) + a * sum(a * a)); };
  const auto forward = [&](Tensor a) { return jvp(f, a, v).second; };  // f' v
  const auto reverse = [&](Tensor a) { return sum(value_and_grad(f, a).second * v); };
  const double ff = jvp(forward, x, w).second.item(), fr = jvp(reverse, x, w).second.item();
  const double rf = sum(value_and_grad(forward, x).second * w).item();
  const double rr = sum(value_and_grad(reverse, x).second * w).item();
  const double product = sum(hvp(f, x, w) * v).item();
  for (const double other : {fr, rf, rr, product}) CHECK(other == doctest::Approx(ff).epsilon(1e-13));
}

TEST_CASE("no confusion of perturbations: an inner derivative of a product with the outer argument") {
  Tape tape(DType::f64);
  const Tensor x = tape.constant(2.0), one = tape.constant(1.0);
  // d/dx (x d/dy (x + y)) = 1, and d/dx (x d/dy (x y)) = 2x.
  const auto outer = [&](Tensor a) { return a * jvp([&](Tensor y) { return a + y; }, one, one).second; };
  const auto product = [&](Tensor a) { return a * jvp([&](Tensor y) { return a * y; }, one, one).second; };
  CHECK(jvp(outer, x, one).second.item() == 1);
  CHECK(jvp(product, x, one).second.item() == 4);
  CHECK(value_and_grad(product, x).second.item() == 4);
}

TEST_CASE("aggregates, several arguments, indices and numbers") {
  Tape tape(DType::f64);
  const Tensor x = tape.constant(numbers({2, 3}, 1, DType::f64));
  const State s{tape.constant(numbers({2, 3}, 2, DType::f64)), tape.constant(numbers({2, 3}, 3, DType::f64))};
  const Tensor dx = tape.constant(numbers({2, 3}, 4, DType::f64));
  const State ds{tape.constant(numbers({2, 3}, 5, DType::f64)), tape.constant(numbers({2, 3}, 6, DType::f64))};
  const auto [y, dy] = jvp(step, std::tuple(x, s), std::tuple(dx, ds));
  const auto [again, pull] = vjp(step, std::tuple(x, s));
  const State u{tape.constant(numbers({2, 3}, 7, DType::f64)), tape.constant(numbers({2, 3}, 8, DType::f64))};
  const auto [gx, gs] = pull(u);
  CHECK(dot({u.h, u.c}, {dy.h, dy.c}) == doctest::Approx(dot({gx, gs.h, gs.c}, {dx, ds.h, ds.c})).epsilon(1e-13));
  CHECK(::test::same_bits(y.c.value(), again.c.value()));

  const Tensor table = tape.constant(numbers({4, 2}, 1, DType::f64));
  const Tensor rows = tape.constant(Array(std::vector<std::int32_t>{3, 1, 3}));
  const auto looked_up = [](Tensor t, Tensor i) { return sum(square(lookup(t, i))); };
  const auto [value, gradients] = value_and_grad(looked_up, std::tuple(table, rows));
  CHECK(list(std::get<0>(gradients).value())[6] == doctest::Approx(4 * list(table.value())[6]));
  CHECK(list(std::get<1>(gradients).value()) == std::vector<double>{0, 0, 0});
}

TEST_CASE("along parameters, which the function uses by name") {
  Tape tape(DType::f64);
  Parameter w("w", numbers({3, 2}, 1, DType::f64)), b("b", numbers({2}, 2, DType::f64));
  b.freeze();  // an argument all the same
  const Tensor x = tape.constant(numbers({4, 3}, 3, DType::f64));
  const auto loss = [&] { return sum(square(tanh(matmul(x, w) + b))); };
  const ParameterList by(tape, std::vector<Parameter*>{&w, &b});
  const auto [value, gradients] = value_and_grad(loss, by);
  backward(loss());
  CHECK(::test::same_bits(gradients[0].array(), w.grad()));
  CHECK(gradients[1].shape() == Shape{2});
  CHECK(list(gradients[1].value())[0] != 0);
  const std::vector<Tensor> v = random_like(tape, gradients, 7);
  const double along = jvp(loss, by, v).second.item();
  CHECK(along == doctest::Approx(dot(gradients, v)).epsilon(1e-13));
  const std::vector<Tensor> hv = hvp(loss, by, v);
  const auto gradient = [&] { return value_and_grad(loss, by).second; };
  const std::vector<Tensor> same = jvp(gradient, by, v).second;
  for (std::size_t i = 0; i < hv.size(); ++i)
    for (std::size_t k = 0; k < list(hv[i].value()).size(); ++k)
      CHECK(list(hv[i].value())[k] == doctest::Approx(list(same[i].value())[k]).epsilon(1e-12));
  CHECK(tape.leaf(w).index() == tape.leaf(w).index());
  CHECK(tape.data().bindings.empty());
}

TEST_CASE("a gradient that is clipped has the derivative of the function that it is") {
  Tape tape(DType::f64);
  const Tensor x = tape.constant(Array({1.0, 2.0}, Shape{2})), v = tape.constant(Array({100.0, -300.0}, Shape{2}));
  const auto f = [](Tensor a) { return clip_gradient(a * a, 0.5); };
  CHECK(list(jvp(f, x, v).second.value()) == std::vector<double>{200, -1200});
  const auto [y, pull] = vjp(f, x);
  CHECK(list(pull(v).value()) == std::vector<double>{1, -2});
}

TEST_CASE("where nothing depends on the argument there are zeros") {
  Tape tape(DType::f64);
  const Tensor x = tape.variable(numbers({3}, 1, DType::f64)), v = tape.constant(numbers({3}, 2, DType::f64));
  const Tensor zero = tape.constant(0, {3});
  const auto constant = [&](Tensor a) { return a.tape().constant(2, {2}); };
  CHECK(list(jvp(constant, x, v).second.value()) == std::vector<double>{0, 0});
  CHECK(list(hvp([](Tensor a) { return sum(a * 3); }, x, v).value()) == list(zero.value()));
  CHECK(list(hvp([](Tensor a) { return sum(relu(a)); }, x, v).value()) == list(zero.value()));
  CHECK(list(value_and_grad([&](Tensor) { return x.tape().constant(1); }, x).second.value()) == list(zero.value()));
  // And plain grad.
  const Tensor g = grad(sum(relu(x)), x);
  CHECK(list(grad(sum(g), x).value()) == list(zero.value()));
  CHECK(list(grad(tape.constant(1), x).value()) == list(zero.value()));
  CHECK(error_of([&] { grad(tape.constant(1), x, {.strict = true}); }).find("does not depend") != std::string::npos);
  CHECK(jvp([](Tensor a) { return a; }, x, v).second.same(v));
}

TEST_CASE("infinite derivatives that meet a zero tangent in the way that was not chosen") {
  Tape tape(DType::f64);
  const Tensor x = tape.constant(Array({0.0, 4.0}, Shape{2})), v = tape.constant(Array({1.0, 1.0}, Shape{2}));
  const auto f = [](Tensor a) { return where(a > 1, sqrt(a), a * 3); };
  CHECK(list(vjp(f, x).second(v).value())[1] == 0.25);
  CHECK(list(jvp(f, x, v).second.value()) == std::vector<double>{3, 0.25});
}

TEST_CASE("what is wrong is said, and the tape stays as it was") {
  Tape tape(DType::f64);
  const Tensor x = tape.constant(numbers({2, 3}, 1, DType::f64)), v = tape.constant(numbers({3, 2}, 2, DType::f64));
  const NodeId before = tape.size();
  const auto twice = [](Tensor a) { return a * 2; };
  CHECK(error_of([&] { jvp(twice, x, v); }) == "[jvp] tangent 0 is f64 (3, 2); what it belongs to is (2, 3)");
  CHECK(error_of([&] { hvp(twice, x, x); }) == "[hvp] the function gives (2, 3): it must give a scalar, such as a sum");
  CHECK(error_of([&] { value_and_grad(twice, x); }).find("[value_and_grad] the function gives (2, 3)") == 0);
  CHECK(error_of([&] { value_and_grad([](Tensor a) { return std::pair(sum(a), sum(a)); }, x); }) ==
        "[value_and_grad] the function gives 2 tensors: it must give a scalar");
  CHECK(error_of([&] { jvp([](Tensor) -> Tensor { throw Error("mine"); }, x, x); }) == "mine");
  CHECK(error_of([&] { jvp([](Tensor a) { return matmul(a, a); }, x, x); }).find("[matmul]") == 0);
  CHECK(error_of([&] { jvp([](double) { return 1.0; }, 2.0, 2.0); }).find("[jvp] no argument is a Tensor") == 0);
  CHECK(tape.size() == before);
  CHECK_FALSE(tape.data().in_section);
  const auto [y, pull] = vjp(twice, x);
  const NodeId after = tape.size();
  CHECK(error_of([&, &p = pull] { p(v); }) == "[vjp] cotangent 0 is f64 (3, 2); what it belongs to is (2, 3)");
  CHECK(tape.size() == after);
}

TEST_CASE("under NoGrad derivatives are computed all the same") {
  Tape tape(DType::f64);
  const Tensor x = tape.variable(numbers({2}, 1, DType::f64));
  const NoGrad off(tape);
  const auto f = [](Tensor a) { return sum(a * a * a); };
  const Tensor g = value_and_grad(f, x).second;
  for (std::size_t i = 0; i < 2; ++i)
    CHECK(list(g.value())[i] == doctest::Approx(cubic(list(x.value())[i])).epsilon(1e-14));
  CHECK_FALSE(tape.recording_gradients());
}
