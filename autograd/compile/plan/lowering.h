#pragma once

#include <rewind/autograd/compile/options.h>
#include <rewind/autograd/compile/plan/plan.h>

namespace rw::ir {

/// The plan of a sorted graph, whose store it shares: chooses places, and makes the steps. Throws Error where memory
/// for what it prepares is missing.
Plan lower(Graph g, const CompileOptions& options);

}  // namespace rw::ir
