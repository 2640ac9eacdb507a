#include <rewind/models/cells/gru.h>
#include <rewind/ops/activation.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/matmul.h>
#include <rewind/ops/view.h>

namespace rw {

GruCell::GruCell(Index in, Index hidden, Rng& rng, const GruOptions& own, const CellOptions& shared)
    : GatedCell("gru", {.in = in, .hidden = hidden, .gates = 3, .fed_back = hidden}, rng, shared), options_(own) {}

GruCell::Step GruCell::advance(Tensor xw, const State& s, Tensor seen) const {
  const Gates gates = options_.reset == GruOptions::Reset::after ? reset_after(xw, seen) : reset_before(xw, seen);
  const auto& [r, z, n] = gates;
  if (options_.update == GruOptions::Update::keeps) return {{n + z * (s.h - n)}, gates};
  return {{s.h + z * (n - s.h)}, gates};
}

GruCell::Gates GruCell::reset_after(Tensor xw, Tensor h) const {
  // Each gate by itself: compiled, it then stands where its part of the product over all inputs stood.
  const auto [xr, xz, xn] = split<3>(xw);
  const auto [hr, hz, hn] = split<3>(recur(h));
  const Tensor r = sigmoid(xr + hr), z = sigmoid(xz + hz);
  return {r, z, tanh(xn + r * hn)};
}

GruCell::Gates GruCell::reset_before(Tensor xw, Tensor h) const {
  const Index H = hidden_;
  const Tensor R = h.tape().leaf(R_);
  const Tensor xb = br_ != nullptr ? xw + *br_ : xw;
  const auto [r, z] = split<2>(sigmoid(slice(xb, -1, 0, 2 * H) + times_recurrent(h, slice(R, -1, 0, 2 * H))));
  return {r, z, tanh(slice(xb, -1, 2 * H, H) + times_recurrent(r * h, slice(R, -1, 2 * H, H)))};
}

GruCell GruCell::clone() const {
  Rng unused(0);
  return cloned(GruCell(in_, hidden_, unused, options_, shared_), *this);
}

}  // namespace rw
