#pragma once

// What flows back into a value that is read in parts. Internal to autograd/.

#include <array>
#include <optional>
#include <span>
#include <vector>

#include <rewind/autograd/detail/tape_data.h>

namespace rw::detail {

/// A gradient of some elements of a value: those from `start` on, as many along each axis as `node` has.
struct GradientPart {
  NodeId node = no_node;
  std::array<std::int32_t, max_rank> start{};
};

/// Records the sum of parts of a value of shape `whole`, element by element in their order; zeros where none is. Dense
/// parts and runs of slices that do not overlap are the terms of one add_n, unless that would pad so many that the sum
/// is cheaper piece by piece: of T overlapping slices of T steps, padded ones take T times T.
NodeId sum_of_parts(TapeData& tape, const Shape& whole, std::span<const GradientPart> parts);

/// The parts as those of what `view`, a slice or a reshape that adds or drops axes of one, looks at; nothing when they
/// overlap or are not much smaller than the view, so that they are better summed before.
std::optional<std::vector<GradientPart>> parts_behind(TapeData& tape, const Node& view,
                                                      std::span<const GradientPart> parts);

}  // namespace rw::detail
