#include <fmt/format.h>

#include <rewind/core/error.h>
#include <rewind/models/cells/fast_weights.h>
#include <rewind/ops/activation.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/matmul.h>
#include <rewind/ops/view.h>

namespace rw {
namespace {

/// R starts as what barely remembers, when nothing else is said: remembering is for the fast weights.
CellOptions near_nothing(CellOptions shared) {
  if (!shared.recurrent) shared.recurrent = Init::identity(0.05);
  return shared;
}

}  // namespace

FastWeightsCell::FastWeightsCell(Index in, Index hidden, Rng& rng, const FastWeightsOptions& own,
                                 const CellOptions& shared)
    : GatedCell("fast-weights", {.in = in, .hidden = hidden, .gates = 1, .fed_back = hidden}, rng,
                near_nothing(shared)),
      options_(own),
      norm_(child("norm", LayerNorm(hidden))) {
  if (own.rounds < 0) throw Error(fmt::format("fast-weights: {} rounds: it must be 0 or more", own.rounds));
}

FastWeightsCell::State FastWeightsCell::zero_state(Tape& tape, Index batch) const {
  return {zeros(tape, batch), tape.constant(0.0, {batch, hidden_, hidden_})};
}

FastWeightsCell::State FastWeightsCell::step_seeing(Tensor xw, const State& s, Tensor seen) const {
  const Index N = s.h.size(0), H = hidden_;
  const Tensor column = reshape(s.h, Shape{N, H, 1}), row = reshape(s.h, Shape{N, 1, H});
  const Tensor A = options_.decay * s.A + options_.rate * column * row;
  const Tensor u = xw + recur(seen);
  Tensor g = tanh(norm_(u));
  for (int i = 0; i < options_.rounds; ++i)
    g = tanh(norm_(u + reshape(matmul(reshape(g, Shape{N, 1, H}), A), Shape{N, H})));
  return {g, A};
}

FastWeightsCell FastWeightsCell::clone() const {
  Rng unused(0);
  return cloned(FastWeightsCell(in_, hidden_, unused, options_, shared_), *this);
}

}  // namespace rw
