#pragma once

#include <string>
#include <vector>

#include <rewind/autograd/compile/passes/passes.h>
#include <rewind/autograd/compile/plan/plan.h>

namespace rw::ir {

/// What became of a graph: counts, what was batched and fused, which copies are left.
std::string explain(const Plan& plan, const Notes& notes);

/// A table of the steps, gathered by what they do and where they come from. `seconds` by step, summed over `replays`.
std::string profile(const Plan& plan, const std::vector<double>& seconds, int replays);

}  // namespace rw::ir
