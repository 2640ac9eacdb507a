#include <fmt/format.h>

#include <rewind/core/error.h>
#include <rewind/models/cells/context.h>
#include <rewind/models/sizes.h>
#include <rewind/ops/activation.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/matmul.h>

namespace rw {
namespace {

const ContextOptions& checked(const ContextOptions& o) {
  if (!(o.decay >= 0 && o.decay < 1)) throw Error(fmt::format("context: decay is {}: it must be in [0, 1)", o.decay));
  return o;
}

}  // namespace

ContextCell::ContextCell(Index in, Index hidden, Index out, Rng& rng, const ContextOptions& own,
                         const CellOptions& shared)
    : GatedCell("context", {.in = in, .hidden = hidden, .gates = 1, .fed_back = hidden}, rng, shared),
      options_(checked(own)),
      V_(param("V", shared.weights(rng, hidden, detail::checked_size("context", "output", out)))),
      U_(param("U", shared.weights(rng, hidden, out))),
      d_(shared.bias == Bias::none ? nullptr : &param("d", shared.biases(rng, 1, out).reshaped({out}))) {}

ContextCell::Step ContextCell::advance(Tensor xw, const State& s, Tensor seen) const {
  const Tensor h = tanh(xw + recur(seen));
  const Tensor y = biased(matmul(h, V_) + matmul(seen, U_), d_);
  const Tensor k = options_.decay > 0 ? h + options_.decay * (s.k - h) : h;
  return {{k, y}, {h}};
}

ContextCell ContextCell::clone() const {
  Rng unused(0);
  return cloned(ContextCell(in_, hidden_, out(), unused, options_, shared_), *this);
}

}  // namespace rw
