#pragma once

// What the tests of loops over several arrays share: random shapes, views whose rows are apart, and a reference that
// walks positions one by one, as NumPy's documentation defines broadcasting.

#include <cstring>
#include <vector>

#include <rewind/core/array.h>
#include <rewind/core/random.h>

namespace test {

using rw::Index;
using rw::Shape;

/// Numbers in memory of which a view takes the rows `stride` apart; what lies between is `guard`, and must stay.
template <class T>
struct Strided {
  static constexpr T guard = T(-12345);
  std::vector<T> numbers;
  Shape shape;
  Index stride;

  Strided(const Shape& s, Index between)
      : numbers(static_cast<std::size_t>(s.rows() * (s.cols() + between) + 1), guard),
        shape(s),
        stride(s.cols() + between) {}
  rw::View view() { return {numbers.data(), shape, stride, rw::dtype_of<T>}; }
  T& operator[](Index i) {
    const Index cols = shape.cols();
    return numbers[static_cast<std::size_t>(i / cols * stride + i % cols)];
  }
  void fill(rw::Rng& rng) {
    for (Index i = 0; i < shape.size(); ++i) (*this)[i] = static_cast<T>(rng.uniform(-2, 2));
  }
  bool guards_stand() {
    std::vector<bool> own(numbers.size());
    for (Index i = 0; i < shape.size(); ++i) own[static_cast<std::size_t>(&(*this)[i] - numbers.data())] = true;
    for (std::size_t i = 0; i < numbers.size(); ++i)
      if (!own[i] && numbers[i] != guard) return false;
    return true;
  }
};

/// Number of the element of `from` that stands at number `i` of `to`, to which `from` is stretched.
inline Index stretched_index(const Shape& from, const Shape& to, Index i) {
  std::vector<Index> position(static_cast<std::size_t>(to.rank()));
  for (int axis = to.rank() - 1; axis >= 0; --axis) {
    position[static_cast<std::size_t>(axis)] = i % to[axis];
    i /= to[axis];
  }
  Index at = 0;
  for (int axis = 0; axis < from.rank(); ++axis) {
    const Index p = position[static_cast<std::size_t>(axis + to.rank() - from.rank())];
    at = at * from[axis] + (from[axis] == 1 ? 0 : p);
  }
  return at;
}

/// A shape of up to `max_rank` axes; lengths of 1 are common, of 0 rare.
inline Shape some_shape(rw::Rng& rng) {
  std::vector<Index> dims;
  for (Index rank = rng.below(rw::max_rank + 1); rank > 0; --rank) {
    const Index kind = rng.below(40);
    dims.push_back(kind == 0 ? 0 : kind < 12 ? 1 : 1 + rng.below(5));
  }
  if (!dims.empty() && rng.below(6) == 0) dims.back() = 1 + rng.below(1200);  // longer than a loop's block
  return Shape(dims);
}

/// A shape that stretches to `to`.
inline Shape some_part(rw::Rng& rng, const Shape& to) {
  std::vector<Index> dims(to.begin(), to.end());
  for (Index& d : dims)
    if (rng.below(3) == 0) d = 1;
  const Index cut = rng.below(4) == 0 ? rng.below(to.rank() + 1) : 0;
  return Shape(std::span<const Index>(dims).subspan(static_cast<std::size_t>(cut)));
}

inline Index some_gap(rw::Rng& rng) { return rng.below(2) == 0 ? 0 : 1 + rng.below(4); }

}  // namespace test
