#pragma once

// Internal to tools/export/.

#include <string>
#include <vector>

#include <rewind/tools/export/step_program.h>

namespace rw::detail {

/// An array of the header: one of the weights, x, a tensor of the state, or a local one of the step.
struct Buffer {
  enum class Kind { weight, x, state, local } kind = Kind::local;
  std::string name;
  Index size = 0;
  /// Numbers there is room for: loops whose length is rounded up read and write beyond `size`.
  Index capacity = 0;
  DType dtype = DType::f32;
  Array value = {};           // of a weight; what int8 makes of it when there are `scales`
  bool is_parameter = false;  // that is trained
  /// Of a weight in int8: one for each row of `value`, which is [rows, columns].
  Array scales = {};
  bool int8 = false;
  /// `value` is the transpose of the program's constant.
  bool turned = false;
};

/// Where a node's numbers are, contiguous. No buffer: a node that is only a variable within its loop, or a number.
struct Place {
  int buffer = -1;
  Index offset = 0;
};

/// How a loop reads one input of a node: as a variable of the same loop, as a number, or from memory.
struct Read {
  NodeId variable = no_node;
  std::string number = {};
  Place place = {};
  std::vector<Index> strides = {};  // along the loop's axes
};

/// The next statement of the step.
struct Unit {
  enum class Kind { loop, product, other } kind = Kind::other;
  std::vector<NodeId> nodes;  // of a loop all that it computes, else one
  int stage = 0;

  // A loop: the lengths of its axes, and what each node reads, by node and input.
  std::vector<Index> lengths = {};
  std::vector<std::vector<Read>> reads = {};

  // A product: `nodes[0]`, or an addition whose one side is `product`, and begins with the other side.
  NodeId product = no_node;
  NodeId begins_with = no_node;
  bool in_place = false;         // begins with what is there already
  bool rows_of_weights = false;  // the second operand is stored [n, k]
};

struct Plan {
  StepProgram program;
  std::vector<Buffer> buffers;
  std::vector<Place> places;  // by node
  std::vector<Unit> units;    // in order
  /// By buffer: numbers that its unit writes.
  std::vector<Index> written;

  const ir::Graph& graph() const { return program.graph; }
  const Buffer& buffer(const Place& p) const { return buffers[static_cast<std::size_t>(p.buffer)]; }
};

/// `pad`: lengths of loops are rounded up to a multiple of it. `int8`: matrices become whole numbers from -127 to 127
/// times a scale a row; throws Error for one with a number that is not finite.
Plan make_plan(StepProgram program, Index pad, bool int8);

/// Whether a node is computed number by number, as part of a loop.
bool is_loop_op(const ir::Graph& g, NodeId i);

/// Whether a result adds 0 to what is there: the gradient of what the loss does not depend on.
bool adds_nothing(const StepProgram& program, std::size_t result);

/// A real number as C++ of this type.
std::string literal(double value, DType real);

}  // namespace rw::detail
