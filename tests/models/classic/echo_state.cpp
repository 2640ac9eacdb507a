#include <cmath>
#include <string>
#include <utility>

#include <rewind/autograd/backward.h>
#include <rewind/autograd/compile/compile.h>
#include <rewind/core/error.h>
#include <rewind/models/classic/echo_state.h>
#include <rewind/models/init.h>
#include <rewind/models/sequence/unroll.h>
#include <rewind/ops/ops.h>

#include "support.h"

using namespace rw;
using rw::test::distance;

namespace {

const Array& buffer_of(const Module& m, const char* name) {
  for (const NamedParameter& b : m.buffers())
    if (b.name == name) return b.parameter->value();
  throw Error(std::string("no buffer ") + name);
}

// sin, and what it was three steps ago: [T, 1, 1] each.
std::pair<Array, Array> delayed_sine(Index steps) {
  std::pair<Array, Array> all{Array({steps, 1, 1}, DType::f64), Array({steps, 1, 1}, DType::f64)};
  for (Index t = 0; t < steps; ++t) {
    all.first.set({t, 0, 0}, std::sin(0.37 * static_cast<double>(t)));
    all.second.set({t, 0, 0}, std::sin(0.37 * static_cast<double>(t - 3)));
  }
  return all;
}

}  // namespace

TEST_CASE("the spectral radius of matrices whose eigenvalues are known") {
  CHECK(spectral_radius(Array({2.0, 0.0, 0.0, -3.0}, {2, 2})) == doctest::Approx(3).epsilon(1e-6));
  CHECK(spectral_radius(Array({0.54, -0.72, 0.72, 0.54}, {2, 2})) == doctest::Approx(0.9).epsilon(1e-6));  // complex
  CHECK(spectral_radius(Array({0.5, 1000.0, 0.0, 0.5}, {2, 2})) == doctest::Approx(0.5).epsilon(1e-5));    // no basis
  CHECK(spectral_radius(Array({0.0, 1.0, 0.0, 0.0}, {2, 2})) == 0);
  CHECK(spectral_radius(Array({-0.25}, {1, 1})) == doctest::Approx(0.25).epsilon(1e-6));
  CHECK_THROWS_WITH_AS(spectral_radius(zeros(2, 3)), "spectral_radius: needs a square matrix, not (2, 3)", Error);
  CHECK_THROWS_WITH_AS(spectral_radius(full({1, 1}, NAN)), "spectral_radius: the matrix is not finite", Error);
}

TEST_CASE("a reservoir has the radius and the density that were asked for, and steps by its equation") {
  Rng rng(2);
  const EchoStateCell cell(2, 60, rng, {.spectral_radius = 0.7, .leak = 0.4, .density = 0.2});
  const Array &W = buffer_of(cell, "W"), &R = buffer_of(cell, "R"), &b = buffer_of(cell, "b");
  CHECK(spectral_radius(R) == doctest::Approx(0.7).epsilon(1e-5));
  Index there = 0;
  for (const double r : R.to_vector<double>()) there += r != 0 ? 1 : 0;
  CHECK(there > 600);
  CHECK(there < 840);
  CHECK(cell.parameters().empty());

  Tape tape(DType::f64);
  const Array x = uniform(rng, {1, 2}, -1, 1), h = uniform(rng, {1, 60}, -1, 1);
  const Array next = cell.step(tape.constant(x), {tape.constant(h)}).h.array();
  for (const Index k : {0, 31, 59}) {
    double a = b.at({k});
    for (Index i = 0; i < 2; ++i) a += x.at({0, i}) * W.at({i, k});
    for (Index i = 0; i < 60; ++i) a += h.at({0, i}) * R.at({i, k});
    CHECK(next.at({0, k}) == doctest::Approx(0.6 * h.at({0, k}) + 0.4 * std::tanh(a)).epsilon(1e-12));
  }
}

TEST_CASE("below a radius of 1 a reservoir forgets where it began") {
  const auto apart = [](double radius) {
    Rng rng(3);
    const EchoStateCell cell(1, 40, rng, {.spectral_radius = radius, .input_scale = 0});
    Tape tape(DType::f64);
    const Tensor x = tape.constant(0, Shape{100, 1, 1}), start = tape.constant(uniform(rng, {1, 40}, -1, 1));
    const auto a = unroll(cell, x, {start}), b = unroll(cell, x, cell.zero_state(tape, 1));
    return norm(a.back().h - b.back().h).item();
  };
  CHECK(apart(0.7) < 1e-10);
  CHECK(apart(1.5) > 0.1);
}

TEST_CASE("the readout is that of ridge regression, without the steps of the washout") {
  Rng rng(4);
  const Array x = uniform(rng, {30, 2, 2}, -1, 1).to(DType::f64), y = uniform(rng, {30, 2, 3}, -1, 1).to(DType::f64);
  for (const bool bias : {true, false}) {
    CAPTURE(bias);
    EchoStateNetwork net(2, 12, 3, rng, {.density = 0.5, .bias = bias});
    net.to(DType::f64);
    net.fit(x, y, 5, 0.3);
    Tape tape(DType::f64);
    const Tensor error = slice(net(tape.constant(x)) - tape.constant(y), 0, 5, 25);
    backward(sum(square(error)) + 0.3 * sum(square(tape.leaf(net.readout().parameter("W")))));
    // Its minimum, where the gradient is 0: of other weights it is far from that.
    for (const NamedParameter& p : net.parameters())
      CHECK(distance(p.parameter->grad(), Array(p.parameter->shape(), DType::f64)) < 1e-9);
    CHECK(net.parameters().size() == (bias ? 2 : 1));
  }
}

TEST_CASE("an echo state network remembers, as a network without recurrence cannot; compiled too") {
  const std::pair<Array, Array> data = delayed_sine(400);
  const Array &x = data.first, &y = data.second;
  const auto error = [&](double radius) {
    Rng rng(5);
    EchoStateNetwork net(1, 60, 1, rng, {.spectral_radius = radius, .density = 0.2});
    net.to(DType::f64);
    net.fit(x, y, 50, 1e-8);
    Tape tape(DType::f64);
    const Tensor out = net(tape.constant(x));
    auto compiled = compile([&](Tape&, Tensor in) { return net(in); }, {.dtype = DType::f64}, x);
    CHECK(distance(compiled(x).array(), out.array()) < 1e-12);
    const auto states = unroll(net, tape.constant(x), net.zero_state(tape, 1));
    CHECK(distance(outputs(net, states).array(), out.array()) < 1e-12);  // the network as a cell
    return mse(slice(out, 0, 50, 350), slice(tape.constant(y), 0, 50, 350)).item();
  };
  CHECK(error(0.9) < 1e-6);
  CHECK(error(0) > 0.1);
}

TEST_CASE("what an echo state network refuses") {
  Rng rng(6);
  CHECK_THROWS_WITH_AS(EchoStateCell(1, 0, rng), "echo state: hidden size must be at least 1, not 0", Error);
  CHECK_THROWS_WITH_AS(EchoStateCell(1, 4, rng, {.spectral_radius = -1}),
                       "echo state: the spectral radius is -1: it must be 0 or more", Error);
  CHECK_THROWS_WITH_AS(EchoStateCell(1, 4, rng, {.leak = 0}), "echo state: leak is 0: it must be in (0, 1]", Error);
  CHECK_THROWS_WITH_AS(EchoStateCell(1, 4, rng, {.density = 2}), "echo state: density is 2: it must be in (0, 1]",
                       Error);
  EchoStateNetwork net(1, 9, 2, rng);
  CHECK_THROWS_WITH_AS(net.fit(zeros(20, 1, 1), zeros(20, 1, 1)),
                       "echo state: x (20, 1, 1) and targets (20, 1, 1) do not fit: [T, N, 1] and [T, N, 2]", Error);
  CHECK_THROWS_WITH_AS(net.fit(zeros(20, 1, 1), zeros(20, 1, 2), 20),
                       "echo state: a washout of 20 steps leaves nothing of 20", Error);
  CHECK_THROWS_WITH_AS(net.fit(zeros(5, 1, 1), zeros(5, 1, 2), 0, 0),
                       "echo state: 5 equations for 10 unknowns: give a longer series, fewer unknowns or a ridge",
                       Error);
  CHECK_THROWS_WITH_AS(net.fit(zeros(20, 1, 1), full({20, 1, 2}, NAN)),
                       "echo state: a value is not finite: least squares need numbers", Error);
}
