#include <rewind/models/cells/rnn.h>
#include <rewind/ops/activation.h>
#include <rewind/ops/arithmetic.h>

namespace rw {

RnnCell::RnnCell(Index in, Index hidden, Rng& rng, const RnnOptions& options)
    : GatedCell("rnn", {.in = in, .hidden = hidden, .gates = 1, .fed_back = hidden}, rng, common_options(options)),
      options_(options) {}

RnnCell::Step RnnCell::advance(Tensor xw, const State&, Tensor seen) const {
  const Tensor a = xw + recur(seen);
  return {{options_.activation == RnnOptions::Activation::relu ? relu(a) : tanh(a)}, {}};
}

RnnCell RnnCell::clone() const {
  Rng unused(0);
  return cloned(RnnCell(in_, hidden_, unused, options_), *this);
}

}  // namespace rw
