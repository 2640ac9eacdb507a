#pragma once

#include <span>

#include <rewind/autograd/tape.h>

namespace rw {

/// What an op's rule for many of it at once works with: `Tensor vmap(Vmap& v) const`. It gives the values of `size()`
/// examples side by side, [size, ...]. Inputs that differ from example to example are batched: [size, ...] too; the
/// others are one for all.
class Vmap {
 public:
  struct Input {
    Tensor x;
    bool batched = false;
  };
  Vmap(Tape& tape, const OpInfo& info, const void* op, Index size, std::span<const Input> inputs)
      : tape_(tape), info_(info), op_(op), size_(size), inputs_(inputs) {}

  /// The number of examples.
  Index size() const { return size_; }
  /// The number of the op's inputs, and whether one differs from example to example.
  int inputs() const { return static_cast<int>(inputs_.size()); }
  bool batched(int i) const { return inputs_[static_cast<std::size_t>(i)].batched; }
  /// Of one example's input.
  Shape shape(int i) const;
  /// [size, ...] when it is batched.
  Tensor x(int i) const { return inputs_[static_cast<std::size_t>(i)].x; }
  /// [size, ...] in any case: one for all is repeated.
  Tensor all(int i) const;
  /// The shape of `size` of these side by side, each with axes of length 1 in front up to `rank`. Throws Error, naming
  /// the op, when that has too many axes.
  Shape many(const Shape& one, int rank = 0) const;
  /// One example after the other: what any op can do.
  Tensor loop() const;

  /// The op by its own rule or by the facts that it declares; else by `loop`.
  static Tensor run(Tape& tape, const OpInfo& info, const void* op, Index size, std::span<const Input> inputs);

 private:
  Tensor elementwise() const;
  Tensor one(int i, Index example) const;

  Tape& tape_;
  const OpInfo& info_;
  const void* op_;
  Index size_;
  std::span<const Input> inputs_;
};

}  // namespace rw
