#pragma once

#include <string>
#include <vector>

#include <rewind/autograd/compile/passes/passes.h>
#include <rewind/autograd/compile/plan/plan.h>

namespace rw::ir {

/// What a plan cannot tell of itself: whether it was checked, where it comes from, what it depends on, which arrays
/// became constants.
struct Said {
  std::string checked;
  std::string lengths;               // where it comes from
  std::vector<std::string> choices;  // and by what things were chosen
  std::vector<std::string> reads, held;
};

/// What became of a graph: counts, what was batched and fused, which copies are left. What repeats is one line, "(x
/// 50)".
std::string explain(const Plan& plan, const Notes& notes, const Said& said);

/// The arrays that are constants of a graph as it was traced: type, shape and scope, each kind once.
std::vector<std::string> held_arrays(const Graph& traced);

/// A step in words, with its scope: "kernel of 5 instructions, 3 x 64, in cell/t".
std::string describe(const Plan& plan, const Plan::Step& step);

/// A table of the steps, gathered by what they do and where they come from. `seconds` by step, and last what comes
/// before and after them. And a line when subnormal numbers were met.
std::string profile(const Plan& plan, const std::vector<double>& seconds, bool subnormals_met);

}  // namespace rw::ir
