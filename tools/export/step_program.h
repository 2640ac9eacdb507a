#pragma once

// Internal to tools/export/.

#include <string>
#include <string_view>
#include <vector>

#include <rewind/autograd/program/graph.h>
#include <rewind/tools/export/recorded_training.h>

namespace rw::detail {

/// Whether C++ has given this name a meaning.
bool is_keyword(std::string_view name);

/// A valid name of C++, made of another one.
std::string c_name(std::string_view name);

/// The name of a parameter among the weights.
std::string weight_name(std::string_view parameter);

/// Where a result of a program goes.
struct Result {
  std::string to;
  bool adds = false;  // to what is there
};

/// A recorded function as a program. Its inputs are arrays with names; what follows from constants has been computed.
struct StepProgram {
  ir::Graph graph;
  /// By number of the constant; empty for those that are no parameters.
  std::vector<std::string> constant_names = {};
  /// By number of the parameter, where parameters are arrays that change; else they are constants.
  std::vector<std::string> parameter_names = {};
  /// By number of the input. "state.s0" and the like are carried, and as long as loops want them; others are the
  /// caller's.
  std::vector<std::string> inputs = {};
  /// By number of the output.
  std::vector<Result> results = {};
  /// Before the names of constants without one.
  std::string prefix = {};
};

/// (x, state) -> (y, state). With `trained`, parameters that are not frozen are no constants. Throws Error for ops that
/// draw random numbers, and for a step that adds to gradients.
StepProgram step_program(const RecordedStep& step, bool trained = false);

/// (x, state, target, cotangents of the state after the step) -> (loss, cotangents of the state before it, gradients of
/// the parameters). Throws as `step_program` does.
StepProgram gradient_program(const RecordedTraining& training);

}  // namespace rw::detail
