#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <rewind/autograd/tape.h>

namespace rw {

/// What a node of a drawing is to its reader.
enum class GraphRole : std::uint8_t { op, input, parameter, constant, loss };

/// What the numbers of one value look like. `norm` is Euclidean and, like `mean`, over the finite elements.
struct GraphStatistics {
  bool known = false;
  double norm = 0, mean = 0, min = 0, max = 0;
  Index nans = 0, infs = 0;
};

/// An arrow into a node.
struct GraphEdge {
  std::uint32_t from = 0;  // a position in GraphView::nodes
  int delay = 0;           // how many time steps before: z^-1, z^-2
  std::string label;       // as "t=0"
};

/// One node, with everything a picture of it says.
struct GraphNode {
  std::string id;          // letters, digits and _: the same in every export of the same program
  std::string op;          // "matmul"
  std::string name;        // of a parameter: see ParameterLabels
  std::string attributes;  // "axis=1"
  Shape shape;
  DType dtype = DType::f32;
  GraphRole role = GraphRole::op;
  bool backward = false;  // recorded by a gradient
  bool needs_grad = false;
  bool view = false;                // the same numbers in another shape, or a part of them
  std::uint32_t scope = 0;          // a position in GraphView::scopes
  std::uint64_t kind = 0;           // equal for equal ops, whatever their attributes
  NodeId node = no_node;            // on the tape; of the first step when folded; no_node for a picture's own ("...")
  std::size_t bytes = 0;            // of the value; of all steps when folded
  GraphStatistics value, gradient;  // when asked for; over all steps when folded
  std::vector<double> value_norms;  // by time step, when folded
  std::vector<GraphEdge> in;
};

/// A box around nodes. Scope 0 is the whole picture.
struct GraphScope {
  std::string name;
  std::uint32_t parent = 0;
  Index times = 1;  // how often its content is repeated: "x 500"
};

/// A graph as tools draw it: plain data, a copy, valid after its tape is gone. Nodes come after their inputs, apart
/// from edges with a delay.
struct GraphView {
  std::vector<GraphNode> nodes;
  std::vector<GraphScope> scopes;
  bool folded = false;

  /// "lstm/t=3", as Tape::scope_path has it.
  std::string scope_path(std::uint32_t scope) const;
  /// Number of arrows.
  std::size_t edges() const;
};

struct GraphViewOptions {
  /// The node to be marked as the loss. Without it: the last scalar op that nothing of the forward graph uses.
  std::optional<Tensor> loss = std::nullopt;
  /// Also the nodes that a recorded gradient added.
  bool backward = true;
  /// Compute `GraphNode::value` and, where a backward kept them, `gradient`.
  bool statistics = false;
};

/// The picture of a tape. Throws Error when the tape is empty (or was cleared), and for a loss that is stale or of
/// another tape.
GraphView graph_view(const Tape& tape, const GraphViewOptions& options = {});

/// What the finite, nan and infinite elements of a real or integer view come to.
GraphStatistics statistics(ConstView view);

}  // namespace rw
