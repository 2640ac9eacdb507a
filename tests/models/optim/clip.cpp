#include <cmath>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <rewind/autograd/backward.h>
#include <rewind/models/init.h>
#include <rewind/models/optim/clip.h>
#include <rewind/ops/activation.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/matmul.h>
#include <rewind/ops/reduce.h>

using namespace rw;

namespace {

struct Two : Module {
  Two() : a(param("a", zeros(2))), b(param("b", zeros({11}, DType::f64))) {}
  Parameter &a, &b;
};

void set(Two& m, float a0, double b10) {
  m.zero_grad();
  m.a.grad().span<float>()[0] = a0;
  m.b.grad().span<double>()[10] = b10;
}

}  // namespace

TEST_CASE("the norm is the square root of the sum of all squares, over all parameters") {
  Two m;
  set(m, 3, 4);
  CHECK(grad_norm(m.parameters()) == doctest::Approx(5).epsilon(1e-15));
  for (double& g : m.b.grad().span<double>()) g = 2;
  CHECK(grad_norm(m.parameters()) == doctest::Approx(std::sqrt(9.0 + 44.0)).epsilon(1e-15));
  m.b.freeze();
  CHECK(grad_norm(m.parameters()) == 3);
  m.b.freeze(false);
  set(m, 0, 1e200);  // the square of it is no double
  CHECK(grad_norm(m.parameters()) == doctest::Approx(1e200).epsilon(1e-14));
  set(m, 0, 1e-190);
  CHECK(grad_norm(m.parameters()) == doctest::Approx(1e-190).epsilon(1e-14));
  set(m, 0, 1e-309);  // one over it is no double
  CHECK(grad_norm(m.parameters()) == doctest::Approx(1e-309).epsilon(1e-14));
  set(m, 0, 5e-324);
  CHECK(grad_norm(m.parameters()) == 5e-324);
  m.zero_grad();
  CHECK(grad_norm(m.parameters()) == 0);
}

TEST_CASE("clip_grad_norm scales all gradients alike, and only when they are too long") {
  Two m;
  set(m, 3, -4);
  CHECK(clip_grad_norm(m.parameters(), 6) == doctest::Approx(5));
  CHECK(m.a.grad().at({0}) == 3);
  CHECK(clip_grad_norm(m.parameters(), 1) == doctest::Approx(5));
  CHECK(m.a.grad().at({0}) == doctest::Approx(0.6));
  CHECK(m.b.grad().at({10}) == doctest::Approx(-0.8));
  CHECK(grad_norm(m.parameters()) == doctest::Approx(1));
}

TEST_CASE("gradients at the ends of the numbers are clipped, not lost") {
  Two m;
  set(m, 0, 1e-309);
  CHECK(clip_grad_norm(m.parameters(), 1) == doctest::Approx(1e-309).epsilon(1e-14));
  CHECK(m.b.grad().at({10}) == 1e-309);
  const double largest = std::numeric_limits<double>::max();
  for (double& g : m.b.grad().span<double>()) g = largest;
  CHECK(clip_grad_norm(m.parameters(), 2) > largest);
  CHECK(m.b.grad().at({3}) == doctest::Approx(2 / std::sqrt(11.0)).epsilon(1e-14));
}

TEST_CASE("clip_grad_value limits each element and returns the norm before") {
  Two m;
  set(m, 3, -4);
  m.a.grad().span<float>()[1] = -0.25f;
  CHECK(clip_grad_value(m.parameters(), 1) == doctest::Approx(std::sqrt(25.0625)));
  CHECK(m.a.grad().at({0}) == 1);
  CHECK(m.a.grad().at({1}) == -0.25);
  CHECK(m.b.grad().at({10}) == -1);
}

TEST_CASE("a gradient that is not finite is an error by name and changes nothing") {
  Two m;
  set(m, 3, std::numeric_limits<double>::quiet_NaN());
  CHECK_THROWS_WITH_AS(clip_grad_norm(m.parameters(), 1), "the gradient of 'b' is nan", Error);
  CHECK_THROWS_AS(clip_grad_value(m.parameters(), 1), Error);
  CHECK(m.a.grad().at({0}) == 3);
  set(m, std::numeric_limits<float>::infinity(), 1);
  CHECK_THROWS_WITH_AS(grad_norm(m.parameters()), "the gradient of 'a' is infinite", Error);
  CHECK_THROWS_WITH_AS(clip_grad_norm(m.parameters(), 0), "clip_grad_norm: the largest norm must be above 0, not 0",
                       Error);
  CHECK_THROWS_AS(clip_grad_value(m.parameters(), std::nan("")), Error);
}

TEST_CASE("mean_over_uses: the mean of the gradients that a weight has in each of its uses") {
  // h(t) = tanh(x + h(t-1) W), with one W, and with a W for each step, which are equal.
  constexpr Index T = 4;
  const auto run = [](Tape& tape, const std::vector<Parameter*>& W) {
    Tensor h = tape.constant(full({2, 3}, 0.3));
    for (Parameter* w : W) h = tanh(0.1 + matmul(h, *w));
    backward(sum(h));
  };
  Rng rng(1);
  struct Shared : Module {
    explicit Shared(const Array& w) : W(param("W", w)) {}
    Parameter& W;
  };
  const Array start = glorot(rng, 3, 3).to(DType::f64);
  std::vector<Shared> own;
  std::vector<Parameter*> parameters;
  for (Index t = 0; t < T; ++t) own.emplace_back(start);
  for (Shared& s : own) parameters.push_back(&s.W);
  Shared shared(start);
  Tape tape(DType::f64);
  run(tape, parameters);
  run(tape, std::vector<Parameter*>(T, &shared.W));
  mean_over_uses(shared.parameters(), T);
  for (Index i = 0; i < 9; ++i) {
    double mean = 0;
    for (const Shared& s : own) mean += s.W.grad().at({i / 3, i % 3}) / T;
    CHECK(shared.W.grad().at({i / 3, i % 3}) == doctest::Approx(mean).epsilon(1e-13));
  }
  CHECK_THROWS_WITH_AS(mean_over_uses(shared.parameters(), 0),
                       "mean_over_uses: a weight is used at least once, not 0 times", Error);
}

TEST_CASE("a tied weight that is listed under two names counts once") {
  Two m;
  Parameter other("other", zeros(2));
  other.tie(m.a);
  const std::vector<NamedParameter> listed{{"a", &m.a}, {"tied", &other}, {"b", &m.b}, {"a again", &m.a}};
  const auto reset = [&] { set(m, 3, 4); };
  reset();
  CHECK(grad_norm(listed) == doctest::Approx(5));
  CHECK(clip_grad_norm(listed, 1) == doctest::Approx(5));
  CHECK(m.a.grad().at({0}) == doctest::Approx(0.6));
  CHECK(m.b.grad().at({10}) == doctest::Approx(0.8));
  reset();
  CHECK(clip_grad_value(listed, 2) == doctest::Approx(5));
  CHECK(m.a.grad().at({0}) == 2);
  reset();
  mean_over_uses(listed, 2);
  CHECK(m.a.grad().at({0}) == 1.5);
  CHECK(m.b.grad().at({10}) == 2);
}

TEST_CASE("of a long list each counts once, too") {
  std::vector<std::unique_ptr<Parameter>> all;
  std::vector<NamedParameter> listed;
  for (int i = 0; i < 100; ++i) {
    all.push_back(std::make_unique<Parameter>("p", zeros(1)));
    all.back()->grad().fill(1);
    listed.push_back({"p" + std::to_string(i), all.back().get()});
  }
  for (int i = 0; i < 100; ++i) listed.push_back(listed[static_cast<std::size_t>(99 - i)]);
  CHECK(grad_norm(listed) == doctest::Approx(10));
}
