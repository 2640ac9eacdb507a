// log(sum(exp(x))), by its primitives.

#include <rewind/autograd/transform/derivatives.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/reduce.h>

#include "evals.h"
#include "plain.h"

namespace rw::bench::gradbench {
namespace {

Tensor log_sum_exp(Tensor x) {
  const Tensor largest = max(x);
  return largest + log(sum(exp(x - largest)));
}

}  // namespace

Eval lse_eval() {
  return {"lse", {"primal", "gradient"}, [](std::string_view function, const json& input, Engine engine) -> Work {
            const auto x = input.at("x").get<Numbers>();
            if (engine == Engine::plain && function == "primal")
              return plain([x] { return json(plain_cpp::lse<double>(x)); });
            if (function == "primal")
              return ours(
                  engine, [](Tape&, const auto& at) { return std::vector{log_sum_exp(at[0])}; }, {vector_of(x)},
                  number);
            if (function != "gradient" || engine == Engine::plain) no_function("lse", function);
            return ours(
                engine, [](Tape&, const auto& at) { return std::vector{value_and_grad(log_sum_exp, at[0]).second}; },
                {vector_of(x)}, list);
          }};
}

}  // namespace rw::bench::gradbench
