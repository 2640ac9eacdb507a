// y' = (x_0, x_1 y_0, x_2 y_1, ...) from 0 on, to time 2 by s steps of Runge and Kutta; the gradient is of the last y.

#include <rewind/autograd/transform/derivatives.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/view.h>

#include "evals.h"
#include "plain.h"

namespace rw::bench::gradbench {
namespace {

constexpr double end = 2;

Tensor slope(Tensor x, Tensor y) {
  const Index n = x.size(0);
  return concat({slice(x, 0, 0, 1), slice(x, 0, 1, n - 1) * slice(y, 0, 0, n - 1)});
}

Tensor solved(Tensor x, Index steps) {
  const double h = end / static_cast<double>(steps);
  Tensor y = x.tape().constant(0, x.shape());
  for (Index i = 0; i < steps; ++i) {
    const Tensor k1 = slope(x, y), k2 = slope(x, y + h / 2 * k1), k3 = slope(x, y + h / 2 * k2);
    const Tensor k4 = slope(x, y + h * k3);
    y = y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4);
  }
  return y;
}

}  // namespace

Eval ode_eval() {
  return {"ode", {"primal", "gradient"}, [](std::string_view function, const json& input, Engine engine) -> Work {
            const auto x = input.at("x").get<Numbers>();
            const auto s = input.at("s").get<Index>();
            if (engine == Engine::plain && function == "primal")
              return plain([x, s] { return json(plain_cpp::ode<double>(x, static_cast<std::size_t>(s))); });
            if ((function != "primal" && function != "gradient") || engine == Engine::plain)
              no_function("ode", function);
            const Record record = [s, derive = function == "gradient"](Tape&, const std::vector<Tensor>& at) {
              const auto last = [s](Tensor p) { return select(solved(p, s), 0, -1); };
              return std::vector<Tensor>{derive ? value_and_grad(last, at[0]).second : solved(at[0], s)};
            };
            return ours(engine, record, {vector_of(x)}, list);
          }};
}

}  // namespace rw::bench::gradbench
