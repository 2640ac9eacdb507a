#include <rewind/models/rnn_cell.h>
#include <rewind/ops/activation.h>
#include <rewind/ops/arithmetic.h>

namespace rw {

RnnCell::RnnCell(Index in, Index hidden, Rng& rng, const RnnOptions& options)
    : GatedCell("rnn", 1, in, hidden, rng, common_options(options)), options_(options) {}

RnnCell::State RnnCell::step_projected(Tensor xw, const State& s) const {
  const Tensor a = xw + recur(s.h);
  return {options_.activation == RnnOptions::Activation::relu ? relu(a) : tanh(a)};
}

RnnCell RnnCell::clone() const {
  Rng unused(0);
  return cloned(RnnCell(in_, hidden_, unused, options_), *this);
}

}  // namespace rw
