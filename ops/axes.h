#pragma once

#include <array>
#include <concepts>
#include <initializer_list>
#include <string_view>

#include <rewind/autograd/tape.h>

namespace rw {

namespace detail {
template <class>
inline constexpr bool is_axis = false;
}  // namespace detail

/// One axis, counted from the end when negative: a whole number, since half an axis is a mistake.
class Axis {
 public:
  /// An axis, by its number.
  template <std::integral I>
  requires(!std::same_as<I, bool>) Axis(I axis) : axis_(static_cast<int>(axis)) {}
  /// Does not compile.
  template <class N>
  requires std::floating_point<N> || std::same_as<N, bool> Axis(N) {
    static_assert(detail::is_axis<N>, "an axis is a whole number, not a real or a bool: write softmax(x, 1)");
  }
  /// The number.
  operator int() const { return axis_; }

 private:
  int axis_;
};

/// One axis or several, negative ones counted from the end: what reductions take. `sum(x, 1)`, `sum(x, {0, -1})`.
class Axes {
 public:
  /// One axis.
  template <std::integral I>
  requires(!std::same_as<I, bool>) Axes(I axis) : Axes({static_cast<int>(axis)}) {}
  /// Does not compile.
  template <class N>
  requires std::floating_point<N> || std::same_as<N, bool> Axes(N) {
    static_assert(detail::is_axis<N>, "an axis is a whole number, not a real or a bool: write sum(x, 1)");
  }
  /// Throws Error for more than `max_rank`.
  Axes(std::initializer_list<int> axes);
  /// Every axis of whatever it is used on.
  static Axes all();

  /// Whether all axes are meant.
  bool is_all() const { return all_; }
  /// The axes in their order.
  const int* begin() const { return axes_.data(); }
  /// Behind the last.
  const int* end() const { return axes_.data() + count_; }

 private:
  std::array<int, max_rank> axes_{};
  int count_ = 0;
  bool all_ = false;
};

/// The Tensor that x is; of a Parameter or a number alone nobody knows the tape: throws Error, naming `op`.
const Tensor& checked_tensor(std::string_view op, const Operand& x);

/// `axis` of x counted from the front; throws Error, naming `op`, when x has no such axis.
int checked_axis(std::string_view op, const Tensor& x, int axis);

/// What a reduction makes of a shape.
struct ReducedShape {
  Shape kept;     // the reduced axes have length 1
  Shape dropped;  // the reduced axes are gone
  bool leading;   // they were the first ones, so that `dropped` broadcasts as `kept` does
};

/// Throws Error, naming `op`, for an axis that is not there or named twice.
ReducedShape reduced_shape(std::string_view op, const Tensor& x, const Axes& axes);

}  // namespace rw
