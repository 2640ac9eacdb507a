#pragma once

#include <rewind/core/shape.h>

namespace rw {

/// Numbers somebody else owns, read only: rows (the last axis) of contiguous elements, consecutive rows `stride`
/// elements apart. A slice of the last axis of a matrix is such a view, and so is any contiguous array (`stride ==
/// cols()`).
struct ConstView {
  const void* data = nullptr;
  Shape shape;
  Index stride = 1;
  DType dtype = DType::f32;

  /// Number of elements.
  Index size() const { return shape.size(); }
  /// Number of rows: of all axes but the last.
  Index rows() const { return shape.rows(); }
  /// Length of the last axis; 1 of a scalar.
  Index cols() const { return shape.cols(); }
  /// Whether rows follow each other without gaps.
  bool contiguous() const { return stride == cols() || rows() <= 1; }

  /// The first element, and the first of row `r`. T must be the dtype's type.
  template <Element T>
  const T* as() const {
    return static_cast<const T*>(data);
  }
  /// The first number of row r.
  template <Element T>
  const T* row(Index r) const {
    return as<T>() + r * stride;
  }
};

/// The same, writable.
struct View {
  void* data = nullptr;
  Shape shape;
  Index stride = 1;
  DType dtype = DType::f32;

  /// To be read.
  operator ConstView() const { return {data, shape, stride, dtype}; }
  /// Number of elements.
  Index size() const { return shape.size(); }
  /// Number of rows: of all axes but the last.
  Index rows() const { return shape.rows(); }
  /// Length of the last axis; 1 of a scalar.
  Index cols() const { return shape.cols(); }
  /// Whether rows follow each other without gaps.
  bool contiguous() const { return stride == cols() || rows() <= 1; }

  /// The numbers as this type; it is not checked.
  template <Element T>
  T* as() const {
    return static_cast<T*>(data);
  }
  /// The first number of row r.
  template <Element T>
  T* row(Index r) const {
    return as<T>() + r * stride;
  }
};

/// A contiguous view of `shape` at `data`.
inline ConstView contiguous_view(const void* data, const Shape& shape, DType dtype) {
  return {data, shape, shape.cols(), dtype};
}
inline View contiguous_view(void* data, const Shape& shape, DType dtype) { return {data, shape, shape.cols(), dtype}; }

/// Copies `from` into `to`, converting the element type; shapes must be equal in size and row length.
void copy(ConstView from, View to);

}  // namespace rw
