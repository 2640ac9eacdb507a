// GradBench's evals as comparisons: the derivative eager and compiled, by other tools and by hand, beside the function
// alone, compiled and in plain C++.

#include <fmt/format.h>

#include <rewind/core/random.h>
#include <rewind/tools/bench/gradbench/inputs.h>

#include "comparisons.h"
#include "gradbench_peers.h"

namespace rw::bench {
namespace {

using gradbench::Engine;
using gradbench::json;
using gradbench::random_hand, gradbench::random_list, gradbench::random_rows;

/// One eval at one size.
struct Size {
  std::string name, eval, function, derivative;
  bool quick;
  std::function<json(Rng&)> input;
  /// Converges by values: results agree as far as they converged.
  bool converges = false;
  bool compiles = true;
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
  for (const bool full : {false, true})
    out.push_back({fmt::format("ht/{} points 100", full ? "us" : "vertices"), "ht", "objective", "jacobian", true,
                   [full](Rng& rng) { return random_hand(rng, 544, 100, full); }});
  out.push_back({"hello/", "hello", "square", "double", true, [](Rng&) { return json{{"x", 3.0}}; }});
  for (const char* modes : {"rr", "fr", "rf", "ff"}) {
    out.push_back({fmt::format("particle/{}", modes), "particle", modes, modes, false,
                   [](Rng&) {
                     return json{{"w", 0.0}};
                   },
                   true});
    out.push_back({fmt::format("saddle/{}", modes), "saddle", modes, modes, false,
                   [](Rng&) {
                     return json{{"start", {1.0, 1.0}}};
                   },
                   true, false});
  }
  return out;
}

gradbench::Work made(const Size& size, const std::string& function, Engine engine) {
  Rng rng(1);
  return gradbench::eval(size.eval).make(function, size.input(rng), engine);
}

Contender contender(std::string name, const gradbench::Work& work, bool yardstick) {
  Contender c{std::move(name), work.run};
  if (!yardstick) c.result = [work] { return Result{{"derivative", gradbench::numbers_in(work.output())}}; };
  return c;
}

Field field_of(const Size& size) {
  const auto ours = [&](const char* name, Engine engine) {
    return contender(name, made(size, size.derivative, engine), false);
  };
  const auto function = [&](const char* name, Engine engine) {
    return contender(name, made(size, size.function, engine), true);
  };
  Field out;
  out.contenders.push_back(ours("Rewind eager", Engine::eager));
  if (size.compiles) {
    const gradbench::Work work = made(size, size.derivative, Engine::compiled);
    out.contenders.push_back(contender("Rewind compiled", work, false));
    out.contenders.push_back({"to compile it, once", work.compile});
  }
  for (const Peer& peer : {by_hand_peer(), adolc_peer(), sacado_peer()}) {
    if (*peer.absent != 0) {
      out.absent.push_back(fmt::format("{}: {}", peer.name, peer.absent));
      continue;
    }
    Rng rng(1);
    if (const auto work = peer.derivative(size.eval, size.input(rng)))
      out.contenders.push_back(contender(peer.name, *work, false));
  }
  if (size.converges) {
    out.contenders.push_back(ours("plain C++, derivatives by hand", Engine::plain));
  } else {
    out.contenders.push_back(function("the function alone, compiled", Engine::compiled));
    out.contenders.push_back(function("the function alone, plain C++", Engine::plain));
  }
  return out;
}

}  // namespace

std::vector<Comparison> gradbench_eval_comparisons() {
  std::vector<Comparison> all;
  for (const Size& size : sizes()) {
    Comparison c;
    c.name = "gradbench/" + size.name;
    c.note = "a gradient or Jacobian, f64";
    c.tolerance = size.converges ? 1e-4 : 1e-10;
    c.quick = size.quick;
    c.make = [size](const Setting&) { return field_of(size); };
    all.push_back(std::move(c));
  }
  return all;
}

}  // namespace rw::bench
