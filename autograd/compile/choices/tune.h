#pragma once

#include <string>
#include <vector>

#include <rewind/autograd/compile/check/reference.h>
#include <rewind/autograd/compile/choices/choices.h>

namespace rw::ir {

/// What was found best, and the lines that say how.
struct Tuned {
  Choices choices;
  std::vector<std::string> lines;
};

/// Measures, for at most about `CompileOptions::tune` seconds, plans of a traced graph that differ in one choice from
/// the one that costs alone would make, and then from the best of them. They are replayed in turn on the arguments of
/// `call`, so that each meets the same moments of a busy machine, and compared round by round; the estimated plan is
/// left for one that was at least 3% faster in the middle of its rounds, and faster in three quarters of them, and was
/// so again beside it alone. Nothing but time and memory for a while is spent on it: parameters' gradients are left
/// alone. A plan that gives other bits than the estimated one is a candidate only with `tune_other_bits`. A function
/// that throws on these arguments keeps its estimated choices.
Tuned tune(const Graph& traced, const CompileOptions& options, const Call& call);

}  // namespace rw::ir
