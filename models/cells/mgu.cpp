#include <rewind/models/cells/mgu.h>
#include <rewind/ops/activation.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/matmul.h>
#include <rewind/ops/view.h>

namespace rw {

MguCell::MguCell(Index in, Index hidden, Rng& rng, const CellOptions& options)
    : GatedCell("mgu", {.in = in, .hidden = hidden, .gates = 2, .fed_back = hidden}, rng, options) {}

MguCell::Step MguCell::advance(Tensor xw, const State& s, Tensor seen) const {
  const auto [Rf, Rn] = split<2>(xw.tape().leaf(R_));
  const auto [xf, xn] = split<2>(biased(xw, br_));
  const Tensor f = sigmoid(xf + times_recurrent(seen, Rf));
  const Tensor n = tanh(xn + times_recurrent(f * seen, Rn));
  return {{s.h + f * (n - s.h)}, {f, n}};
}

MguCell MguCell::clone() const {
  Rng unused(0);
  return cloned(MguCell(in_, hidden_, unused, shared_), *this);
}

}  // namespace rw
