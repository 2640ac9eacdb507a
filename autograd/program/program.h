#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <rewind/autograd/program/graph.h>

/// A program as people wrote it: nodes, and loops of nodes, nested. A graph lists every step of a loop; `fold` finds
/// the loops again, from structure alone, and `unfold` lists their steps.
namespace rw::ir {

/// Loops around one node at most.
inline constexpr std::size_t most_nested = 3;
inline constexpr std::uint32_t no_entry = 0xffffffffu;

/// A number for each loop around a node, the innermost loop first.
using PerLoop = std::array<std::int32_t, most_nested>;

/// Which value a node reads, as a function of the steps t_0 (of the innermost loop around it), t_1, ...: the one at
/// position first + sum of per[l] t_l, and count - 1 others, each `stride` positions after the one before. Positions
/// number the nodes of the unfolded graph, without shared leaves: these are -1, -2, ...
///
/// So a step reads: what is shared (per 0), what its own step has computed (per as that of the node itself), what an
/// earlier step has (the same, but further before), step t, or the last but t, or every k-th one of another loop.
struct Read {
  std::int32_t first = 0;
  PerLoop per{};
  std::int32_t count = 1, stride = 0;
  /// At the first step of loop l something else is read, where a state comes from: a number of Program::reads. The
  /// outermost loop counts first.
  std::array<std::uint32_t, most_nested> start{no_entry, no_entry, no_entry};
};

/// A node at all steps of the loops around it.
struct ProgramOp {
  Node node;                // at their first steps; `first` and `inputs` are a range of Program::reads
  std::int32_t at = 0;      // its position there
  std::uint32_t depth = 0;  // loops around it
  PerLoop size{};           // positions that a step of each loop takes
  PerLoop steps{};          // trip counts
  PerLoop scope{};          // what is added to `scope` with each step
  std::array<const void*, most_nested> attributes{};  // and to the attributes, as 64-bit words; null: nothing
  std::uint32_t scopes = no_entry;  // where scopes follow no rule: the first of as many of Program::scopes
};

/// An op, or a loop: the `size` items after it are its body.
struct ProgramItem {
  Index steps = 0;  // 0: an op
  std::uint32_t size = 0, op = 0;
  bool carries = false;  // a step reads what an earlier one has left
};

/// A leaf that steps share, as a parameter, and where it stands in the graph.
struct SharedLeaf {
  Node node;
  NodeId id = no_node;
};

/// A stretch of a graph, of a dozen nodes or more, that looks as if it repeats, and stays a list.
struct Unfolded {
  NodeId begin = 0, end = 0;
  Index period = 0;
  std::string why;
};

struct Program {
  std::vector<ProgramItem> items;
  std::vector<ProgramOp> ops;
  std::vector<Read> reads;
  std::vector<std::uint32_t> scopes;
  std::vector<SharedLeaf> leaves;
  // Of the unfolded graph: its results, effects, and number of nodes.
  std::vector<NodeId> outputs;
  std::vector<Effect> effects;
  NodeId nodes = 0;
  DType real = DType::f32;
  std::shared_ptr<Store> store;
  std::vector<Unfolded> lists;
};

/// Calls f(t) at every step of the loops around an op, the innermost counting fastest.
template <class F>
void each_step(const ProgramOp& op, F&& f) {
  PerLoop t{};
  while (true) {
    f(static_cast<const PerLoop&>(t));
    std::uint32_t l = 0;
    for (; l < op.depth && ++t[l] == op.steps[l]; ++l) t[l] = 0;
    if (l == op.depth) return;
  }
}
/// The position of an op at these steps.
inline std::int32_t position_at(const ProgramOp& op, const PerLoop& t) {
  std::int32_t at = op.at;
  for (std::uint32_t l = 0; l < op.depth; ++l) at += t[l] * op.size[l];
  return at;
}

/// Finds the loops of a graph. A stretch of it is a loop when the same ops follow each other at least three times, with
/// attributes and inputs that are affine functions of the step, but for what the first step reads in place of an
/// earlier one's values; and when it carries something from step to step, or else saves a dozen nodes. Steps that
/// differ stay outside. Names and scopes play no part. Takes time of order g.size().
Program fold(const Graph& g);

/// The graph that was folded: the same nodes in the same order.
Graph unfold(const Program& p);

/// The attributes of an op at these steps. Valid until `words` changes.
const void* attributes_at(const ProgramOp& op, const PerLoop& t, std::vector<std::uint64_t>& words);

/// Where what looks like a loop stayed a list, and why: a line each.
std::string explain(const Program& p);

}  // namespace rw::ir
