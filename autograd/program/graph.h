#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include <rewind/autograd/detail/tape_data.h>
#include <rewind/autograd/parameter.h>
#include <rewind/autograd/structural.h>
#include <rewind/autograd/tape.h>
#include <rewind/core/arena.h>

/// The compiler's graph. A pass is a function from graph to graph.
namespace rw::ir {

inline constexpr std::uint32_t no_kernel = 0xffffffffu;

/// `Node::leaf` of the seed and step of keyed randomness.
inline constexpr std::uint32_t random_key_leaf = 0xffffffffu;

/// Kernels of a section of the program run side by side, each in a lane. Both are counted from 1; 0: in none.
struct Lane {
  std::uint32_t section = 0, number = 0;
  bool operator==(const Lane&) const = default;
};

/// One op. Leaves say by `leaf` which input, parameter or constant of the graph they are.
struct Node {
  const OpInfo* info = nullptr;
  const void* op = nullptr;  // attributes, owned by the graph's store
  Shape shape;
  std::uint32_t first = 0, arity = 0;  // a range of Graph::edges
  std::uint32_t leaf = 0;
  std::uint32_t scope = 0;
  std::uint32_t kernel = no_kernel;  // nodes of one kernel run together
  Lane lane;
  DType dtype = DType::f32;
  Role role = Role::op;
  bool backward = false;  // recorded by a gradient
};

/// `value` is added to the gradient of a parameter at the end of a replay.
struct Effect {
  std::uint32_t parameter = 0;
  NodeId value = no_node;
};

/// What all graphs of one compilation share; only grows.
struct Store {
  Arena attributes;
  std::vector<std::shared_ptr<Parameter::Data>> parameters;
  std::vector<Array> constants;
  std::vector<detail::TapeData::ScopeEntry> scopes{1};
  std::vector<std::string> scope_names;
};

/// Nodes come after their inputs, unless a pass says that it leaves them in another order (see `sorted`).
class Graph {
 public:
  std::vector<Node> nodes;
  std::vector<NodeId> edges;
  std::vector<NodeId> outputs;
  std::vector<Effect> effects;
  DType real = DType::f32;
  std::shared_ptr<Store> store = std::make_shared<Store>();

  NodeId size() const { return static_cast<NodeId>(nodes.size()); }
  std::span<const NodeId> in(NodeId id) const { return {edges.data() + nodes[id].first, nodes[id].arity}; }
  NodeId in(NodeId id, std::uint32_t i) const { return edges[nodes[id].first + i]; }

  /// An empty graph over the same store.
  Graph like() const;
  /// Appends a copy of `node` with these inputs.
  NodeId append(const Node& node, std::span<const NodeId> inputs);
  /// Appends an op; shape inferred, scope and origin those of `like`.
  template <class Op>
  NodeId add(const Op& op, std::span<const NodeId> inputs, const Node& like) {
    return add(op_info<Op>(), &op, inputs, like);
  }
  template <class Op>
  NodeId add(const Op& op, std::initializer_list<NodeId> inputs, const Node& like) {
    return add(op_info<Op>(), &op, std::span<const NodeId>(inputs.begin(), inputs.size()), like);
  }
  NodeId add(const OpInfo& info, const void* op, std::span<const NodeId> inputs, const Node& like);
  /// Appends a constant of one number.
  NodeId fill(double value, const Shape& shape, const Node& like);

  template <class Op>
  bool is(NodeId id) const {
    return nodes[id].info == &op_info<Op>();
  }
  /// The attributes of a node that `is<Op>`.
  template <class Op>
  const Op& op(NodeId id) const {
    return *static_cast<const Op*>(nodes[id].op);
  }

  /// "lstm/t=3".
  std::string scope_path(std::uint32_t scope) const;
  /// "[matmul] (32, 64) in lstm/t=3".
  std::string describe(NodeId id) const;
};

/// Whether a node of this op is computed: it is no leaf.
inline bool computes(const OpInfo& info) { return info.eval != nullptr || info.elementwise != nullptr; }

/// How often each node is used, outputs and effects included.
std::vector<std::uint32_t> use_counts(const Graph& g);

/// The live nodes, after their inputs and otherwise in the order that they have; nodes of one kernel are neighbours.
/// Throws Error for a cycle.
Graph sorted(const Graph& g);
/// The same, and the graph itself where nothing has to be done.
Graph sorted(Graph&& g);

/// Throws Error when the graph is not what its description says: order, inputs, shapes (inferred again), leaves.
void verify(const Graph& g);

/// The graph as a tape that computes nothing: for drawing, and for counting.
Tape to_tape(const Graph& g);

/// A tape's nodes. `inputs` are its placeholders, in order; `outputs` the values to be returned. A variable of the tape
/// is a constant to the graph.
Graph from_tape(const Tape& tape, std::span<const Tensor> outputs, std::span<const Tensor> inputs);

}  // namespace rw::ir
