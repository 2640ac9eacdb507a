#pragma once

#include <functional>
#include <string>

#include <rewind/autograd/compile/check/reference.h>
#include <rewind/autograd/compile/plan/executor.h>

namespace rw::ir {

/// A call whose plan is compared with what the function gave on a tape.
struct Check {
  const Graph& traced;  // as it was recorded, before any pass
  Executor& plan;
  const CompileOptions& options;
  Call call;
  std::function<Graph()> trace_again;

  /// Compares the outcome of the plan with that of the tape. Gives what `explain` says of it; throws Error where the
  /// plan is wrong, saying which result, pass and kernel, and where the function is not the same twice.
  std::string judge(const Outcome& tape, const Outcome& found) const;
};

/// The outcome of a replay that leaves parameters alone.
Outcome replay_apart(Executor& plan, const Call& call);

/// What two programs have in common that do the same ops to arguments of other lengths: a number made of the ops, their
/// scopes without step numbers, and which axes have length 0 or 1, whatever the number of steps.
std::uint64_t kind_of(const Graph& g);

}  // namespace rw::ir
