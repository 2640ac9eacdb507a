#include <rewind/models/cells/rnn.h>
#include <rewind/ops/activation.h>
#include <rewind/ops/arithmetic.h>

namespace rw {

RnnCell::RnnCell(Index in, Index hidden, Rng& rng, const RnnOptions& own, const CellOptions& shared)
    : GatedCell("rnn", {.in = in, .hidden = hidden, .gates = 1, .fed_back = hidden}, rng, shared), options_(own) {}

RnnCell RnnCell::irnn(Index in, Index hidden, Rng& rng, double scale, CellOptions shared) {
  shared.weights = Init::normal(0.001);
  shared.recurrent = Init::identity(scale);
  return RnnCell(in, hidden, rng, {.activation = RnnOptions::Activation::relu}, shared);
}

RnnCell::Step RnnCell::advance(Tensor xw, const State&, Tensor seen) const {
  const Tensor a = xw + recur(seen);
  return {{options_.activation == RnnOptions::Activation::relu ? relu(a) : tanh(a)}, {}};
}

RnnCell RnnCell::clone() const {
  Rng unused(0);
  return cloned(RnnCell(in_, hidden_, unused, options_, shared_), *this);
}

}  // namespace rw
