#include <algorithm>
#include <cstring>

#include <rewind/core/broadcast_loop.h>
#include <rewind/core/error.h>
#include <rewind/core/reduce.h>
#include <rewind/core/strides.h>

namespace rw {
namespace {

struct Plus {
  template <class T>
  T operator()(T a, T b) const {
    return a + b;
  }
};

constexpr Index lanes = 16, sum_block = 4096;

// y += the nest's rows of x: whole rows added to rows, or each row summed into one element.
template <class T>
void accumulate(ConstView x, View y) {
  std::array<std::pair<Shape, Index>, 2> layouts{{{x.shape, x.stride}, {y.shape, y.stride}}};
  const auto nest = loop_nest<2>(x.shape, layouts, 2);
  static const VectorLoop plus = vector_loop<Plus, 2>();
  const Plus fn;
  const Index cols = nest.inner();
  for (Index r = 0; r < nest.outer(); ++r) {
    const T* from = x.as<T>() + nest.offset(0, r);
    T* to = y.as<T>() + nest.offset(1, r);
    if (nest.inner_stride(1) == 0) {
      *to = static_cast<T>(*to + sum(from, cols));
    } else {
      const T* in[] = {to, from};
      if constexpr (std::is_same_v<T, double>)
        plus.f64(&fn, cols, in, to);
      else
        plus.f32(&fn, cols, in, to);
    }
  }
}

}  // namespace

void add_into(ConstView x, View y) {
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
