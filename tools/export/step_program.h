#pragma once

// Internal to tools/export/.

#include <string>
#include <vector>

#include <rewind/autograd/program/graph.h>
#include <rewind/tools/export/recorded_step.h>

namespace rw::detail {

/// A recorded step as a program of which only x and the state are unknown: input 0 is x, input 1 + i tensor i of the
/// state; output 0 is y, output 1 + i tensor i of the state after it. Parameters are constants, and what follows from
/// constants has been computed.
struct StepProgram {
  ir::Graph graph;
  /// By number of the constant; empty for those that are no parameters.
  std::vector<std::string> constant_names;
};

/// Throws Error for ops that draw random numbers, and for a step that adds to gradients.
StepProgram step_program(const RecordedStep& step);

}  // namespace rw::detail
