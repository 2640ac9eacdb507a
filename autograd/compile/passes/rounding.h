#pragma once

#include <cstdint>
#include <span>

#include <rewind/autograd/program/graph.h>
#include <rewind/core/random.h>

namespace rw::ir {

/// How many numbers are added up for one number of a node's value, and so how often it was rounded: the inner dimension
/// of a product, the terms of a sum, the inputs of any other op.
Index roundings_of(const Graph& g, NodeId i);

/// Rounding errors as the ops of a graph make them, drawn at random: to see how far rounding in another order, or in
/// another way, may carry a result. A number is off by up to one unit of itself. That of a sum, or of a product of
/// matrices, is off in units of the sizes of its terms together, since partial sums are rounded even where they cancel:
/// n terms make up to n of those, which is a quarter of it where they are equal, as those of equal steps are, and each
/// is rounded to the same side; one where they are not. Those who look allow 16 times what they see: it is n / 16 here.
/// What cannot have been rounded stays as it is: one of the inputs' numbers, whole numbers and sums of such. So a
/// maximum is still one of its inputs, and a mask is 0 or 1.
class RoundingNoise {
 public:
  /// `unit` in place of the unit roundoff.
  RoundingNoise(double unit, std::uint64_t draw) : unit_(unit), rng_(draw) {}

  /// Moves `y`, the value of node i that was computed from the inputs x.
  void move(const Graph& g, NodeId i, std::span<const ConstView> x, Array& y);
  /// Moves the value of a leaf, whose numbers were rounded once before.
  void move_leaf(Array& y);

 private:
  double unit_;
  Rng rng_;
};

}  // namespace rw::ir
