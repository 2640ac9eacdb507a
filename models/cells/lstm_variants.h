#pragma once

#include <array>
#include <vector>

#include <rewind/models/cells/cell.h>
#include <rewind/models/cells/lstm.h>

namespace rw {

/// Multiplicative LSTM (Krause, Lu, Murray and Renals, 2016): each input has a recurrence of its own. An LSTM whose
/// matrices see, in place of h(t-1),
///
///     k = (x Wm + bm) * (h(t-1) Rm)
///
/// Parameters lstm.W, lstm.R, lstm.b as in LstmCell, Wm [in, H], Rm [H, H] (with heads [H / heads, H]), bm [H]; bm
/// begins at 0.
class MultiplicativeLstmCell : public Module {
 public:
  using State = LstmCell::State;
  /// Throws Error for sizes below 1.
  MultiplicativeLstmCell(Index in, Index hidden, Rng& rng, const CellOptions& options = {});

  State zero_state(Tape& tape, Index batch) const { return lstm_.zero_state(tape, batch); }
  /// [..., 5H].
  Tensor project(Tensor x) const;
  State step(Tensor x, const State& s) const { return step_projected(project(x), s); }
  State step_projected(Tensor xw, const State& s) const { return step_seeing(xw, s, s.h); }
  State step_seeing(Tensor xw, const State& s, Tensor seen) const;

  /// What it was made with.
  const CellOptions& options() const { return options_; }
  MultiplicativeLstmCell clone() const;

 private:
  CellOptions options_;
  LstmCell& lstm_;
  Parameter &Wm_, &Rm_;
  Parameter* bm_;
};

static_assert(ProjectedCell<MultiplicativeLstmCell>);

/// Mogrifier LSTM (Melis, Kocisky and Blunsom, 2020): before each step, input and state take turns to scale each other,
///
///     x = 2 sigmoid(h Q1) * x,   h = 2 sigmoid(x R1) * h,   x = 2 sigmoid(h Q2) * x, ...
///
/// `rounds` times in all, 5 in the paper; then an LSTM's step, in which all that saw h sees the scaled one. Parameters
/// lstm.*, mogrify0 [H, in], mogrify1 [in, H], ...
class MogrifierLstmCell : public Module {
 public:
  using State = LstmCell::State;
  /// Throws Error for sizes below 1 and a negative number of rounds.
  MogrifierLstmCell(Index in, Index hidden, Rng& rng, const CellOptions& options = {}, int rounds = 5);

  State zero_state(Tape& tape, Index batch) const { return lstm_.zero_state(tape, batch); }
  State step(Tensor x, const State& s) const { return step_seeing(x, s, s.h); }
  State step_seeing(Tensor x, const State& s, Tensor seen) const;

  /// What it was made with.
  const CellOptions& options() const { return options_; }
  /// Number of turns.
  int rounds() const { return static_cast<int>(turns_.size()); }
  MogrifierLstmCell clone() const;

 private:
  CellOptions options_;
  LstmCell& lstm_;
  std::vector<Parameter*> turns_;
};

static_assert(Cell<MogrifierLstmCell>);

}  // namespace rw
