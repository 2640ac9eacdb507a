#include <algorithm>
#include <cstring>

#include <rewind/core/broadcast_loop.h>
#include <rewind/core/error.h>
#include <rewind/core/reduce.h>
#include <rewind/core/strides.h>
#include <rewind/core/threads.h>

namespace rw {
namespace {

struct Plus {
  template <class T>
  T operator()(T a, T b) const {
    return a + b;
  }
};

constexpr Index lanes = 16, sum_block = 4096;

// The elements of a view by their number, row-major.
template <class T>
struct Elements {
  T* data;
  Index cols, stride;
  bool packed;

  template <class V>
  explicit Elements(const V& v)
      : data(v.template as<std::remove_const_t<T>>()), cols(v.cols()), stride(v.stride), packed(v.contiguous()) {}
  T* at(Index i) const { return packed ? data + i : data + i / cols * stride + i % cols; }
  // How many elements from number i on lie side by side.
  Index run(Index i, Index at_most) const { return packed ? at_most : std::min(at_most, cols - i % cols); }
};

template <class T>
void add_run(const T* from, T* to, Index n) {
  static const VectorLoop plus = vector_loop<Plus, 2>();
  const Plus fn;
  const T* in[] = {to, from};
  if constexpr (std::is_same_v<T, double>)
    plus.f64(&fn, n, in, to);
  else
    plus.f32(&fn, n, in, to);
}

// Sum of the n elements from number `first` on; `block` is room for `sum_block` of them.
template <class T>
double sum_elements(const Elements<const T>& x, Index first, Index n, T* block) {
  if (x.run(first, n) == n) return sum(x.at(first), n);
  double total = 0;
  for (Index begin = 0; begin < n; begin += sum_block) {
    const Index length = std::min(sum_block, n - begin);
    for (Index i = 0; i < length;) {
      const Index from = first + begin + i, run = x.run(from, length - i);
      std::copy_n(x.at(from), run, block + i);
      i += run;
    }
    total += sum(static_cast<const T*>(block), length);
  }
  return total;
}

// y += the sums of x. The order is that of a nest over contiguous arrays, however the rows lie.
template <class T>
void accumulate(ConstView x, View y) {
  const std::array<std::pair<Shape, Index>, 2> layouts{{{x.shape, x.cols()}, {y.shape, y.cols()}}};
  const auto nest = loop_nest<2>(x.shape, layouts, 2);
  const Elements<const T> from(x);
  const Elements<T> to(y);
  const Index cols = nest.inner();
  if (nest.inner_stride(1) == 0) {
    T block[sum_block];
    for (Index r = 0; r < nest.outer(); ++r) {
      T& sum = *to.at(nest.offset(1, r));
      sum = static_cast<T>(sum + sum_elements(from, nest.offset(0, r), cols, block));
    }
    return;
  }
  const auto add_columns = [&](Index begin, Index end) {
    for (Index r = 0; r < nest.outer(); ++r) {
      const Index source = nest.offset(0, r), target = nest.offset(1, r);
      for (Index i = begin, run = 0; i < end; i += run) {
        run = to.run(target + i, from.run(source + i, end - i));
        add_run(from.at(source + i), to.at(target + i), run);
      }
    }
  };
  constexpr Index few_elements = 1 << 17, few_columns = 128;
  if (x.size() < few_elements || cols < 2 * few_columns) return add_columns(0, cols);
  const Index each = std::max(few_columns, (cols / threads() + 63) / 64 * 64);
  parallel_for((cols + each - 1) / each, [&](Index b) { add_columns(b * each, std::min(cols, (b + 1) * each)); });
}

void add_converted(ConstView x, View y) {
  visit_real(x.dtype, [&]<class From>() {
    visit_real(y.dtype, [&]<class To>() {
      for (Index r = 0; r < y.rows(); ++r)
        for (Index c = 0; c < y.cols(); ++c) y.row<To>(r)[c] += static_cast<To>(x.row<From>(r)[c]);
    });
  });
}

}  // namespace

void add_into(ConstView x, View y) {
  if (x.dtype != y.dtype) return add_converted(x, y);
  static const VectorLoop plus = vector_loop<Plus, 2>();
  const Plus fn;
  const ConstView in[] = {y, x};
  broadcast_loop(plus, &fn, in, y);
}

template <class T>
double sum(const T* x, Index n) {
  double total = 0;
  for (Index begin = 0; begin < n; begin += sum_block) {
    const Index end = std::min(n, begin + sum_block);
    T part[lanes] = {};
    Index i = begin;
    for (; i + lanes <= end; i += lanes)
      for (Index l = 0; l < lanes; ++l) part[l] += x[i + l];
    for (Index l = 0; i < end; ++i, ++l) part[l] += x[i];
    for (Index width = lanes / 2; width > 0; width /= 2)
      for (Index l = 0; l < width; ++l) part[l] += part[l + width];
    total += static_cast<double>(part[0]);
  }
  return total;
}

template double sum<float>(const float*, Index);
template double sum<double>(const double*, Index);

void sum_to(ConstView x, View y) {
  if (!broadcasts_to(y.shape, x.shape))
    throw Error("cannot sum " + x.shape.str() + " to " + y.shape.str() + ": the second must broadcast to the first");
  if (y.shape == x.shape) return copy(x, y);
  visit_real(y.dtype, [&]<class T>() {
    for (Index r = 0; r < y.rows(); ++r) std::memset(y.row<T>(r), 0, static_cast<std::size_t>(y.cols()) * sizeof(T));
    if (x.size() > 0) accumulate<T>(x, y);
  });
}

}  // namespace rw
