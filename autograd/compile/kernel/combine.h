#pragma once

#include <rewind/autograd/op.h>
#include <rewind/core/math.h>

namespace rw::ir {

/// Whether `op` is one of those that combined loops are made of: add, sub, mul or times0.
bool combines(Arithmetic op);

/// What is computed of a, b, c and d: `left` of a and b, `right` of c and d, and `outer` of both, each the first of its
/// two where it is none. `swapped`: `outer` has them the other way round.
struct Formula {
  Arithmetic left = Arithmetic::none, right = Arithmetic::none, outer = Arithmetic::none;
  bool swapped = false;
};

/// The loop over a formula of ops that combine, with an outer one; each result is rounded as by loops of its own.
const VectorLoop& combined_loop(const Formula& formula);

/// `op` of a and b, or a where it is none. Not for div.
template <Arithmetic op, class T>
T value_of(T a, T b) {
  if constexpr (op == Arithmetic::none) return a;
  if constexpr (op == Arithmetic::add) return a + b;
  if constexpr (op == Arithmetic::sub) return a - b;
  if constexpr (op == Arithmetic::mul) return a * b;
  if constexpr (op == Arithmetic::times0) return times0(a, b);
  if constexpr (op == Arithmetic::neg) return -a;
}
/// The same of an op that is known when it runs: so few comparisons do not become a table of places to jump to, which a
/// processor foretells less well.
template <class T>
T value_of(Arithmetic op, T a, T b) {
  if (op == Arithmetic::times0) return value_of<Arithmetic::times0>(a, b);
  if (op == Arithmetic::add) return value_of<Arithmetic::add>(a, b);
  if (op == Arithmetic::none) return a;
  if (op == Arithmetic::mul) return value_of<Arithmetic::mul>(a, b);
  return op == Arithmetic::sub ? value_of<Arithmetic::sub>(a, b) : value_of<Arithmetic::neg>(a, b);
}
template <class T>
T value_of(const Formula& f, T a, T b, T c, T d) {
  const T x = value_of(f.left, a, b);
  if (f.outer == Arithmetic::none) return x;
  const T y = value_of(f.right, c, d);
  return f.swapped ? value_of(f.outer, y, x) : value_of(f.outer, x, y);
}

}  // namespace rw::ir
