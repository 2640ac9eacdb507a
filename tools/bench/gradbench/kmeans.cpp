// The sum over points of the squared distance to the nearest centroid; and Newton's direction, the gradient by the
// centroids over the Hessian's diagonal, which is all of the Hessian.

#include <algorithm>
#include <limits>

#include <rewind/autograd/transform/sparse.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/matmul.h>
#include <rewind/ops/reduce.h>
#include <rewind/ops/view.h>

#include "evals.h"

namespace rw::bench::gradbench {
namespace {

// |p - c|^2 = |p|^2 - 2 p c + |c|^2: a product, and nothing of the size [points, centroids, dimensions].
Tensor cost(Tensor points, Tensor centroids) {
  const Tensor products = matmul(points, centroids, {.transpose_b = true});
  return sum(min(sum(square(centroids), 1) - 2 * products, 1)) + sum(square(points));
}

double plain_cost(const Numbers& points, const Numbers& centroids, std::size_t d) {
  double total = 0;
  for (std::size_t p = 0; p < points.size(); p += d) {
    double least = std::numeric_limits<double>::infinity();
    for (std::size_t c = 0; c < centroids.size(); c += d) {
      double distance = 0;
      for (std::size_t i = 0; i < d; ++i) {
        const double apart = points[p + i] - centroids[c + i];
        distance += apart * apart;
      }
      least = std::min(least, distance);
    }
    total += least;
  }
  return total;
}

}  // namespace

Eval kmeans_eval() {
  return {"kmeans", {"cost", "dir"}, [](std::string_view function, const json& input, Engine engine) -> Work {
            const json &points = input.at("points"), &centroids = input.at("centroids");
            if (engine == Engine::plain && function == "cost")
              return plain([p = flat(points), c = flat(centroids), d = points.at(0).size()] {
                return json(plain_cost(p, c, d));
              });
            if ((function != "cost" && function != "dir") || engine == Engine::plain) no_function("kmeans", function);
            const Record record = [derive = function == "dir"](Tape&, const std::vector<Tensor>& at) {
              const auto f = [&](Tensor c) { return cost(at[0], c); };
              if (!derive) return std::vector<Tensor>{f(at[1])};
              const Tensor diagonal = hessian_diagonal(f, at[1]);
              return std::vector<Tensor>{value_and_grad(f, at[1]).second / reshape(diagonal, at[1].shape())};
            };
            const auto shape = function == "cost" ? std::function<json(const std::vector<Array>&)>(number)
                                                  : [](const std::vector<Array>& r) { return rows(r.at(0)); };
            return ours(engine, record, {matrix_of(points), matrix_of(centroids)}, shape);
          }};
}

}  // namespace rw::bench::gradbench
