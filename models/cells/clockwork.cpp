#include <algorithm>
#include <functional>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <rewind/core/error.h>
#include <rewind/models/cells/clockwork.h>
#include <rewind/ops/activation.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/compare.h>
#include <rewind/ops/matmul.h>

namespace rw {
namespace {

/// Element (i, j) of R carries group(i) to group(j): 1 where the first is the slower or the same.
Array connections(Index hidden, Index groups) {
  Array mask({hidden, hidden});
  const Index width = hidden / groups;
  for (Index i = 0; i < hidden; ++i)
    for (Index j = 0; j < hidden; ++j) mask.set({i, j}, i / width >= j / width ? 1 : 0);
  return mask;
}

/// The period of each unit.
Array of_units(const std::vector<Index>& periods, Index hidden) {
  const Index width = hidden / static_cast<Index>(periods.size());
  Array all({hidden});
  for (Index i = 0; i < hidden; ++i) all.set({i}, static_cast<double>(periods[static_cast<std::size_t>(i / width)]));
  return all;
}

const std::vector<Index>& checked(const std::vector<Index>& periods, Index hidden) {
  const bool rising = std::adjacent_find(periods.begin(), periods.end(), std::greater_equal<>()) == periods.end();
  if (periods.empty() || periods[0] < 1 || !rising)
    throw Error(fmt::format("clockwork: periods {}: they must be 1 or more, and rising", periods));
  if (hidden % static_cast<Index>(periods.size()) != 0)
    throw Error(fmt::format("clockwork: {} groups do not divide a hidden size of {}", periods.size(), hidden));
  return periods;
}

}  // namespace

ClockworkCell::ClockworkCell(Index in, Index hidden, Rng& rng, std::vector<Index> periods, const CellOptions& options)
    : GatedCell("clockwork", {.in = in, .hidden = hidden, .gates = 1, .fed_back = hidden}, rng, options),
      periods_(checked(periods, hidden)),
      mask_(buffer("mask", connections(hidden, static_cast<Index>(periods.size())))),
      of_units_(buffer("periods", of_units(periods, hidden))) {
  if (options.heads != 1)
    throw Error(fmt::format("clockwork: its groups are its blocks; give periods in place of {} heads", options.heads));
}

ClockworkCell::State ClockworkCell::step_seeing(Tensor xw, const State& s, Tensor seen) const {
  Tape& tape = xw.tape();
  const Tensor moved = tanh(biased(xw + matmul(seen, tape.leaf(R_) * mask_), br_));
  // Halves between whole numbers, for clocks that were rounded.
  const Tensor next = s.clock + 1, again = next > tape.leaf(of_units_) - 0.5;
  return {where(s.clock < 0.5, moved, s.h), where(again, 0, next)};
}

ClockworkCell ClockworkCell::clone() const {
  Rng unused(0);
  return cloned(ClockworkCell(in_, hidden_, unused, periods_, shared_), *this);
}

}  // namespace rw
