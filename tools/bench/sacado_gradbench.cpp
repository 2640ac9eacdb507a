// Sacado: Rad for gradients, Fad for a few inputs.

#include <Sacado_Fad_SFad.hpp>
#include <Sacado_trad.hpp>
#include <memory>
#include <vector>

#include <rewind/tools/bench/gradbench/descent.h>

#include "gradbench_peers.h"

namespace rw::bench {
namespace {

using gradbench::json;
using gradbench::Numbers;
using gradbench::Work;

constexpr std::size_t most_operations = 5'000'000;  // each keeps about 100 bytes

std::optional<Work> scalar(const std::string& eval, const json& input) {
  using Real = Sacado::Rad::ADvar<double>;
  return with_scalar_function(eval, input, [](auto f, const Numbers& x) -> std::optional<Work> {
    const auto g = std::make_shared<Numbers>(x.size());
    return Work{[=] {
                  std::vector<Real> in(x.begin(), x.end());
                  const Real y = f(std::span<const Real>(in));
                  Real::Gradcomp();
                  for (std::size_t i = 0; i < in.size(); ++i) (*g)[i] = in[i].adj();
                },
                [g] { return json(*g); }};
  });
}

Work observations(const json& input) {
  return gradbench::ba_by_observations(input, [](const double* at, const double* feature, double* rows) {
    using Real = Sacado::Fad::SFad<double, 15>;
    Real x[15], error[2];
    for (int i = 0; i < 15; ++i) x[i] = Real(15, i, at[i]);
    gradbench::plain_cpp::ba_error(x, x + 11, x[14], feature, error);
    for (int r = 0; r < 2; ++r)
      for (int i = 0; i < 15; ++i) rows[15 * r + i] = error[r].dx(i);
  });
}

Work particle(const json& input) {
  const auto miss = [](const Numbers& at) {
    using Real = Sacado::Fad::SFad<double, 1>;
    const Real y = gradbench::plain_cpp::particle_miss(Real(1, 0, at[0]));
    return std::pair(y.val(), Numbers{y.dx(0)});
  };
  return gradbench::plain([miss, w = input.at("w").get<double>()] { return json(gradbench::descend(miss, {w})[0]); });
}

std::optional<Work> derivative(const std::string& eval, const json& input) {
  if (tape_length(eval, input) > most_operations) return std::nullopt;
  if (eval == "ba") return observations(input);
  if (eval == "particle") return particle(input);
  return scalar(eval, input);
}

}  // namespace

Peer sacado_peer() { return {"Sacado", "", derivative}; }

}  // namespace rw::bench
