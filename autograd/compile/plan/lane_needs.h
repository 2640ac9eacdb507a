#pragma once

#include <span>
#include <utility>
#include <vector>

#include <rewind/autograd/compile/plan/lanes.h>

namespace rw::ir {

/// For each unit and each lane (unit * lanes + lane): the last unit of that lane, counted from 1, that must be done
/// before, because both use the same memory and one of them writes it; 0 for none. Memory that one lane uses alone is
/// not looked at.
std::vector<std::uint32_t> lane_needs(const Graph& g, const Layout& layout, std::span<const LaneUnit> units,
                                      std::span<const std::pair<std::uint32_t, std::uint32_t>> after);

}  // namespace rw::ir
