#include <cmath>
#include <cstdlib>
#include <cstring>
#include <ostream>

#include <fmt/format.h>

#include <rewind/core/array.h>
#include <rewind/core/memory.h>

namespace rw {
namespace {

constexpr std::size_t alignment = 64;  // a cache line, and the widest vector register

std::byte* allocate(const Shape& shape, DType dtype) {
  const auto bytes = static_cast<std::size_t>(shape.size()) * size_of(dtype);
  const auto rounded = (bytes + alignment - 1) / alignment * alignment;
  auto* p = static_cast<std::byte*>(detail::allocate_vectors(rounded));
  if (p == nullptr) throw Error(fmt::format("no memory for an array of shape {} ({} bytes)", shape.str(), bytes));
  std::memset(p + bytes, 0, rounded - bytes);  // what is left of the last vector may be computed with: no slow numbers
  return p;
}

// A real that has no i32 (nan, or one too large) is an error, not whatever the processor makes of it.
template <class To, class From>
To converted(From x) {
  if constexpr (std::is_same_v<To, std::int32_t> && std::is_floating_point_v<From>) {
    if (!(x >= From(-2147483648.0) && x < From(2147483648.0)))
      throw Error(fmt::format("{} does not fit i32: indices are whole numbers below 2^31", x));
  }
  return static_cast<To>(x);
}

template <class From, class To>
void copy_elements(const From* x, To* y, Index n) {
  if constexpr (std::is_same_v<From, To>) {
    if (n > 0) std::memcpy(y, x, static_cast<std::size_t>(n) * sizeof(To));
  } else {
    for (Index i = 0; i < n; ++i) y[i] = converted<To>(x[i]);
  }
}

void print_number(fmt::memory_buffer& out, const Array& a, Index at) {
  const auto i = static_cast<std::size_t>(at);
  if (a.dtype() == DType::i32) {
    fmt::format_to(std::back_inserter(out), "{}", a.span<std::int32_t>()[i]);
  } else {
    visit_real(a.dtype(), [&]<class T>() {
      const T x = a.span<T>()[i];
      fmt::format_to(std::back_inserter(out), "{:.6g}", std::isnan(x) ? std::abs(x) : x);  // not "-nan"
    });
  }
}

void print_axis(fmt::memory_buffer& out, const Array& a, int axis, Index offset, int indent) {
  constexpr Index edge = 3, longest = 8;
  const auto append = [&](std::string_view s) { out.append(s.data(), s.data() + s.size()); };
  const Index length = a.shape()[axis];
  const bool last = axis + 1 == a.shape().rank();
  Index step = 1;
  for (int i = axis + 1; i < a.shape().rank(); ++i) step *= a.shape()[i];
  append("[");
  for (Index i = 0; i < length; ++i) {
    if (i > 0) append(last ? ", " : ",\n" + std::string(static_cast<std::size_t>(indent + 1), ' '));
    if (length > longest && i == edge) {
      append("...");
      i = length - edge - 1;
      continue;
    }
    const Index at = offset + i * step;
    if (last)
      print_number(out, a, at);
    else
      print_axis(out, a, axis + 1, at, indent + 1);
  }
  append("]");
}

}  // namespace

void copy(ConstView from, View to) {
  const Index size = from.size(), cols = from.cols();
  if (size != to.size()) throw Error("copy: sizes differ: " + from.shape.str() + " to " + to.shape.str());
  if (size == 0) return;
  const bool flat = from.contiguous() && to.contiguous();
  if (!flat && cols != to.cols()) throw Error("copy: rows differ: " + from.shape.str() + " to " + to.shape.str());
  visit_dtype(from.dtype, [&]<class From>() {
    visit_dtype(to.dtype, [&]<class To>() {
      if (flat) return copy_elements(from.as<From>(), to.as<To>(), size);
      for (Index r = 0; r < size / cols; ++r) copy_elements(from.row<From>(r), to.row<To>(r), cols);
    });
  });
}

Array::Array(const Shape& shape, DType dtype) : shape_(shape), dtype_(dtype), data_(allocate(shape, dtype)) {
  std::memset(data_.get(), 0, static_cast<std::size_t>(shape.size()) * size_of(dtype));
}

Array::Array(ConstView view) : shape_(view.shape), dtype_(view.dtype), data_(allocate(view.shape, view.dtype)) {
  copy(view, this->view());
}

void Array::require(DType t) const {
  if (t != dtype_)
    throw Error(
        fmt::format("the array is {}, not {}: convert it with to(DType::{})", name_of(dtype_), name_of(t), name_of(t)));
}

double Array::item() const {
  if (size() != 1) throw Error("item() needs exactly one element; the shape is " + shape_.str());
  return visit_dtype(dtype_, [&]<class T>() { return static_cast<double>(span<T>()[0]); });
}

std::size_t Array::offset_of(std::initializer_list<Index> position) const {
  if (static_cast<int>(position.size()) != shape_.rank())
    throw Error(
        fmt::format("an element of shape {} has {} positions, not {}", shape_.str(), shape_.rank(), position.size()));
  Index offset = 0;
  int axis = 0;
  for (Index p : position) {
    if (p < 0 || p >= shape_[axis])
      throw Error(fmt::format("position {} is outside axis {} of shape {}", p, axis, shape_.str()));
    offset = offset * shape_[axis++] + p;
  }
  return static_cast<std::size_t>(offset);
}

double Array::at(std::initializer_list<Index> position) const {
  const std::size_t offset = offset_of(position);
  return visit_dtype(dtype_, [&]<class T>() { return static_cast<double>(span<T>()[offset]); });
}

void Array::set(std::initializer_list<Index> position, double value) {
  const std::size_t offset = offset_of(position);
  visit_dtype(dtype_, [&]<class T>() { span<T>()[offset] = converted<T>(value); });
}

Array Array::to(DType dtype) const {
  Array out(shape_, dtype);
  copy(view(), out.view());
  return out;
}

Array Array::reshaped(const Shape& shape) const {
  if (shape.size() != size()) throw Error("reshaped: sizes differ: " + shape_.str() + " to " + shape.str());
  Array out = *this;
  out.shape_ = shape;
  return out;
}

void Array::fill(double value) {
  visit_dtype(dtype_, [&]<class T>() {
    const T x = converted<T>(value);
    for (T& y : span<T>()) y = x;
  });
}

Array full(const Shape& shape, double value, DType dtype) {
  Array out(shape, dtype);
  out.fill(value);
  return out;
}

Array arange(Index n) {
  Array out(Shape{n}, DType::i32);
  for (Index i = 0; i < n; ++i) out.span<std::int32_t>()[static_cast<std::size_t>(i)] = static_cast<std::int32_t>(i);
  return out;
}

bool operator==(const Array& a, const Array& b) {
  if (a.shape() != b.shape() || a.dtype() != b.dtype()) return false;
  return visit_dtype(a.dtype(), [&]<class T>() {
    const auto x = a.span<T>(), y = b.span<T>();
    for (std::size_t i = 0; i < x.size(); ++i)
      if (!(x[i] == y[i])) return false;
    return true;
  });
}

std::string to_string(ConstView view) {
  const Array a(view);
  fmt::memory_buffer out;
  if (a.shape().rank() == 0)
    print_number(out, a, 0);
  else
    print_axis(out, a, 0, 0, 0);
  return fmt::to_string(out);
}

std::ostream& operator<<(std::ostream& out, const Array& array) { return out << to_string(array); }

}  // namespace rw
