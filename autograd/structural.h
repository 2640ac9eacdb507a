#pragma once

#include <array>

#include <rewind/autograd/tape.h>

namespace rw {

// The few ops that the chain rule and the compiler's passes themselves need. All others live in ops/.

/// A leaf whose numbers were copied onto the tape.
struct Constant {
  static constexpr std::string_view name = "constant";
  static constexpr int arity = 0;
  Shape infer(std::span<const Shape> in) const;
};

/// A leaf whose gradient may be asked for.
struct Variable {
  static constexpr std::string_view name = "variable";
  static constexpr int arity = 0;
  Shape infer(std::span<const Shape> in) const;
};

/// A leaf that stands for a parameter.
struct ParameterLeaf {
  static constexpr std::string_view name = "parameter";
  static constexpr int arity = 0;
  Shape infer(std::span<const Shape> in) const;
};

/// A placeholder of a traced function.
struct Input {
  static constexpr std::string_view name = "input";
  static constexpr int arity = 0;
  Shape infer(std::span<const Shape> in) const;
};

/// Seed and step of keyed randomness, i32 [4].
struct RandomKey {
  static constexpr std::string_view name = "random_key";
  static constexpr int arity = 0;
  Shape infer(std::span<const Shape> in) const;
};

/// Every element one number.
struct Fill {
  static constexpr std::string_view name = "fill";
  static constexpr int arity = 0;
  static constexpr std::array<std::string_view, 2> attribute_names{"shape", "value"};
  Shape shape;
  double value = 0;
  Shape infer(std::span<const Shape> in) const;
  void eval(std::span<const ConstView> x, View y) const;
  std::string describe() const;
};

/// The same value, without a gradient.
struct Detach {
  static constexpr std::string_view name = "detach";
  static constexpr int arity = 1;
  static constexpr bool strided_inputs = true;
  static constexpr bool same_value = true;
  static constexpr bool leading_axes = true;
  static constexpr bool any_dtype = true;
  Shape infer(std::span<const Shape> in) const;
  bool alias(ConstView x, ConstView& y) const;
  void eval(std::span<const ConstView> x, View y) const;
};

/// x0 + x1 + ... + xn, left to right, of equal shapes: the sum of a node's gradients. Of more than 64 each 64 are added
/// by themselves (core/long_sum.h).
struct AddN {
  static constexpr std::string_view name = "add_n";
  static constexpr bool strided_inputs = true;
  static constexpr bool leading_axes = true;
  Shape infer(std::span<const Shape> in) const;
  void eval(std::span<const ConstView> x, View y) const;
  void vjp(Vjp& g) const;
};

/// `length` positions of one axis from `start` on.
struct Slice {
  static constexpr std::string_view name = "slice";
  static constexpr int arity = 1;
  static constexpr std::array<std::string_view, 3> attribute_names{"axis", "start", "length"};
  static constexpr bool any_dtype = true;
  Index axis = 0, start = 0, length = 0;
  Shape infer(std::span<const Shape> in) const;
  bool alias(ConstView x, ConstView& y) const;
  void eval(std::span<const ConstView> x, View y) const;
  void vjp(Vjp& g) const;
  Tensor vmap(Vmap& v) const;
  std::string describe() const;
};

/// Arrays end to end along one axis.
struct Concat {
  static constexpr std::string_view name = "concat";
  static constexpr std::array<std::string_view, 1> attribute_names{"axis"};
  static constexpr bool strided_inputs = true;
  static constexpr bool any_dtype = true;
  Index axis = 0;
  Shape infer(std::span<const Shape> in) const;
  void eval(std::span<const ConstView> x, View y) const;
  void vjp(Vjp& g) const;
  Tensor vmap(Vmap& v) const;
  std::string describe() const;
};

/// The sum over the axes along which `shape` would be stretched to the input's shape.
struct SumTo {
  static constexpr std::string_view name = "sum_to";
  static constexpr int arity = 1;
  static constexpr std::array<std::string_view, 1> attribute_names{"shape"};
  static constexpr bool strided_inputs = true;
  Shape shape;
  Shape infer(std::span<const Shape> in) const;
  void eval(std::span<const ConstView> x, View y) const;
  void vjp(Vjp& g) const;
  Tensor vmap(Vmap& v) const;
};

/// The input stretched to `shape`.
struct BroadcastTo {
  static constexpr std::string_view name = "broadcast_to";
  static constexpr int arity = 1;
  static constexpr std::array<std::string_view, 1> attribute_names{"shape"};
  Shape shape;
  Shape infer(std::span<const Shape> in) const;
  void eval(std::span<const ConstView> x, View y) const;
  void vjp(Vjp& g) const;
  Tensor vmap(Vmap& v) const;
};

/// The same elements, row-major, in another shape.
struct Reshape {
  static constexpr std::string_view name = "reshape";
  static constexpr int arity = 1;
  static constexpr std::array<std::string_view, 1> attribute_names{"shape"};
  static constexpr bool any_dtype = true;
  Shape shape;
  Shape infer(std::span<const Shape> in) const;
  bool alias(ConstView x, ConstView& y) const;
  void eval(std::span<const ConstView> x, View y) const;
  void vjp(Vjp& g) const;
  Tensor vmap(Vmap& v) const;
};

/// A slice of one axis as a matrix whose rows are apart. `whole` is contiguous, unless the axis is its last.
View slice_as_rows(View whole, Index axis, Index start, Index length);
ConstView slice_as_rows(ConstView whole, Index axis, Index start, Index length);

}  // namespace rw
