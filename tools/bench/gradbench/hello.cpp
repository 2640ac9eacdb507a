// x squared, and its derivative.

#include <rewind/autograd/transform/derivatives.h>
#include <rewind/ops/arithmetic.h>

#include "evals.h"

namespace rw::bench::gradbench {

Eval hello_eval() {
  return {"hello", {"square", "double"}, [](std::string_view function, const json& input, Engine engine) -> Work {
            const double x = input.is_number() ? input.get<double>() : input.at("x").get<double>();
            const auto f = [](Tensor t) { return square(t); };
            if (function != "square" && function != "double") no_function("hello", function);
            if (engine == Engine::plain)
              return plain([x, twice = function == "double"] { return json(twice ? 2 * x : x * x); });
            const Record record = [f, derive = function == "double"](Tape&, const std::vector<Tensor>& at) {
              return std::vector<Tensor>{derive ? value_and_grad(f, at[0]).second : f(at[0])};
            };
            return ours(engine, record, {Array({x}, Shape{})}, number);
          }};
}

}  // namespace rw::bench::gradbench
