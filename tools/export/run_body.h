#pragma once

// Internal to tools/export/.

#include <map>
#include <string>
#include <vector>

#include <rewind/tools/export/sized_program.h>
#include <rewind/tools/export/weights.h>

namespace rw::detail {

/// What `run` does with one sequence of n steps, as C++.
struct RunBody {
  /// Statements, indented by two, that compute `y` and the `state` after the last step from `x`, the `state` before the
  /// first one and the weights `w`. What ops compute lies in `workspace`.
  std::string statements;
  /// The functions that they call, in a namespace of their own.
  std::string functions;
  /// Numbers that the workspace must have room for, and that y has: expressions of n.
  std::string workspace, outputs;
  /// Fewest steps for which all that is read is there.
  Index least_steps = 1;
  std::vector<Member> weights;
};

/// Of the sequence whose program this is, for a batch of one. `own` has expressions of ops that are not the library's;
/// with `int8` matrices that products and lookups read become whole numbers times a scale a row. Throws Error, naming
/// op and scope, for ops without a form in C++.
RunBody run_body(const SizedProgram& program, const RecordedSequence& sequence,
                 const std::map<std::string, std::string>& own, bool int8);

}  // namespace rw::detail
