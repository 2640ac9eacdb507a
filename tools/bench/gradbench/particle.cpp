// A charged particle between two fixed charges, one of which stands where w says: w is to make it cross the x axis at
// the origin. Its path is followed by Euler's method, with the force as the gradient of the potential, until it
// crosses; how far off it is, squared, is minimised by gradient descent. The loop ends by a value: nothing of it can be
// compiled.

#include <cmath>

#include <rewind/autograd/transform/derivatives.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/reduce.h>
#include <rewind/ops/view.h>

#include "descent.h"

namespace rw::bench::gradbench {
namespace {

constexpr double time_step = 0.1;

Tensor potential(Tensor x, Tensor w) {
  const Tensor fixed = x.tape().constant(Array({10.0, 0.0}, Shape{2}));
  const Tensor moved = concat({x.tape().constant(10, {1}), 10 - reshape(w, {1})});
  const auto distance = [&](Tensor charge) { return sqrt(sum(square(x - charge))); };
  return 1 / distance(fixed) + 1 / distance(moved);
}

// Where it crosses the x axis, squared.
Tensor miss(Mode inner, Tensor w) {
  Tape& tape = w.tape();
  Tensor x = tape.constant(Array({0.0, 8.0}, Shape{2})), v = tape.constant(Array({0.75, 0.0}, Shape{2}));
  for (;;) {
    const Tensor next = x + time_step * v;
    if (!(next.array().at({1}) > 0)) break;
    v = v - time_step * gradient(
                            inner, [&](Tensor at) { return potential(at, w); }, x);
    x = next;
  }
  const Tensor left = -select(x, 0, 1) / select(v, 0, 1);  // time until it crosses
  return square(select(x, 0, 0) + left * select(v, 0, 0));
}

double particle(Mode outer, Mode inner, double w) {
  Tape tape(DType::f64);
  const auto f = [&](const Numbers& at) {
    tape.clear();
    const Tensor t = tape.constant(at[0]);
    const auto own = [&](Tensor x) { return miss(inner, x); };
    if (outer == Mode::reverse) {
      const auto [value, slope] = value_and_grad(own, t);
      return std::pair(value.item(), Numbers{slope.item()});
    }
    const auto [value, slope] = jvp(own, t, tape.constant(1.0));
    return std::pair(value.item(), Numbers{slope.item()});
  };
  return descend(f, {w})[0];
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
        return plain([outer = outer, inner = inner, w] { return json(particle(outer, inner, w)); });
      }};
}

}  // namespace rw::bench::gradbench
