#include <cmath>

#include <rewind/autograd/backward.h>
#include <rewind/autograd/compile/compile.h>
#include <rewind/core/error.h>
#include <rewind/models/classic/autoregressive.h>
#include <rewind/models/init.h>
#include <rewind/models/optim/optimizer.h>
#include <rewind/ops/ops.h>
#include <rewind/tools/gradcheck/check_op.h>
#include <rewind/tools/gradcheck/gradcheck.h>

#include "support.h"

using namespace rw;
using rw::test::distance;
using rw::test::golden;

namespace {

const Array series({0.3, -0.2, 0.5, 1.1, 0.4, -0.6, -0.9, 0.1, 0.8, 0.7}, {10, 1});

// x(t) = 0.6 x(t-1) - 0.5 x(t-2) + 0.4 x(t-3) + noise.
Array third_order(Index steps, double noise) {
  Rng rng(4);
  Array x({steps, 1}, DType::f64);
  auto v = x.span<double>();
  for (std::size_t t = 0; t < v.size(); ++t) {
    v[t] = noise * rng.normal();
    if (t >= 3) v[t] += 0.6 * v[t - 1] - 0.5 * v[t - 2] + 0.4 * v[t - 3];
  }
  return x;
}

}  // namespace

TEST_CASE("windows: the last k values side by side, the oldest first") {
  Tape tape;
  const Tensor x = tape.constant(arange(8).to(DType::f32).reshaped({4, 1, 2}));
  CHECK(windows(x, 3).array() ==
        Array({0.0f, 1.0f, 2.0f, 3.0f, 4.0f, 5.0f, 2.0f, 3.0f, 4.0f, 5.0f, 6.0f, 7.0f}, {2, 1, 6}));
  CHECK(windows(x, 1).array() == x.array());
  CHECK_THROWS_WITH_AS(windows(x, 5), "[windows] 4 values are fewer than the 5 delay taps: (4, 1, 2)", Error);
  CHECK_THROWS_WITH_AS(windows(x, 0), "[windows] 0 delay taps: there must be 1 or more", Error);
  CHECK_THROWS_WITH_AS(windows(select(x, 1, 0), 2), "[windows] needs a sequence [T, N, features], not (4, 2)", Error);
}

TEST_CASE("windows: derivatives of orders 1 and 2, compiled") {
  const auto taken = [](const Array& x) {
    const Index T = x.shape()[0], N = x.shape()[1], D = x.shape()[2], k = 3;
    Array y({T - k + 1, N, k * D}, DType::f64);
    for (Index t = 0; t + k <= T; ++t)
      for (Index n = 0; n < N; ++n)
        for (Index i = 0; i < k * D; ++i) y.set({t, n, i}, x.at({t + i / D, n, i % D}));
    return y;
  };
  CHECK(check_op("windows", [](Tensor x) { return windows(x, 3); }, taken,
                 {.shapes = {{{5, 2, 2}}, {{3, 1, 1}}, {{4, 1, 3}}}, .bad = {{{2, 1, 1}}, {{5, 2}}}}));
}

TEST_CASE("least squares give the weights of the normal equations, and so does the gradient") {
  AutoregressiveModel model(2);
  model.to(DType::f64);
  model.fit(series);
  const auto expected = golden("autoregression");
  CHECK(distance(model.parameter("W").value(), std::span(expected).first(2)) < 1e-12);
  CHECK(distance(model.parameter("b").value(), std::span(expected).last(1)) < 1e-12);

  AutoregressiveModel trained(2);
  trained.to(DType::f64);
  Adam adam(trained.parameters(), {.rate = 0.05});
  Tape tape(DType::f64);
  for (int i = 0; i < 1500; ++i) {
    tape.clear();
    if (i == 1000) adam.set_rate(0.002);
    backward(trained.loss(tape.constant(series.reshaped({10, 1, 1}))));
    adam.step();
  }
  CHECK(distance(trained.parameter("W").value(), std::span(expected).first(2)) < 1e-3);
  CHECK(distance(trained.parameter("b").value(), std::span(expected).last(1)) < 1e-3);
}

TEST_CASE("an autoregressive model's gradients, compiled too, and its forecast") {
  AutoregressiveModel model(3, 2);
  Rng rng(2);
  for (const NamedParameter& p : model.parameters()) p.parameter->set(uniform(rng, p.parameter->shape(), -0.5, 0.5));
  const Array x = uniform(rng, {7, 2, 2}, -1, 1);
  const auto loss = [&](Tape& tape) {
    const Tensor in = tape.constant(x);
    return model.loss(in) + sum(square(model.forecast(in, 3)));
  };
  CHECK(gradcheck(loss, model.parameters(), {.order = 2}).ok());
  Tape tape(DType::f64);
  const Tensor all = tape.constant(x), forecast = model.forecast(all, 3);
  CHECK(forecast.shape() == Shape{3, 2, 2});
  const Tensor one = select(model(all), 0, -1);
  CHECK(distance(select(forecast, 0, 0).array(), one.array()) == 0);
  const Tensor two = select(model(concat({all, reshape(one, {1, 2, 2})})), 0, -1);
  CHECK(distance(select(forecast, 0, 1).array(), two.array()) < 1e-15);
  rw::test::check_plan(loss, model.parameters());
}

TEST_CASE("a model that says what comes some steps ahead at once") {
  // Four taps tell a sum of two waves, however far ahead.
  Array x({60, 1}, DType::f64);
  for (Index t = 0; t < 60; ++t)
    x.set({t, 0}, std::sin(0.3 * static_cast<double>(t)) + std::cos(1.1 * static_cast<double>(t)));
  AutoregressiveModel model(4, 1, 7);
  model.to(DType::f64);
  model.fit(x);
  Tape tape(DType::f64);
  const Tensor all = tape.constant(x.reshaped({60, 1, 1}));
  CHECK(model.loss(all).item() < 1e-20);
  const Array forecasts = model(slice(all, 0, 0, 53)).array();
  CHECK(forecasts.shape() == Shape{50, 1, 1});
  CHECK(forecasts.at({49, 0, 0}) == doctest::Approx(x.at({59, 0})).epsilon(1e-9));
  CHECK(model.clone().ahead() == 7);
  CHECK_THROWS_WITH_AS(model.forecast(all, 2), "[autoregressive] a model of 7 steps ahead cannot go on by itself",
                       Error);
  CHECK_THROWS_WITH_AS(model.fit(zeros(10, 1)),
                       "autoregressive: 10 values are too few for 4 delay taps and a value to forecast", Error);
  CHECK_THROWS_WITH_AS(AutoregressiveModel(4, 1, 0), "autoregressive: 0 steps ahead: it must be 1 or more", Error);
}

TEST_CASE("the order that made a series is found, by AIC and by held-out error") {
  const Array x = third_order(600, 1);
  const OrderChoice aic = choose_order(x, 8, OrderCriterion::aic);
  CHECK(aic.scores.size() == 8);
  CHECK(aic.order >= 3);
  CHECK(aic.order <= 4);
  CHECK(aic.scores[2] < aic.scores[1] - 50);
  const OrderChoice held_out = choose_order(x, 8, OrderCriterion::held_out);
  CHECK(held_out.order >= 3);
  CHECK(held_out.scores[2] < 0.9 * held_out.scores[1]);
  AutoregressiveModel model(3);
  model.fit(x);
  const double expected[] = {0.4, -0.5, 0.6};
  CHECK(distance(model.parameter("W").value(), expected) < 0.1);
}

TEST_CASE("what an autoregressive model refuses") {
  AutoregressiveModel model(4);
  CHECK_THROWS_WITH_AS(model.fit(zeros(4, 1)),
                       "autoregressive: 4 values are too few for 4 delay taps and a value to forecast", Error);
  CHECK_THROWS_WITH_AS(model.fit(zeros(6, 1)),
                       "autoregressive: 2 equations for 5 unknowns: give a longer series, fewer unknowns or a ridge",
                       Error);
  model.fit(zeros(6, 1), 0.1);
  CHECK_THROWS_WITH_AS(model.fit(zeros(9, 2)), "autoregressive: a series is [T, 1] or [T, N, 1], not (9, 2)", Error);
  CHECK_THROWS_WITH_AS(model.fit(zeros(9, 1), -1), "autoregressive: a ridge of -1: it must be 0 or more", Error);
  CHECK_THROWS_WITH_AS(model.fit(full({9, 1}, NAN)),
                       "autoregressive: a value is not finite: least squares need numbers", Error);
  CHECK_THROWS_WITH_AS(AutoregressiveModel(0), "autoregressive: order size must be at least 1, not 0", Error);
  CHECK_THROWS_WITH_AS(choose_order(zeros(9, 1), 8, OrderCriterion::aic),
                       "choose_order: 9 values are too few to try 8 delay taps", Error);
  CHECK_THROWS_WITH_AS(choose_order(zeros(30, 2), 2, OrderCriterion::aic),
                       "choose_order: AIC of a series of 2 values at a time: hold out a part", Error);
  Tape tape;
  CHECK_THROWS_WITH_AS(model.loss(tape.constant(0, Shape{4, 1, 1})),
                       "[autoregressive] (4, 1, 1) are too few for 4 delay taps and a value to forecast", Error);
}
