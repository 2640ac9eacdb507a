// The determinant by expansion along the first row, minors and all, without sharing any.

#include <rewind/autograd/transform/derivatives.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/view.h>

#include "evals.h"
#include "plain.h"

namespace rw::bench::gradbench {
namespace {

Tensor recorded(Tensor a, Index n) {
  return plain_cpp::determinant<Tensor>(split(a, n * n), static_cast<std::size_t>(n));
}

}  // namespace

Eval det_eval() {
  return {"det", {"primal", "gradient"}, [](std::string_view function, const json& input, Engine engine) -> Work {
            const auto a = input.at("A").get<Numbers>();
            const auto n = input.at("ell").get<Index>();
            if (n < 1 || n * n != static_cast<Index>(a.size())) throw std::runtime_error("det: A is not ell x ell");
            if (engine == Engine::plain && function == "primal")
              return plain([a, n] { return json(plain_cpp::determinant<double>(a, static_cast<std::size_t>(n))); });
            if ((function != "primal" && function != "gradient") || engine == Engine::plain)
              no_function("det", function);
            const Record record = [n, derive = function == "gradient"](Tape&, const std::vector<Tensor>& at) {
              const auto f = [n](Tensor m) { return recorded(m, n); };
              return std::vector<Tensor>{derive ? value_and_grad(f, at[0]).second : f(at[0])};
            };
            return ours(engine, record, {vector_of(a)}, function == "primal" ? number : list);
          }};
}

}  // namespace rw::bench::gradbench
