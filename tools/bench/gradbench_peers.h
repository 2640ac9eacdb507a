#pragma once

// Other tools that differentiate GradBench's evals, as they stand in plain C++.

#include <optional>
#include <string>

#include <rewind/tools/bench/gradbench/evals.h>
#include <rewind/tools/bench/gradbench/plain.h>

namespace rw::bench {

struct Peer {
  const char* name;
  /// Why it does not take part at all; empty when it does.
  const char* absent;
  /// An eval's derivative; nothing where it has none, or would keep a tape that is too long for it.
  std::optional<gradbench::Work> (*derivative)(const std::string& eval, const gradbench::json& input);
};
/// Reverse mode by operator overloading, replayed from a tape (Walther and Griewank, "Getting started with ADOL-C",
/// 2012).
Peer adolc_peer();
/// Operator overloading (Phipps and Pawlowski, "Efficient expression templates for operator overloading-based automatic
/// differentiation", 2012): gradients in reverse mode, small Jacobians in forward mode.
Peer sacado_peer();
/// Written by hand.
Peer by_hand_peer();

/// About how many operations the function takes, all of which a tape keeps; 0: few.
inline std::size_t tape_length(const std::string& eval, const gradbench::json& input) {
  const auto size = [&](const char* name) { return input.at(name).get<std::size_t>(); };
  if (eval == "lse") return 5 * input.at("x").size();
  if (eval == "llsq") return size("n") * (2 * input.at("x").size() + 5);
  if (eval == "ode") return 25 * input.at("x").size() * size("s");
  if (eval == "gmm") return size("n") * size("k") * size("d") * (size("d") + 8);
  return 0;
}

/// `use(f, x)`, where the eval's result is f(std::span<const T>) of x for any kind of number T; nothing for other
/// evals.
template <class Use>
std::optional<gradbench::Work> with_scalar_function(const std::string& eval, const gradbench::json& input, Use use) {
  namespace cpp = gradbench::plain_cpp;
  using gradbench::Numbers;
  const auto numbers = [&](const char* name) { return input.at(name).get<Numbers>(); };
  const auto size = [&](const char* name) { return input.at(name).get<std::size_t>(); };
  if (eval == "lse") return use([]<class T>(std::span<const T> x) { return cpp::lse<T>(x); }, numbers("x"));
  if (eval == "llsq")
    return use([n = size("n")]<class T>(std::span<const T> x) { return cpp::llsq<T>(x, n); }, numbers("x"));
  if (eval == "det")
    return use([n = size("ell")]<class T>(std::span<const T> x) { return cpp::determinant<T>(x, n); }, numbers("A"));
  if (eval == "ode")
    return use([s = size("s")]<class T>(std::span<const T> x) { return T(cpp::ode<T>(x, s).back()); }, numbers("x"));
  if (eval != "gmm") return std::nullopt;
  const cpp::GmmSizes s{size("d"), size("k"), size("n"), input.at("gamma").get<double>(), size("m")};
  Numbers all = numbers("alpha");  // and then by name, as the output is compared
  for (const char* name : {"l", "mu", "q"})
    for (double e : gradbench::flat(input.at(name))) all.push_back(e);
  return use(
      [s, points = gradbench::flat(input.at("x"))]<class T>(std::span<const T> x) {
        const std::size_t triangle = s.k * s.d * (s.d - 1) / 2, square = s.k * s.d;
        return cpp::gmm<T>(s, points, x.first(s.k), x.subspan(s.k + triangle, square), x.last(square),
                           x.subspan(s.k, triangle));
      },
      all);
}

}  // namespace rw::bench
