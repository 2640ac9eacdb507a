#pragma once

#include <rewind/autograd/compile/options.h>
#include <rewind/autograd/compile/passes/passes.h>

namespace rw::ir {

/// The graph, behind all passes, as a plan within `CompileOptions::memory` runs it: it computes again what there is no
/// room for. Some ways are tried: of those that fit it takes the one that computes the least again. Throws Error, with
/// the least budget, when none fits. Keeps bits.
Graph within_budget(const Graph& g, const CompileOptions& options, Notes& notes);

}  // namespace rw::ir
