#include <cmath>
#include <limits>

#include <rewind/core/math.h>
#include <rewind/core/reduce.h>
#include <rewind/core/vector_loop.h>
#include <rewind/ops/rows.h>

namespace rw::detail {
namespace {

struct ShiftedExp {
  double shift;
  template <class T>
  T operator()(T x) const {
    return exp(x - static_cast<T>(shift));
  }
};

struct Scale {
  double factor;
  template <class T>
  T operator()(T x) const {
    return x * static_cast<T>(factor);
  }
};

struct Subtract {
  double a, b;
  template <class T>
  T operator()(T x) const {
    return (x - static_cast<T>(a)) - static_cast<T>(b);
  }
};

template <class Fn, class T>
void map_row(const Fn& fn, const T* x, Index n, T* y) {
  static const VectorLoop loop = vector_loop<Fn, 1>();
  if constexpr (std::is_same_v<T, double>)
    loop.f64(&fn, n, &x, y);
  else
    loop.f32(&fn, n, &x, y);
}

// Several at a time, so that the loop becomes vectors.
template <class T, class Choose>
T choose_row(const T* x, Index n, T start, Choose choose) {
  constexpr Index lanes = 16;
  T part[lanes];
  std::fill_n(part, lanes, start);
  Index i = 0;
  for (; i + lanes <= n; i += lanes)
    for (Index l = 0; l < lanes; ++l) part[l] = choose(part[l], x[i + l]);
  for (; i < n; ++i) part[0] = choose(part[0], x[i]);
  for (Index l = 1; l < lanes; ++l) part[0] = choose(part[0], part[l]);
  return part[0];
}

}  // namespace

template <class T>
T row_max(const T* x, Index n, T start) {
  return choose_row(x, n, start, [](T a, T b) { return maximum(a, b); });
}
template <class T>
T row_min(const T* x, Index n, T start) {
  return choose_row(x, n, start, [](T a, T b) { return minimum(a, b); });
}

template <class T>
T row_shift(const T* x, Index n) {
  const T largest = row_max(x, n, -std::numeric_limits<T>::infinity());
  return std::isfinite(largest) ? largest : T(0);
}

template <class T>
double row_exp(const T* x, Index n, T shift, T* y) {
  map_row(ShiftedExp{static_cast<double>(shift)}, x, n, y);
  return sum(y, n);
}

template <class T>
void row_scale(const T* x, Index n, T factor, T* y) {
  map_row(Scale{static_cast<double>(factor)}, x, n, y);
}
template <class T>
void row_subtract(const T* x, Index n, T a, T b, T* y) {
  map_row(Subtract{static_cast<double>(a), static_cast<double>(b)}, x, n, y);
}

template <class T>
double row_log_sum_exp(const T* x, Index n, T shift) {
  constexpr Index block = 512;
  T part[block];
  double total = 0;
  for (Index i = 0; i < n; i += block) total += row_exp(x + i, std::min(block, n - i), shift, part);
  return std::log(total);
}

#define RW_ROWS(T)                                       \
  template T row_max(const T*, Index, T);                \
  template T row_min(const T*, Index, T);                \
  template T row_shift(const T*, Index);                 \
  template double row_exp(const T*, Index, T, T*);       \
  template void row_scale(const T*, Index, T, T*);       \
  template void row_subtract(const T*, Index, T, T, T*); \
  template double row_log_sum_exp(const T*, Index, T);
RW_ROWS(float)
RW_ROWS(double)
#undef RW_ROWS

}  // namespace rw::detail
