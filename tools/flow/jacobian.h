#pragma once

// Internal to tools/flow/: use flow.

#include <span>

#include <rewind/autograd/tape.h>

namespace rw::detail {

/// The Jacobian of something to several tensors, for each of N sequences side by side, filled row by row.
class Jacobian {
 public:
  Jacobian(Index batch, Index rows, Index columns)
      : rows_(rows), columns_(columns), values_({batch, rows, columns}, DType::f64) {}

  /// Takes the gradients [N, ...] that `tensors` have on the tape as one row; zeros where there is none.
  void set_row(Index row, const Tape& tape, std::span<const Tensor> tensors);
  /// The mean over sequences of the largest singular value.
  double mean_norm() const;

 private:
  void set(Index row, Index at, const Tape& tape, Tensor t);

  Index rows_, columns_;
  Array values_;
};

/// Ones in column `i` of every sequence: the cotangent of one row.
Array ones_in_column(const Shape& shape, Index i);

}  // namespace rw::detail
