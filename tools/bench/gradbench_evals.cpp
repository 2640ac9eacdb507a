// GradBench's evals as contests: the derivative eager and compiled, beside the function alone, compiled and in plain
// C++.

#include <fmt/format.h>

#include <rewind/core/random.h>
#include <rewind/tools/bench/gradbench/evals.h>

#include "contests.h"

namespace rw::bench {
namespace {

using gradbench::Engine;
using gradbench::json;

json random_list(Rng& rng, std::size_t n, double lo, double hi) {
  std::vector<double> out;
  for (std::size_t i = 0; i < n; ++i) out.push_back(rng.uniform(lo, hi));
  return out;
}
json random_rows(Rng& rng, std::size_t m, std::size_t n, double lo = -1, double hi = 1) {
  json out = json::array();
  for (std::size_t i = 0; i < m; ++i) out.push_back(random_list(rng, n, lo, hi));
  return out;
}

/// One eval at one size.
struct Size {
  std::string name, eval, function, derivative;
  bool quick;
  std::function<json(Rng&)> input;
};

std::vector<Size> sizes() {
  std::vector<Size> out;
  for (const std::size_t n : {10000, 1280000})
    out.push_back({fmt::format("lse/n{}", n), "lse", "primal", "gradient", n == 10000, [n](Rng& rng) {
                     return json{{"x", random_list(rng, n, -3, 3)}};
                   }});
  for (const std::size_t m : {16, 128})
    out.push_back({fmt::format("llsq/n16392 m{}", m), "llsq", "primal", "gradient", m == 16, [m](Rng& rng) {
                     return json{{"x", random_list(rng, m, -1, 1)}, {"n", 16392}};
                   }});
  for (const std::size_t l : {5, 6, 7})
    out.push_back({fmt::format("det/l{}", l), "det", "primal", "gradient", l == 5, [l](Rng& rng) {
                     return json{{"A", random_list(rng, l * l, -1, 1)}, {"ell", l}};
                   }});
  for (const std::size_t n : {1000, 100000})
    out.push_back({fmt::format("ode/n{} s10", n), "ode", "primal", "gradient", n == 1000, [n](Rng& rng) {
                     return json{{"x", random_list(rng, n, 0.5, 1)}, {"s", 10}};
                   }});
  for (const std::size_t d : {10, 64})
    out.push_back({fmt::format("gmm/n1000 d{} k25", d), "gmm", "objective", "jacobian", d == 10, [d](Rng& rng) {
                     constexpr std::size_t k = 25, n = 1000;
                     return json{{"d", d},
                                 {"k", k},
                                 {"n", n},
                                 {"alpha", random_list(rng, k, -1, 1)},
                                 {"mu", random_rows(rng, k, d)},
                                 {"q", random_rows(rng, k, d)},
                                 {"l", random_rows(rng, k, d * (d - 1) / 2)},
                                 {"x", random_rows(rng, n, d)},
                                 {"gamma", 1.0},
                                 {"m", 0}};
                   }});
  out.push_back({"kmeans/n10000 k100 d16", "kmeans", "cost", "dir", false, [](Rng& rng) {
                   const json points = random_rows(rng, 10000, 16);
                   // Centroids that are points: each has one.
                   return json{{"points", points}, {"centroids", json::array_t(points.begin(), points.begin() + 100)}};
                 }});
  out.push_back({"ba/n49 m7776 p31843", "ba", "objective", "jacobian", false, [](Rng& rng) {
                   return json{{"n", 49},
                               {"m", 7776},
                               {"p", 31843},
                               {"cam", random_list(rng, 11, 0.1, 1)},
                               {"x", {2, 3, 2.5}},
                               {"w", 0.7},
                               {"feat", random_list(rng, 2, -1, 1)}};
                 }});
  return out;
}

gradbench::Work made(const Size& size, const std::string& function, Engine engine) {
  Rng rng(1);
  return gradbench::eval(size.eval).make(function, size.input(rng), engine);
}

void collect(const json& j, std::vector<double>& into) {
  if (j.is_number()) into.push_back(j.get<double>());
  if (j.is_structured())
    for (const json& part : j) collect(part, into);
}

Contender contender(std::string name, const gradbench::Work& work, bool yardstick) {
  Contender c{std::move(name), work.run};
  if (!yardstick)
    c.result = [work] {
      std::vector<double> all;
      collect(work.output(), all);
      return Result{{"derivative", all}};
    };
  return c;
}

}  // namespace

std::vector<Contest> gradbench_eval_contests() {
  std::vector<Contest> all;
  for (const Size& size : sizes()) {
    Contest c;
    c.name = "gradbench/" + size.name;
    c.note = "a gradient or Jacobian, f64";
    c.tolerance = 1e-10;
    c.quick = size.quick;
    c.make = [size](const Setting&) {
      Field out;
      out.contenders = {contender("Rewind eager", made(size, size.derivative, Engine::eager), false),
                        contender("Rewind compiled", made(size, size.derivative, Engine::compiled), false),
                        contender("the function alone, compiled", made(size, size.function, Engine::compiled), true),
                        contender("the function alone, plain C++", made(size, size.function, Engine::plain), true)};
      return out;
    };
    all.push_back(std::move(c));
  }
  return all;
}

}  // namespace rw::bench
