#include <cmath>
#include <cstring>
#include <limits>

#include <rewind/core/math.h>
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

struct Max {
  template <class T>
  T operator()(T a, T b) const {
    return maximum(a, b);
  }
};

struct Min {
  template <class T>
  T operator()(T a, T b) const {
    return minimum(a, b);
  }
};

struct Plus {
  template <class T>
  T operator()(T a, T b) const {
    return a + b;
  }
};

// running = fn(running, x) for as many numbers as fit in the widest vector; two for AVX2.
template <class Fn, class T>
[[gnu::always_inline]] inline void into_vector(const Fn& fn, const T* x, T* running) {
  const T* in[] = {running, x};
  apply_vector(fn, in, running, std::make_index_sequence<2>{});
}

// The largest or smallest, as a vector of running ones. The last numbers are taken together with some before them,
// which changes nothing; only a row shorter than that is copied.
template <class Fn, class T>
[[gnu::always_inline]] inline T reduce_row(const Fn& fn, const T* x, Index n, T start) {
  T running[vector_length<T>], few[vector_length<T>];
  std::fill_n(running, vector_length<T>, start);
  Index i = 0;
  for (; i + vector_length<T> <= n; i += vector_length<T>) into_vector(fn, x + i, running);
  if (n < vector_length<T>) {
    std::fill_n(few, vector_length<T>, start);
    std::copy_n(x, n, few);
    into_vector(fn, few, running);
  } else if (i < n) {
    into_vector(fn, x + n - vector_length<T>, running);
  }
  for (Index width = vector_length<T> / 2; width > 0; width /= 2)
    for (Index l = 0; l < width; ++l) running[l] = fn(running[l], running[l + width]);
  return running[0];
}

struct MaxRow {
  template <class T>
  [[gnu::always_inline]] void operator()(const T* x, Index n, T* y) const {
    *y = reduce_row(Max{}, x, n, *y);
  }
};

struct MinRow {
  template <class T>
  [[gnu::always_inline]] void operator()(const T* x, Index n, T* y) const {
    *y = reduce_row(Min{}, x, n, *y);
  }
};

// Sums of 256 numbers are collected in double. Where y is null they are all that is wanted.
struct ExpRow {
  double* shift;
  double* total;

  template <class T>
  [[gnu::always_inline]] void operator()(const T* x, Index n, T* y) const {
    const T largest = reduce_row(Max{}, x, n, -std::numeric_limits<T>::infinity());
    const T off = std::isfinite(largest) ? largest : T(0);
    *shift = static_cast<double>(off);
    *total = n < vector_length<T> ? few(x, n, off, y) : many(x, n, off, y);
  }

 private:
  template <class T>
  [[gnu::always_inline]] static void exp_vector(const T* x, T off, T* e) {
    apply_vector(ShiftedExp{static_cast<double>(off)}, &x, e, std::make_index_sequence<1>{});
  }

  template <class T>
  [[gnu::always_inline]] static double sum_vector(T* running) {
    for (Index width = vector_length<T> / 2; width > 0; width /= 2)
      for (Index l = 0; l < width; ++l) running[l] += running[l + width];
    return static_cast<double>(running[0]);
  }

  template <class T>
  [[gnu::always_inline]] double few(const T* x, Index n, T off, T* y) const {
    T in[vector_length<T>], e[vector_length<T>];
    std::fill_n(in, vector_length<T>, off);
    std::copy_n(x, n, in);
    exp_vector(in, off, e);
    if (y != nullptr) std::copy_n(e, n, y);
    for (Index l = 0; l < vector_length<T>; ++l) e[l] = l < n ? e[l] : T(0);
    return sum_vector(e);
  }

  // The last vector overlaps the one before, and only what is new in it is added.
  template <class T>
  [[gnu::always_inline]] double many(const T* x, Index n, T off, T* y) const {
    double sum = 0;
    constexpr Index block = 256 * vector_length<T>;
    T e[vector_length<T>];
    for (Index begin = 0; begin < n; begin += block) {
      T running[vector_length<T>] = {};
      Index i = begin;
      for (; i + vector_length<T> <= std::min(n, begin + block); i += vector_length<T>) {
        exp_vector(x + i, off, e);
        into_vector(Plus{}, e, running);
        if (y != nullptr) std::memcpy(y + i, e, sizeof e);
      }
      sum += sum_vector(running);
    }
    if (const Index rest = n % vector_length<T>; rest > 0) {
      exp_vector(x + n - vector_length<T>, off, e);
      if (y != nullptr) std::memcpy(y + n - vector_length<T>, e, sizeof e);
      for (Index l = vector_length<T> - rest; l < vector_length<T>; ++l) sum += static_cast<double>(e[l]);
    }
    return sum;
  }
};

// One function an instruction set, as in core/vector_loop.h: what it says of `start` holds here too.
template <Isa isa, class Fn, class T>
struct Row {
  [[gnu::flatten]] static void run(const Fn& fn, const T* x, Index n, T* y) { fn(x, n, y); }
  static void start(const Fn& fn, const T* x, Index n, T* y) { run(fn, x, n, y); }
};
#if defined(__x86_64__)
template <class Fn, class T>
struct Row<Isa::avx2, Fn, T> {
  [[gnu::flatten, gnu::target("avx2,fma")]] static void run(const Fn& fn, const T* x, Index n, T* y) { fn(x, n, y); }
  static void start(const Fn& fn, const T* x, Index n, T* y) { run(fn, x, n, y); }
};
template <class Fn, class T>
struct Row<Isa::avx512, Fn, T> {
  REWIND_TARGET_AVX512 static void run(const Fn& fn, const T* x, Index n, T* y) { fn(x, n, y); }
  static void start(const Fn& fn, const T* x, Index n, T* y) { run(fn, x, n, y); }
};
#endif

template <class Fn, class T>
void run_row(const Fn& fn, const T* x, Index n, T* y) {
  switch (active_isa()) {
#if defined(__x86_64__)
    case Isa::avx512: return Row<Isa::avx512, Fn, T>::start(fn, x, n, y);
    case Isa::avx2: return Row<Isa::avx2, Fn, T>::start(fn, x, n, y);
#endif
    default: return Row<Isa::baseline, Fn, T>::start(fn, x, n, y);
  }
}

template <class Fn, class T>
void map_row(const Fn& fn, const T* x, Index n, T* y) {
  static const VectorLoop loop = vector_loop<Fn, 1>();
  loop.of<T>()(&fn, n, &x, y);
}

}  // namespace

template <class T>
T row_max(const T* x, Index n, T start) {
  run_row(MaxRow{}, x, n, &start);
  return start;
}
template <class T>
T row_min(const T* x, Index n, T start) {
  run_row(MinRow{}, x, n, &start);
  return start;
}

template <class T>
RowExp<T> row_exp(const T* x, Index n, T* y) {
  double shift = 0, total = 0;
  run_row(ExpRow{&shift, &total}, x, n, y);
  return {static_cast<T>(shift), total};
}

template <class T>
void row_scale(const T* x, Index n, T factor, T* y) {
  map_row(Scale{static_cast<double>(factor)}, x, n, y);
}
template <class T>
void row_subtract(const T* x, Index n, T a, T b, T* y) {
  map_row(Subtract{static_cast<double>(a), static_cast<double>(b)}, x, n, y);
}

template float row_max(const float*, Index, float);
template double row_max(const double*, Index, double);
template float row_min(const float*, Index, float);
template double row_min(const double*, Index, double);
template RowExp<float> row_exp(const float*, Index, float*);
template RowExp<double> row_exp(const double*, Index, double*);
template void row_scale(const float*, Index, float, float*);
template void row_scale(const double*, Index, double, double*);
template void row_subtract(const float*, Index, float, float, float*);
template void row_subtract(const double*, Index, double, double, double*);

}  // namespace rw::detail
