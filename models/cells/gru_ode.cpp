#include <fmt/format.h>

#include <rewind/core/error.h>
#include <rewind/models/cells/gru_ode.h>
#include <rewind/ops/activation.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/matmul.h>
#include <rewind/ops/view.h>

namespace rw {

GruOdeCell::GruOdeCell(Index in, Index hidden, Rng& rng, const GruOdeOptions& own, const CellOptions& shared)
    : GatedCell("gru-ode", {.in = in, .hidden = hidden, .gates = 3, .fed_back = hidden}, rng, shared), options_(own) {
  if (own.steps < 1) throw Error(fmt::format("gru-ode: {} steps of the solver: it must be 1 or more", own.steps));
}

Tensor GruOdeCell::slope(Tensor xw, Tensor h, Tensor seen) const {
  const Index H = hidden_;
  const Tensor R = h.tape().leaf(R_);
  const auto [r, z] = split<2>(sigmoid(slice(xw, -1, 0, 2 * H) + times_recurrent(seen, slice(R, -1, 0, 2 * H))));
  const Tensor n = tanh(slice(xw, -1, 2 * H, H) + times_recurrent(r * seen, slice(R, -1, 2 * H, H)));
  return (1 - z) * (n - h);
}

GruOdeCell::Step GruOdeCell::advance(Tensor xw, const State& s, Tensor seen) const {
  xw = biased(xw, br_);
  const double dt = 1.0 / options_.steps;
  Tensor h = s.h;
  for (int i = 0; i < options_.steps; ++i) {
    const Tensor k1 = slope(xw, h, i == 0 ? seen : h);
    if (options_.solver == GruOdeOptions::Solver::euler) {
      h = h + dt * k1;
      continue;
    }
    const auto slope_at = [&](double part, Tensor k) {
      const Tensor there = h + part * dt * k;
      return slope(xw, there, there);
    };
    const Tensor k2 = slope_at(0.5, k1), k3 = slope_at(0.5, k2), k4 = slope_at(1, k3);
    h = h + dt / 6 * (k1 + 2 * (k2 + k3) + k4);
  }
  return {{h}, {}};
}

GruOdeCell GruOdeCell::clone() const {
  Rng unused(0);
  return cloned(GruOdeCell(in_, hidden_, unused, options_, shared_), *this);
}

}  // namespace rw
