// A charged particle between two fixed charges, one of which stands where w says: w is to make it cross the x axis at
// the origin. Its path is followed by Euler's method, with the force as the gradient of the potential, until it
// crosses; how far off it is, squared, is minimised by gradient descent. The path ends by a value: compiled, all steps
// are computed that it may take, and those after its end change nothing. The descent is a loop of C++ around it.

#include <cmath>
#include <memory>
#include <stdexcept>

#include <rewind/autograd/compile/compile.h>
#include <rewind/autograd/transform/derivatives.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/compare.h>
#include <rewind/ops/control_flow.h>
#include <rewind/ops/reduce.h>
#include <rewind/ops/view.h>

#include "descent.h"

namespace rw::bench::gradbench {
namespace {

constexpr double time_step = 0.1;
constexpr Index most_steps = 400;  // 355 are the most on the way from w = 0

Tensor potential(Tensor x, Tensor w) {
  const Tensor fixed = x.tape().constant(Array({10.0, 0.0}, Shape{2}));
  const Tensor moved = concat({x.tape().constant(10, {1}), 10 - reshape(w, {1})});
  const auto distance = [&](Tensor charge) { return sqrt(sum(square(x - charge))); };
  return 1 / distance(fixed) + 1 / distance(moved);
}

struct Flight {
  Tensor x, v;
};

// Where it crosses the x axis, squared; and the height of the step after the last, which is beyond the axis.
std::pair<Tensor, Tensor> miss(Mode inner, Tensor w) {
  Tape& tape = w.tape();
  const Flight start{tape.constant(Array({0.0, 8.0}, Shape{2})), tape.constant(Array({0.75, 0.0}, Shape{2}))};
  const auto next = [](const Flight& f) { return f.x + time_step * f.v; };
  const auto above = [&](const Flight& f) { return select(next(f), 0, 1) > 0; };
  const auto step = [&](const Flight& f) {
    const Tensor slope = gradient(
        inner, [&](Tensor at) { return potential(at, w); }, f.x);
    return Flight{next(f), f.v - time_step * slope};
  };
  const Flight end = while_loop(above, step, start, {.at_most = most_steps});
  const Tensor left = -select(end.x, 0, 1) / select(end.v, 0, 1);  // time until it crosses
  return {square(select(end.x, 0, 0) + left * select(end.v, 0, 0)), select(next(end), 0, 1)};
}

// The miss, its derivative by w, and that height.
std::vector<Tensor> derivative(Mode outer, Mode inner, Tensor w) {
  Tensor height;
  const auto f = [&](Tensor at) {
    const auto [value, beyond] = miss(inner, at);
    height = beyond;
    return value;
  };
  const auto [value, slope] = outer == Mode::reverse ? value_and_grad(f, w) : jvp(f, w, w.tape().constant(1.0));
  return {value, slope, height};
}

// `f` gives these three numbers.
json descend_by(const std::function<std::vector<Tensor>(double)>& f, double w) {
  return descend(
      [&](const Numbers& at) {
        const std::vector<Tensor> d = f(at[0]);
        if (d[2].item() > 0) throw std::runtime_error("particle: it does not cross the axis in so many steps");
        return std::pair(d[0].item(), Numbers{d[1].item()});
      },
      {w})[0];
}

Work eager(Mode outer, Mode inner, double w) {
  return plain([=] {
    Tape tape(DType::f64);
    return descend_by(
        [&](double at) {
          tape.clear();
          return derivative(outer, inner, tape.constant(at));
        },
        w);
  });
}

Work compiled(Mode outer, Mode inner, double w) {
  const auto plan = [=] {
    return compile([=](Tape&, Tensor at) { return derivative(outer, inner, at); }, {.dtype = DType::f64},
                   full({}, w, DType::f64));
  };
  const auto f = std::make_shared<decltype(plan())>(plan());
  Work work = plain([f, w] { return descend_by([&](double at) { return (*f)(full({}, at, DType::f64)); }, w); });
  work.compile = [plan] { plan(); };
  return work;
}

// The same with the path's derivative by w carried along by hand.
std::pair<double, Numbers> plain_miss(const Numbers& at) {
  const double w = at[0];
  double x[2] = {0, 8}, v[2] = {0.75, 0}, dx[2] = {0, 0}, dv[2] = {0, 0};
  while (x[1] + time_step * v[1] > 0) {
    double force[2] = {0, 0}, slope[2] = {0, 0};
    for (const bool moves : {false, true}) {
      const double away[2] = {x[0] - 10, x[1] - (moves ? 10 - w : 0)};
      const double by_w[2] = {dx[0], dx[1] + (moves ? 1 : 0)};
      const double squared = away[0] * away[0] + away[1] * away[1], cubed = squared * std::sqrt(squared);
      const double along = away[0] * by_w[0] + away[1] * by_w[1];
      for (int i = 0; i < 2; ++i) {
        force[i] += away[i] / cubed;
        slope[i] += by_w[i] / cubed - 3 * away[i] * along / (cubed * squared);
      }
    }
    for (int i = 0; i < 2; ++i) {
      x[i] += time_step * v[i], dx[i] += time_step * dv[i];
      v[i] += time_step * force[i], dv[i] += time_step * slope[i];
    }
  }
  const double left = -x[1] / v[1], dleft = (-dx[1] - left * dv[1]) / v[1];
  const double off = x[0] + left * v[0];
  return {off * off, {2 * off * (dx[0] + dleft * v[0] + left * dv[0])}};
}

}  // namespace

Eval particle_eval() {
  return {
      "particle", {"ff", "fr", "rf", "rr"}, [](std::string_view function, const json& input, Engine engine) -> Work {
        const double w = input.at("w").get<double>();
        const auto [outer, inner] = modes_of("particle", function);
        if (engine == Engine::plain) return plain([w] { return json(descend(plain_miss, {w})[0]); });
        return engine == Engine::compiled ? compiled(outer, inner, w) : eager(outer, inner, w);
      }};
}

}  // namespace rw::bench::gradbench
