#pragma once

#include <optional>
#include <span>
#include <vector>

#include <rewind/autograd/compile/passes/rounding.h>
#include <rewind/autograd/program/graph.h>

namespace rw::ir {

/// What a replay is given.
struct Call {
  std::span<const ConstView> inputs;
  std::uint64_t seed = 0, step = 0;
};

/// What a function gave: its results, and what it adds to the gradients of the parameters of a graph's store, by their
/// number; empty arrays for those to which it adds nothing.
struct Outcome {
  std::vector<Array> results, gradients;
};

/// The values of a graph, op by op on a tape of type `real`: nothing of the compiler but the graph itself. With
/// `noise`, every value is moved as roundings of that size may move it, at random by `draw`: how far the results move
/// says how well the graph is conditioned.
class Reference {
 public:
  Reference(const Graph& g, DType real, const Call& call, double noise = 0, std::uint64_t draw = 0);

  ConstView value(NodeId id) const { return values_[id].value(); }
  Outcome outcome() const;

 private:
  Tensor leaf(const Node& n, const Call& call);
  Tensor noisy_leaf(ConstView value);
  Tensor noisy(NodeId i, Tensor value);

  const Graph& g_;
  Tape tape_;
  std::vector<Tensor> values_;
  std::optional<RoundingNoise> noise_;
};

/// Whether two traces recorded the same: ops, attributes, inputs, the bits of constants. Where they differ, `where` is
/// the first node of `a` that does.
bool same_graph(const Graph& a, const Graph& b, NodeId& where);

/// The bytes of all values, as a tape holds them.
double tape_bytes(const Graph& g);

}  // namespace rw::ir
