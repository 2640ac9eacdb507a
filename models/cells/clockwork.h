#pragma once

#include <vector>

#include <rewind/models/cells/cell.h>

namespace rw {

/// Clockwork RNN (Koutnik, Greff, Gomez and Schmidhuber, 2014): the state is cut into groups of equal size, group g has
/// a period, and moves only at times that its period divides,
///
///     h_g(t) = tanh(x W_g + (h(t-1) R)_g + b_g)      when t mod period_g = 0
///     h_g(t) = h_g(t-1)                              otherwise
///
/// A group sees itself and the slower ones, those that follow it: elsewhere R is multiplied by a mask of 0 (buffer
/// `mask`). The time is part of the state, so that each sequence of a batch has its own: `clock` counts from 0 to the
/// unit's period (buffer `periods`) and begins again. Zoneout with one rate for all would stop clocks too: give it two,
/// of h and of clock, as in {0.1, 0}.
class ClockworkCell : public GatedCell {
 public:
  struct State {
    Tensor h;      // [N, H]
    Tensor clock;  // [N, H]: steps since the unit moved; 0 where its time has come
  };
  /// Periods from fast to slow, such as {1, 2, 4, 8}. Throws Error for sizes below 1, for a hidden size that the number
  /// of groups does not divide, and for periods that are not 1 or more and rising.
  ClockworkCell(Index in, Index hidden, Rng& rng, std::vector<Index> periods = {1, 2, 4, 8},
                const CellOptions& options = {});

  State zero_state(Tape& tape, Index batch) const { return {zeros(tape, batch), zeros(tape, batch)}; }
  State step(Tensor x, const State& s) const { return step_projected(project(x), s); }
  State step_projected(Tensor xw, const State& s) const { return step_seeing(xw, s, s.h); }
  State step_seeing(Tensor xw, const State& s, Tensor seen) const;

  /// From fast to slow.
  const std::vector<Index>& periods() const { return periods_; }
  /// What it was made with.
  const CellOptions& options() const { return shared_; }
  ClockworkCell clone() const;

 private:
  std::vector<Index> periods_;
  Parameter &mask_, &of_units_;
};

static_assert(ProjectedCell<ClockworkCell>);

}  // namespace rw
