// Least squares of a polynomial against the sign of t, on n points t of [-1, 1].

#include <cmath>

#include <rewind/autograd/transform/derivatives.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/matmul.h>
#include <rewind/ops/reduce.h>

#include "evals.h"

namespace rw::bench::gradbench {
namespace {

double point(Index i, Index n) { return -1 + static_cast<double>(i) * 2 / static_cast<double>(n - 1); }
double sign(double t) { return static_cast<double>((t > 0) - (t < 0)); }

// The powers of the points, [n, m], and their signs, [n, 1].
std::vector<Array> points(Index n, Index m) {
  Array powers(Shape{n, m}, DType::f64), signs(Shape{n, 1}, DType::f64);
  for (Index i = 0; i < n; ++i) {
    double power = 1;
    for (Index j = 0; j < m; ++j, power *= point(i, n))
      powers.span<double>()[static_cast<std::size_t>(i * m + j)] = power;
    signs.span<double>()[static_cast<std::size_t>(i)] = sign(point(i, n));
  }
  return {powers, signs};
}

double plain_llsq(const Numbers& x, Index n) {
  double y = 0;
  for (Index i = 0; i < n; ++i) {
    double rest = sign(point(i, n)), power = 1;
    for (double e : x) rest -= e * power, power *= point(i, n);
    y += rest * rest;
  }
  return y / 2;
}

}  // namespace

Eval llsq_eval() {
  return {"llsq", {"primal", "gradient"}, [](std::string_view function, const json& input, Engine engine) -> Work {
            const auto x = input.at("x").get<Numbers>();
            const auto n = input.at("n").get<Index>();
            if (engine == Engine::plain && function == "primal")
              return plain([x, n] { return json(plain_llsq(x, n)); });
            if ((function != "primal" && function != "gradient") || engine == Engine::plain)
              no_function("llsq", function);
            std::vector<Array> arguments = points(n, static_cast<Index>(x.size()));
            arguments.push_back(Array(x, Shape{static_cast<Index>(x.size()), 1}));
            const Record record = [derive = function == "gradient"](Tape&, const std::vector<Tensor>& at) {
              const auto y = [&](Tensor c) { return sum(square(at[1] - matmul(at[0], c))) * 0.5; };
              return std::vector<Tensor>{derive ? value_and_grad(y, at[2]).second : y(at[2])};
            };
            return ours(engine, record, std::move(arguments), function == "primal" ? number : list);
          }};
}

}  // namespace rw::bench::gradbench
