#pragma once

#include <rewind/autograd/compile/choices/costs.h>
#include <rewind/autograd/program/graph.h>

namespace rw::ir {

/// What a node takes on one thread, estimated in microseconds. An elementwise op counts as part of a kernel, a
/// concatenation as placed.
double cost_of(const Graph& g, NodeId id, const Costs& costs);

/// What a kernel of such a cost takes when it is shared among threads: small ones are not.
double shared_cost(double cost, int threads, const Costs& costs);

}  // namespace rw::ir
