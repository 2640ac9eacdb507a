#pragma once

#include <array>
#include <span>
#include <vector>

#include <rewind/core/view.h>

namespace rw::ir {

/// The axes of a function's arguments that may be along time: those of so many steps, the first axes alone or any.
struct TimeAxes {
  Index steps = 0;
  bool first_only = true;
};

/// Lengths of the short sequences by which a long one is compiled: beyond the 64 terms from which sums are added in
/// blocks (core/long_sum.h), so that what depends on that from step to step shows in them. What passes choose by
/// greater lengths they say themselves (Notes::hold_when_longer).
inline constexpr std::array<Index, 3> short_lengths{72, 80, 144};

/// What the axes along time may be, the likeliest first, of a function that records so many nodes.
std::vector<TimeAxes> likely_time_axes(std::span<const ConstView> arguments, Index nodes);

/// The arguments of a sequence of `steps` steps: shapes and types, without numbers.
std::vector<ConstView> of_steps(std::span<const ConstView> arguments, const TimeAxes& axes, Index steps);

}  // namespace rw::ir
