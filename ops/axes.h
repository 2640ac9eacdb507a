#pragma once

#include <array>
#include <initializer_list>
#include <string_view>

#include <rewind/autograd/tape.h>

namespace rw {

/// One axis or several, negative ones counted from the end: what reductions take. `sum(x, 1)`, `sum(x, {0, -1})`.
class Axes {
 public:
  /// One axis.
  Axes(int axis) : Axes({axis}) {}
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
