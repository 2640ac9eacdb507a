// Least squares of a polynomial against the sign of t, on n points t of [-1, 1].

#include <rewind/autograd/transform/derivatives.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/matmul.h>
#include <rewind/ops/reduce.h>

#include "evals.h"
#include "plain.h"

namespace rw::bench::gradbench {
namespace {

// The powers of the points, [n, m], and their signs, [n, 1].
std::vector<Array> points(Index n, Index m) {
  Array powers(Shape{n, m}, DType::f64), signs(Shape{n, 1}, DType::f64);
  for (Index i = 0; i < n; ++i) {
    const double at = plain_cpp::llsq_point(static_cast<std::size_t>(i), static_cast<std::size_t>(n));
    double power = 1;
    for (Index j = 0; j < m; ++j, power *= at) powers.span<double>()[static_cast<std::size_t>(i * m + j)] = power;
    signs.span<double>()[static_cast<std::size_t>(i)] = plain_cpp::llsq_sign(at);
  }
  return {powers, signs};
}

}  // namespace

Eval llsq_eval() {
  return {"llsq", {"primal", "gradient"}, [](std::string_view function, const json& input, Engine engine) -> Work {
            const auto x = input.at("x").get<Numbers>();
            const auto n = input.at("n").get<Index>();
            if (engine == Engine::plain && function == "primal")
              return plain([x, n] { return json(plain_cpp::llsq<double>(x, static_cast<std::size_t>(n))); });
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
