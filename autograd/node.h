#pragma once

#include <cstdint>
#include <span>

#include <rewind/autograd/op.h>
#include <rewind/core/view.h>

namespace rw {

/// Position of a node on its tape.
using NodeId = std::uint32_t;
inline constexpr NodeId no_node = 0xffffffffu;

/// What a node is to a reader of the graph.
enum class Role : std::uint8_t { op, constant, input, parameter };

/// One recorded op, as data: which op, which inputs, which shape, which scope. No closure, so that it can be printed,
/// compared, fused and compiled. Valid until the tape changes.
struct Node {
  Node() {}  // not defaulted: that would zero all of it first, in every op

  const OpInfo* info = nullptr;
  const void* op = nullptr;       // the op's attributes
  const NodeId* input = nullptr;  // `arity` of them
  void* data = nullptr;           // the value; null while tracing and once released
  Index stride = 1;               // of the value's rows
  Shape shape;
  std::uint64_t stamp = 0;  // of its recording
  std::uint32_t arity = 0;
  std::uint32_t scope = 0;      // see Tape::scope_path
  NodeId origin = no_node;      // of a node recorded by a backward: the node whose gradient rule made it
  std::uint32_t parameter = 0;  // of a parameter leaf: see Tape::parameter_of
  DType dtype = DType::f32;
  Role role = Role::op;
  bool needs_grad = false;
  bool owns_data = false;  // false for views and for leaves that look at a parameter's storage
  bool keep = false;       // survives release_values

  /// The nodes that are its inputs.
  std::span<const NodeId> in() const { return {input, arity}; }
  /// Its numbers; no data while there are none.
  ConstView value() const { return {data, shape, stride, dtype}; }
};

}  // namespace rw
