#pragma once

#include <concepts>
#include <cstring>
#include <initializer_list>
#include <iosfwd>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <rewind/core/error.h>
#include <rewind/core/view.h>

namespace rw {

/// Numbers with a shape and an element type, contiguous and row-major, on the heap. A value: a copy is a deep copy.
/// Arrays carry data into and out of tapes and hold parameters.
class Array {
 public:
  /// A scalar 0.
  Array() : Array(Shape{}, DType::f32) {}
  /// Zeros. Throws Error when the shape is too large.
  explicit Array(const Shape& shape, DType dtype = DType::f32);
  /// A copy of numbers somebody else owns, for instance of a tensor's value.
  explicit Array(ConstView view);
  /// Copies `values`, row-major. Throws Error when their count is not `shape.size()`.
  template <Element T>
  Array(std::span<const T> values, const Shape& shape);
  /// Numbers in a shape of as many elements (else throws Error).
  template <Element T>
  Array(const std::vector<T>& values, const Shape& shape) : Array(std::span<const T>(values), shape) {}
  /// The same for a list.
  template <Element T>
  Array(std::initializer_list<T> values, const Shape& shape)
      : Array(std::span<const T>(values.begin(), values.size()), shape) {}
  /// The same for a list of several types, as {1., -1}: f64.
  Array(std::initializer_list<double> values, const Shape& shape)
      : Array(std::span<const double>(values.begin(), values.size()), shape) {}
  /// A vector of them.
  template <Element T>
  explicit Array(const std::vector<T>& values) : Array(values, Shape{static_cast<Index>(values.size())}) {}

  /// A copy.
  Array(const Array& other) : Array(other.view()) {}
  /// A copy.
  Array& operator=(const Array& other) { return *this = Array(other); }
  /// What was moved from is an array of shape (0).
  Array(Array&& other) noexcept
      : shape_(std::exchange(other.shape_, Shape{0})), dtype_(other.dtype_), data_(std::move(other.data_)) {}
  /// Takes the other one's memory.
  Array& operator=(Array&& other) noexcept {
    Array taken(std::move(other));
    std::swap(shape_, taken.shape_);
    std::swap(dtype_, taken.dtype_);
    std::swap(data_, taken.data_);
    return *this;
  }

  /// Its shape.
  const Shape& shape() const { return shape_; }
  /// Its element type.
  DType dtype() const { return dtype_; }
  /// Number of elements.
  Index size() const { return shape_.size(); }

  /// A view of all of it, to read.
  ConstView view() const& { return contiguous_view(static_cast<const void*>(data_.get()), shape_, dtype_); }
  /// A view of all of it, to write.
  View view() & { return contiguous_view(static_cast<void*>(data_.get()), shape_, dtype_); }
  /// Arrays go wherever views do.
  operator ConstView() const { return view(); }
  /// Not of an array that ends with the statement, and would leave the view behind: `for (float x : f().span<float>())`
  /// reads freed memory. Give it a name first.
  void view() const&& = delete;

  /// The elements, row-major. Throws Error when T is not the dtype's type.
  template <Element T>
  std::span<const T> span() const& {
    require(dtype_of<T>);
    return {reinterpret_cast<const T*>(data_.get()), static_cast<std::size_t>(size())};
  }
  /// The same, to be changed.
  template <Element T>
  std::span<T> span() & {
    require(dtype_of<T>);
    return {reinterpret_cast<T*>(data_.get()), static_cast<std::size_t>(size())};
  }
  /// See view().
  template <Element T>
  void span() const&& = delete;

  /// The elements converted to T, row-major.
  template <Element T>
  std::vector<T> to_vector() const;
  /// The only element. Throws Error when there is not exactly one.
  double item() const;
  /// One element by its position along each axis: `a.at({2, 0})`. Throws Error outside the shape.
  double at(std::initializer_list<Index> position) const;
  /// Writes one: `a.set({2, 0}, 1.5)`. Throws Error outside the shape, and when the elements are i32 and `value` does
  /// not fit.
  void set(std::initializer_list<Index> position, double value);

  /// The same elements as another type, or in another shape of the same size (else throws Error). Reals lose their
  /// fraction on the way to i32; those that do not fit, and nan, throw Error.
  Array to(DType dtype) const;
  /// The same numbers, row-major, in another shape of as many elements (else throws Error).
  Array reshaped(const Shape& shape) const;

  /// Sets every element. Throws Error when the elements are i32 and `value` does not fit.
  void fill(double value);

 private:
  struct Free {
    void operator()(std::byte* p) const { std::free(p); }
  };
  void require(DType t) const;
  std::size_t offset_of(std::initializer_list<Index> position) const;

  Shape shape_;
  DType dtype_;
  std::unique_ptr<std::byte[], Free> data_;
};

/// Arrays of zeros, of one value, and of 0, 1, 2, ... (i32).
inline Array zeros(const Shape& shape, DType dtype = DType::f32) { return Array(shape, dtype); }
template <std::integral... I>
Array zeros(I... lengths) {
  return Array(Shape{static_cast<Index>(lengths)...});
}
Array full(const Shape& shape, double value, DType dtype = DType::f32);
Array arange(Index n);

/// Whether shapes, types and all elements are equal (0 equals -0, nan does not equal nan).
bool operator==(const Array& a, const Array& b);

/// Readable, as NumPy prints: nested brackets, reals with six significant digits, the middle of long axes left out.
std::string to_string(ConstView view);
std::ostream& operator<<(std::ostream& out, const Array& array);

template <Element T>
Array::Array(std::span<const T> values, const Shape& shape) : Array(shape, dtype_of<T>) {
  if (static_cast<Index>(values.size()) != shape.size())
    throw Error("an array of shape " + shape.str() + " takes " + std::to_string(shape.size()) + " values, not " +
                std::to_string(values.size()));
  if (!values.empty()) std::memcpy(data_.get(), values.data(), values.size_bytes());
}

template <Element T>
std::vector<T> Array::to_vector() const {
  std::vector<T> out(static_cast<std::size_t>(size()));
  copy(view(), contiguous_view(static_cast<void*>(out.data()), shape_, dtype_of<T>));
  return out;
}

}  // namespace rw
