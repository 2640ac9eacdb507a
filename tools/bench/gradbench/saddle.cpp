// The saddle point min over x of max over y of (x1^2 + x2^2) - (y1^2 + y2^2), by gradient descent within gradient
// descent. The inner maximum is a fixed point of gradient steps, so that the outer derivative goes through what it
// means and not through its steps. What converges is decided by values: nothing of it can be compiled.

#include <cmath>

#include <rewind/autograd/transform/implicit.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/reduce.h>

#include "descent.h"

namespace rw::bench::gradbench {
namespace {

Tensor objective(Tensor x, Tensor y) { return sum(square(x)) - sum(square(y)); }

Tensor best_answer(Mode mode, Tensor x, const Array& start) {
  const auto uphill = [mode, x](Tensor y) {
    return y + 0.45 * gradient(
                          mode, [&](Tensor at) { return objective(x, at); }, y);
  };
  return fixed_point(uphill, x.tape().constant(start));
}

json saddle(Mode outer, Mode inner, const Numbers& start) {
  Tape tape(DType::f64);
  const Array from(start);
  const auto evaluate = [&](const std::function<Tensor(Tensor)>& f, Mode mode, const Numbers& at) {
    tape.clear();
    const Tensor x = tape.constant(Array(at));
    const Tensor slope = gradient(mode, f, x);
    return std::pair(f(x).item(), slope.array().to_vector<double>());
  };
  const Numbers x = descend(
      [&](const Numbers& at) {
        return evaluate([&](Tensor t) { return objective(t, best_answer(inner, t, from)); }, outer, at);
      },
      start);
  const Numbers y = descend(
      [&](const Numbers& at) {
        return evaluate([&](Tensor t) { return -objective(t.tape().constant(Array(x)), t); }, outer, at);
      },
      start);
  Numbers both = x;
  both.insert(both.end(), y.begin(), y.end());
  return both;
}

json plain_saddle(const Numbers& start) {
  const auto f = [](const Numbers& x) { return std::pair(x[0] * x[0] + x[1] * x[1], Numbers{2 * x[0], 2 * x[1]}); };
  Numbers both = descend(f, start);
  const Numbers y = both;  // the same function of y, upside down
  both.insert(both.end(), y.begin(), y.end());
  return both;
}

}  // namespace

Eval saddle_eval() {
  return {"saddle", {"ff", "fr", "rf", "rr"}, [](std::string_view function, const json& input, Engine engine) -> Work {
            const auto start = input.at("start").get<Numbers>();
            const auto [outer, inner] = modes_of("saddle", function);
            if (engine == Engine::plain) return plain([start] { return plain_saddle(start); });
            return plain([outer = outer, inner = inner, start] { return saddle(outer, inner, start); });
          }};
}

}  // namespace rw::bench::gradbench
