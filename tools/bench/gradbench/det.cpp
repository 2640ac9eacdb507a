// The determinant by expansion along the first row, minors and all, without sharing any.

#include <cmath>

#include <rewind/autograd/transform/derivatives.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/view.h>

#include "evals.h"

namespace rw::bench::gradbench {
namespace {

// The minor of the rows from `row` on and of the columns that are left; T: double, or Tensor.
template <class T>
T minor(const std::vector<T>& a, Index n, Index row, std::vector<Index>& columns) {
  const auto at = [&](Index j) { return a[static_cast<std::size_t>(row * n + j)]; };
  if (columns.size() == 1) return at(columns[0]);
  T sum{};
  for (std::size_t k = 0; k < columns.size(); ++k) {
    const Index column = columns[k];
    columns.erase(columns.begin() + static_cast<std::ptrdiff_t>(k));
    const T term = at(column) * minor(a, n, row + 1, columns);
    columns.insert(columns.begin() + static_cast<std::ptrdiff_t>(k), column);
    sum = k == 0 ? term : k % 2 == 0 ? sum + term : sum - term;
  }
  return sum;
}

template <class T>
T determinant(const std::vector<T>& a, Index n) {
  std::vector<Index> columns;
  for (Index j = 0; j < n; ++j) columns.push_back(j);
  return minor(a, n, 0, columns);
}

Tensor recorded(Tensor a, Index n) { return determinant(split(a, n * n), n); }

}  // namespace

Eval det_eval() {
  return {"det", {"primal", "gradient"}, [](std::string_view function, const json& input, Engine engine) -> Work {
            const auto a = input.at("A").get<Numbers>();
            const auto n = input.at("ell").get<Index>();
            if (n < 1 || n * n != static_cast<Index>(a.size())) throw std::runtime_error("det: A is not ell x ell");
            if (engine == Engine::plain && function == "primal")
              return plain([a, n] { return json(determinant(a, n)); });
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
