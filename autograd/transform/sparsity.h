#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <rewind/autograd/tape.h>

namespace rw {

/// Which elements of a matrix may be other than 0: the columns of each row, sorted, each once. What uses one that is
/// not so, or that has other rows or columns than it says, throws Error, naming the row.
struct SparsityPattern {
  Index rows = 0, columns = 0;
  std::vector<std::vector<std::uint32_t>> of_row;

  /// How many elements may be other than 0.
  std::size_t entries() const;
  /// Throws Error unless it is what it says.
  void check() const;
  /// Whether an element may be other than 0; false beyond the matrix.
  bool has(Index row, Index column) const;
  /// The pattern of the transposed matrix.
  SparsityPattern transposed() const;
};

/// A colour for each column, counted from 0, such that no row has two columns of one colour: columns of one colour can
/// be computed together, as one. Greedy, in order (Curtis, Powell and Reid, "On the estimation of sparse Jacobian
/// matrices", 1974).
struct Colouring {
  std::vector<std::uint32_t> colour;
  Index colours = 0;
};
Colouring colour_columns(const SparsityPattern& pattern);
/// The same for the diagonal of a square matrix alone: columns of one colour have nothing in each other's rows. Throws
/// Error for another matrix.
Colouring colour_for_diagonal(const SparsityPattern& pattern);

namespace detail {

/// Which numbers of `x` each number of `y` may depend on, found from the nodes between them. Elementwise ops, products,
/// sums, ops whose rows are independent and ops that only move elements say so by their facts; of any other op every
/// element depends on all. Of ops that move elements by index, the indices must have values: else they are any other
/// op.
SparsityPattern find_pattern(Tape& tape, std::span<const Tensor> y, std::span<const Tensor> x);

}  // namespace detail

}  // namespace rw
