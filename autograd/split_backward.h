#pragma once

#include <memory>
#include <optional>
#include <span>
#include <unordered_map>

#include <rewind/autograd/tape.h>

namespace rw {

/// One backward over a computation that was recorded in pieces, on several tapes or on one that was cleared in between:
/// `run` for each piece, the newest first, then `commit`. Gradients of parameters go on growing from piece to piece in
/// the order in which one backward over one tape adds them, so they are the same bits. What else flows from a piece to
/// an older one is the caller's: `Tape::grad` of the newer piece's variables is the cotangent of the values that they
/// were copied from.
class SplitBackward {
 public:
  /// `dtype` of all the tapes.
  explicit SplitBackward(DType dtype) : dtype_(dtype) {}

  /// A value to start from and dL/dy, of y's shape; without it y must have one element, and 1 is taken.
  struct Root {
    Tensor y;
    std::optional<ConstView> cotangent = std::nullopt;
  };

  /// Sweeps one piece. The cotangents come first in their gradients' sums, as those of the newest consumers. Roots that
  /// need no gradient are passed over; without any other nothing happens. Throws Error as `backward` does, for roots of
  /// different tapes, and while `compile` traces; what was gathered is then lost, and no parameter has changed.
  void run(std::span<const Root> roots);
  /// The same for a list.
  void run(std::initializer_list<Root> roots) { run({roots.begin(), roots.size()}); }

  /// Adds what was gathered to Parameter::grad and begins anew. Strong guarantee: on a throw nothing has changed.
  void commit();
  /// Forgets what was gathered.
  void clear() { sums_.clear(); }

  /// Bytes gathered.
  std::size_t bytes() const;

 private:
  DType dtype_;
  std::unordered_map<std::shared_ptr<Parameter::Data>, Array> sums_;
};

}  // namespace rw
