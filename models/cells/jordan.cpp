#include <rewind/models/cells/jordan.h>
#include <rewind/models/sizes.h>
#include <rewind/ops/activation.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/matmul.h>

namespace rw {

JordanCell::JordanCell(Index in, Index hidden, Index out, Rng& rng, const JordanOptions& own, const CellOptions& shared)
    : GatedCell("jordan",
                {.in = in, .hidden = hidden, .gates = 1, .fed_back = detail::checked_size("jordan", "output", out)},
                rng, shared),
      options_(own),
      V_(param("V", shared.weights(rng, hidden, out))),
      d_(shared.bias == Bias::none ? nullptr : &param("d", shared.biases(rng, 1, out).reshaped({out}))) {}

JordanCell::Step JordanCell::advance(Tensor xw, const State&, Tensor seen) const {
  const Tensor h = tanh(xw + recur(seen));
  const Tensor a = biased(matmul(h, V_), d_);
  switch (options_.output) {
    case JordanOptions::Output::tanh: return {{tanh(a)}, {h}};
    case JordanOptions::Output::sigmoid: return {{sigmoid(a)}, {h}};
    case JordanOptions::Output::identity: break;
  }
  return {{a}, {h}};
}

JordanCell JordanCell::clone() const {
  Rng unused(0);
  return cloned(JordanCell(in_, hidden_, out(), unused, options_, shared_), *this);
}

}  // namespace rw
