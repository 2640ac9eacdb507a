#pragma once

#include <array>
#include <initializer_list>
#include <iosfwd>
#include <span>
#include <string>

#include <rewind/core/dtype.h>

namespace rw {

/// The most axes an array may have.
inline constexpr int max_rank = 6;

/// The lengths of an array's axes, outermost first. `Shape{}` is a scalar. Small, inline, trivially copyable, so that
/// it can be an op's attribute: axes beyond the rank hold 0, and equality is equality of bytes.
class Shape {
 public:
  constexpr Shape() = default;
  /// Throws Error for more than `max_rank` axes, a length that is negative or over 2^31 - 1, or a size over 2^58 (axes
  /// of length 0 left out of account).
  Shape(std::initializer_list<Index> dims) : Shape(std::span<const Index>(dims.begin(), dims.size())) {}
  /// From a list of lengths.
  explicit Shape(std::span<const Index> dims);

  /// Number of axes; 0 of a scalar.
  int rank() const { return rank_; }
  /// Length of an axis, unchecked.
  Index operator[](int axis) const { return dims_[static_cast<std::size_t>(axis)]; }
  /// The lengths, first to last.
  const std::int32_t* begin() const { return dims_.data(); }
  /// Behind the last.
  const std::int32_t* end() const { return dims_.data() + rank_; }

  /// Number of elements; 1 for a scalar.
  Index size() const {
    Index n = 1;
    for (Index d : *this) n *= d;
    return n;
  }
  /// Length of the last axis; 1 for a scalar.
  Index cols() const { return rank_ == 0 ? 1 : dims_[static_cast<std::size_t>(rank_ - 1)]; }
  /// Product of all axes but the last; 1 for a scalar.
  Index rows() const {
    Index n = 1;
    for (int i = 0; i + 1 < rank_; ++i) n *= dims_[static_cast<std::size_t>(i)];
    return n;
  }

  /// `axis` counted from the end when negative; throws Error, naming the shape, when there is no such axis.
  int axis(int axis) const;
  /// A copy with one axis (unchecked) of another length. Throws Error for lengths that a shape cannot have.
  Shape with(int axis, Index length) const {
    if (length < 0 || length > (*this)[axis]) return grown(axis, length);
    Shape s = *this;
    s.set(axis, length);
    return s;
  }
  /// Copies without an axis, and with a new axis of `length` before position `axis`. The latter throws Error for
  /// lengths that a shape cannot have, and when there are `max_rank` axes already.
  Shape without(int axis) const;
  /// With one axis more, before `axis`.
  Shape inserted(int axis, Index length) const;

  /// Branch-free: the engine compares shapes at every op.
  bool operator==(const Shape& other) const {
    std::int32_t differ = rank_ ^ other.rank_;
    for (std::size_t i = 0; i < max_rank; ++i) differ |= dims_[i] ^ other.dims_[i];
    return differ == 0;
  }

  /// "(32, 128)"; "()" for a scalar.
  std::string str() const;

 private:
  Shape grown(int axis, Index length) const;
  [[noreturn]] static void refuse(Index length);
  void set(int axis, Index length) {
    if (length < 0 || length > INT32_MAX) refuse(length);
    dims_[static_cast<std::size_t>(axis)] = static_cast<std::int32_t>(length);
  }

  std::array<std::int32_t, max_rank> dims_{};
  std::int32_t rank_ = 0;
};

std::ostream& operator<<(std::ostream& out, const Shape& shape);

/// NumPy's broadcast of two shapes: aligned at the last axis, where 1 stretches. Throws Error naming both.
Shape broadcast(const Shape& a, const Shape& b);

/// Whether `from` can be stretched to exactly `to`.
bool broadcasts_to(const Shape& from, const Shape& to);

}  // namespace rw
