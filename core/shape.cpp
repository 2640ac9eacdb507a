#include <ostream>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <rewind/core/error.h>
#include <rewind/core/shape.h>

namespace rw {
namespace {

// Throws unless every length is an Index that bytes can be counted with. An axis of length 0 does not hide the others:
// they would come back when it is stretched or taken away.
template <class Length>
void check_lengths(std::span<const Length> dims) {
  Index size = 1;
  for (Index d : dims) {
    if (d < 0) throw Error(fmt::format("a length may not be negative: ({})", fmt::join(dims, ", ")));
    if (d > 0 && (__builtin_mul_overflow(size, d, &size) || size > (Index{1} << 58)))
      throw Error(fmt::format("a shape too large to address: ({})", fmt::join(dims, ", ")));
  }
}

}  // namespace

void Shape::refuse(Index length) { throw Error(fmt::format("a length must be from 0 to 2147483647, not {}", length)); }

Shape::Shape(std::span<const Index> dims) {
  if (dims.size() > max_rank)
    throw Error(fmt::format("a shape has at most {} axes, not {}: ({})", max_rank, dims.size(), fmt::join(dims, ", ")));
  check_lengths(dims);
  for (Index d : dims) set(rank_++, d);
}

int Shape::axis(int axis) const {
  const int a = axis < 0 ? axis + rank() : axis;
  if (a < 0 || a >= rank()) throw Error(fmt::format("no axis {} in shape {}", axis, str()));
  return a;
}

Shape Shape::grown(int axis, Index length) const {
  Shape s = *this;
  s.set(axis, length);
  check_lengths(std::span<const std::int32_t>(s.begin(), s.end()));
  return s;
}

Shape Shape::without(int axis) const {
  Shape s;
  for (int i = 0; i < rank(); ++i)
    if (i != axis) s.set(s.rank_++, (*this)[i]);
  return s;
}

Shape Shape::inserted(int axis, Index length) const {
  if (rank() == max_rank) throw Error(fmt::format("{} already has {} axes, the most there can be", str(), max_rank));
  Shape s;
  for (int i = 0; i <= rank(); ++i) {
    if (i == axis) s.set(s.rank_++, length);
    if (i < rank()) s.set(s.rank_++, (*this)[i]);
  }
  check_lengths(std::span<const std::int32_t>(s.begin(), s.end()));
  return s;
}

std::string Shape::str() const { return fmt::format("({})", fmt::join(begin(), end(), ", ")); }

std::ostream& operator<<(std::ostream& out, const Shape& shape) { return out << shape.str(); }

Shape broadcast(const Shape& a, const Shape& b) {
  const Shape& longer = a.rank() >= b.rank() ? a : b;
  const Shape& shorter = a.rank() >= b.rank() ? b : a;
  const int offset = longer.rank() - shorter.rank();
  Shape out = longer;
  for (int i = 0; i < shorter.rank(); ++i) {
    const Index l = longer[i + offset], s = shorter[i];
    if (l == s || s == 1) continue;
    if (l != 1)
      throw Error(
          fmt::format("shapes do not broadcast: {} and {} (axes are aligned at the last; each pair must be equal or 1)",
                      a.str(), b.str()));
    out = out.with(i + offset, s);
  }
  return out;
}

bool broadcasts_to(const Shape& from, const Shape& to) {
  const int offset = to.rank() - from.rank();
  if (offset < 0) return false;
  for (int i = 0; i < from.rank(); ++i)
    if (from[i] != to[i + offset] && from[i] != 1) return false;
  return true;
}

}  // namespace rw
