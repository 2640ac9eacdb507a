#include <algorithm>

#include <rewind/autograd/compile/lengths/shorter.h>

namespace rw::ir {
namespace {

// A sequence so much longer than the short ones is worth their plans, and a step of a loop is some nodes.
constexpr Index times_longer = 4, least_nodes = 4;

}  // namespace

std::vector<TimeAxes> likely_time_axes(std::span<const ConstView> arguments, Index nodes) {
  std::vector<Index> first, any;
  for (const ConstView& x : arguments)
    for (int a = 0; a < x.shape.rank(); ++a) {
      const Index extent = x.shape[a];
      if (extent < times_longer * short_lengths.back() || nodes < least_nodes * extent) continue;
      any.push_back(extent);
      if (a == 0) first.push_back(extent);
    }
  const auto longest = [](const std::vector<Index>& of) { return *std::max_element(of.begin(), of.end()); };
  std::vector<TimeAxes> out;
  if (!first.empty()) out.push_back({longest(first), true});
  if (any.size() > first.size()) out.push_back({longest(any), false});
  return out;
}

std::vector<ConstView> of_steps(std::span<const ConstView> arguments, const TimeAxes& axes, Index steps) {
  std::vector<ConstView> out;
  for (const ConstView& x : arguments) {
    Shape shape = x.shape;
    for (int a = 0; a < (axes.first_only ? std::min(shape.rank(), 1) : shape.rank()); ++a)
      if (shape[a] == axes.steps) shape = shape.with(a, steps);
    out.push_back({nullptr, shape, shape.cols(), x.dtype});
  }
  return out;
}

}  // namespace rw::ir
