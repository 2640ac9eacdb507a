#pragma once

#include <concepts>
#include <functional>
#include <iosfwd>
#include <string>
#include <utility>
#include <vector>

#include <rewind/models/cells/any_cell.h>

namespace rw {

/// Lengths of a run: x is [steps, batch, in].
struct CellSizes {
  Index steps = 1, batch = 1, in = 1, hidden = 1;
  bool operator==(const CellSizes&) const = default;
};

struct CellCheck {
  /// Where plans are compared with tapes. Without any: sizes at which compiled code takes other paths, widths 1 to 200,
  /// rows 1 to 16, 1 to 40 steps. Give others for a cell that cannot have all of these, such as one with heads.
  std::vector<CellSizes> sizes = {};
  /// What everything else is tried at: few numbers, since each of them is checked.
  CellSizes small = {.steps = 4, .batch = 3, .in = 3, .hidden = 4};
  /// Sequences begin at the cell's zero_state plus random numbers up to this, so that no term of a first step vanishes.
  /// 0 for a state that must not be just any numbers.
  double start = 0.4;
  /// Parameters are random numbers up to this, smaller for many rows; 0: those that the cell starts with.
  double weights = 0.6;
  /// False for a cell with an op that is not differentiable twice: only first derivatives then.
  bool second_order = true;
  /// Most difference of f32 beside f64, as a part of the largest number.
  double f32_tolerance = 1e-4;
  std::uint64_t seed = 1;
};

/// What `check_cell` found. True when all is well; printed, it says what is not.
struct CellReport {
  std::string cell;
  std::size_t checks = 0;
  std::vector<std::string> failures = {};

  /// Whether all is well, in at least one check.
  bool ok() const { return failures.empty() && checks > 0; }
  /// The same.
  explicit operator bool() const { return ok(); }
  /// What is printed.
  std::string message() const;
};
std::ostream& operator<<(std::ostream& out, const CellReport& report);

/// Makes the cell under test.
using CellMaker = std::function<AnyCell(Index in, Index hidden, Rng& rng)>;

/// What check_cell does, for a cell whose type is erased.
CellReport check_any_cell(const CellMaker& make, const CellCheck& check = {});

/// Checks a cell with everything that takes a cell, on random weights and sequences, and reports what is wrong; throws
/// nothing for a wrong cell:
/// - the state has as many tensors after a step as before, of the same shapes;
/// - gradcheck of orders 1 and 2, of outputs and last state;
/// - the plan beside the tape at sizes that change code paths, in f64 and f32, with every pass and with its gradients;
/// - sequences of their own lengths, padding, read from the end, in both directions, rows that do not see each other;
/// - two layers, truncated and checkpointed runs, gates, clone, save and load;
/// - f32 beside f64; how gradients flow; whether the graph folds in time.
///
///     CHECK(check_cell<MguCell>());                                           // MguCell(in, hidden, rng)
///     CHECK(check_cell<MyCell>([](Index in, Index hidden, Rng& rng) { return MyCell(in, hidden, 3, rng); }));
template <Cell C, class Make>
requires std::same_as<std::invoke_result_t<Make&, Index, Index, Rng&>, C> CellReport
check_cell(Make make, const CellCheck& check = {}) {
  return check_any_cell(
      [make = std::move(make)](Index in, Index hidden, Rng& rng) mutable { return AnyCell(make(in, hidden, rng)); },
      check);
}
template <Cell C>
requires std::constructible_from<C, Index, Index, Rng&> CellReport check_cell(const CellCheck& check = {}) {
  return check_any_cell([](Index in, Index hidden, Rng& rng) { return AnyCell(C(in, hidden, rng)); }, check);
}

}  // namespace rw
