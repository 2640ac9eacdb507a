#pragma once

#include <cstring>
#include <type_traits>
#include <utility>

#include <rewind/core/dtype.h>

#if defined(__clang__)
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wpass-failed"  // a functor that cannot become vectors is still right
#endif

namespace rw {

/// Instruction sets that loops are compiled for. On processors other than x86-64 there is only the baseline.
enum class Isa { baseline, avx2, avx512 };

/// The best one of this processor, or a lower one that the environment variable REWIND_ISA (baseline, avx2 or avx512)
/// asks for. Found once, at the first call.
Isa active_isa();

/// y[i] = fn(x[0][i], ..., x[arity - 1][i]) for i < n, contiguous; y may be exactly one of the x, and must not overlap
/// them otherwise. `fn` points to the functor. An input that the functor ignores costs nothing in an optimised build,
/// but must be readable, as the others are.
struct VectorLoop {
  void (*f32)(const void* fn, Index n, const float* const* x, float* y) = nullptr;
  void (*f64)(const void* fn, Index n, const double* const* x, double* y) = nullptr;
  /// fn(a, b, ...) of one element, without what a loop costs, to the same bits (a nan may have another sign); what fn
  /// has no argument for is ignored. Null for a functor of more than four arguments.
  float (*one_f32)(const void* fn, float a, float b, float c, float d) = nullptr;
  double (*one_f64)(const void* fn, double a, double b, double c, double d) = nullptr;

  /// The loop over numbers of type T.
  template <class T>
  auto of() const {
    if constexpr (std::is_same_v<T, double>)
      return f64;
    else
      return f32;
  }
  /// The function of one number of type T.
  template <class T>
  auto one() const {
    if constexpr (std::is_same_v<T, double>)
      return one_f64;
    else
      return one_f32;
  }
};

namespace detail {

#if defined(__x86_64__)
// Both compilers prefer vectors of 256 bits unless told otherwise, each in its own way.
#if defined(__clang__)
#define REWIND_TARGET_AVX512 \
  [[gnu::flatten, gnu::target("avx512f,avx512vl,avx512bw,avx512dq,avx2,fma"), clang::min_vector_width(512)]]
#else
#define REWIND_TARGET_AVX512 \
  [[gnu::flatten, gnu::target("avx512f,avx512vl,avx512bw,avx512dq,avx2,fma,prefer-vector-width=512")]]
#endif
#endif

#if defined(__x86_64__)
// Masked moves, for tails: copies of few bytes make the vector that reads them wait. (The compilers' own header of such
// moves is as long as this library.)
using Floats [[gnu::vector_size(64), gnu::may_alias]] = float;
using Doubles [[gnu::vector_size(64), gnu::may_alias]] = double;
#endif

// Elements that a loop's body works on: one vector of AVX-512, two of AVX2. A constant trip count is what makes the
// loop small: no peeling, no scalar remainder, and even the cautious cost model of g++ -O2 vectorises it, so a functor
// in a program built at -O2 has vector speed too. (Unrolled first, as -O3 would, it does not become vectors.)
template <class T>
inline constexpr Index vector_length = 64 / static_cast<Index>(sizeof(T));

template <class Fn, class T, std::size_t... K>
[[gnu::always_inline, gnu::flatten]] inline void apply_vector(const Fn& fn, const T* const* x, T* y,
                                                              std::index_sequence<K...>) {
#if defined(__clang__)
#pragma clang loop vectorize(assume_safety) interleave(disable) unroll(disable)
#else
#pragma GCC ivdep
#pragma GCC unroll 1
#endif
  for (Index i = 0; i < vector_length<T>; ++i) {
    if constexpr (sizeof...(K) == 0) {
      y[i] = fn.template operator()<T>();
    } else {
      y[i] = fn(x[K][i]...);
    }
  }
}

// Copies fewer than `vector_length<T>` elements to a whole vector, zeros behind them; and back.
template <Isa isa, class T>
void load_tail(const T* x, Index left, T* tail) {
  std::memset(tail, 0, vector_length<T> * sizeof(T));
  std::memcpy(tail, x, static_cast<std::size_t>(left) * sizeof(T));
}
template <Isa isa, class T>
void store_tail(const T* tail, Index left, T* y) {
  std::memcpy(y, tail, static_cast<std::size_t>(left) * sizeof(T));
}

#if defined(__x86_64__)
template <>
REWIND_TARGET_AVX512 inline void load_tail<Isa::avx512>(const float* x, Index left, float* tail) {
  *reinterpret_cast<Floats*>(tail) =
      __builtin_ia32_loadups512_mask(x, Floats{}, static_cast<unsigned short>((1u << left) - 1));
}
template <>
REWIND_TARGET_AVX512 inline void load_tail<Isa::avx512>(const double* x, Index left, double* tail) {
  *reinterpret_cast<Doubles*>(tail) =
      __builtin_ia32_loadupd512_mask(x, Doubles{}, static_cast<unsigned char>((1u << left) - 1));
}
template <>
REWIND_TARGET_AVX512 inline void store_tail<Isa::avx512>(const float* tail, Index left, float* y) {
  __builtin_ia32_storeups512_mask(y, *reinterpret_cast<const Floats*>(tail),
                                  static_cast<unsigned short>((1u << left) - 1));
}
template <>
REWIND_TARGET_AVX512 inline void store_tail<Isa::avx512>(const double* tail, Index left, double* y) {
  __builtin_ia32_storeupd512_mask(y, *reinterpret_cast<const Doubles*>(tail),
                                  static_cast<unsigned char>((1u << left) - 1));
}
#endif

// The tail goes through the same body, on copies of its elements: the same bits wherever an element stands.
template <Isa isa, class Fn, int arity, class T>
[[gnu::always_inline]] inline void apply(const void* functor, Index n, const T* const* x, T* y) {
  const Fn fn = *static_cast<const Fn*>(functor);  // a copy: the stores below cannot change it
  Index i = 0;
  for (; i + vector_length<T> <= n; i += vector_length<T>) {
    const T* from[arity + 1] = {};
    for (int k = 0; k < arity; ++k) from[k] = x[k] + i;
    apply_vector(fn, from, y + i, std::make_index_sequence<arity>{});
  }
  if (i == n) return;
  alignas(64) T tail[arity + 1][vector_length<T>];
  const T* from[arity + 1] = {};
  for (int k = 0; k < arity; ++k) {
    load_tail<isa>(x[k] + i, n - i, tail[k]);
    from[k] = tail[k];
  }
  apply_vector(fn, from, tail[arity], std::make_index_sequence<arity>{});
  store_tail<isa>(tail[arity], n - i, y + i);
}

// One loop an instruction set. `flatten` makes the functor inline, however large. It works only in a function whose
// address nobody takes (g++ visits the others before their callees, when there is nothing to inline yet): hence
// `start`.
template <Isa isa, class Fn, int arity, class T>
struct Loop {
  [[gnu::flatten]] static void run(const void* fn, Index n, const T* const* x, T* y) {
    apply<isa, Fn, arity>(fn, n, x, y);
  }
  static void start(const void* fn, Index n, const T* const* x, T* y) { run(fn, n, x, y); }
};
#if defined(__x86_64__)
template <class Fn, int arity, class T>
struct Loop<Isa::avx2, Fn, arity, T> {
  [[gnu::flatten, gnu::target("avx2,fma")]] static void run(const void* fn, Index n, const T* const* x, T* y) {
    apply<Isa::avx2, Fn, arity>(fn, n, x, y);
  }
  static void start(const void* fn, Index n, const T* const* x, T* y) { run(fn, n, x, y); }
};
template <class Fn, int arity, class T>
struct Loop<Isa::avx512, Fn, arity, T> {
  REWIND_TARGET_AVX512 static void run(const void* fn, Index n, const T* const* x, T* y) {
    apply<Isa::avx512, Fn, arity>(fn, n, x, y);
  }
  static void start(const void* fn, Index n, const T* const* x, T* y) { run(fn, n, x, y); }
};
#endif

template <class Fn, int arity, class T>
[[gnu::flatten]] T one_element(const void* functor, T a, T b, T c, T d) {
  const Fn& fn = *static_cast<const Fn*>(functor);
  if constexpr (arity == 0) return fn.template operator()<T>();
  if constexpr (arity == 1) return fn(a);
  if constexpr (arity == 2) return fn(a, b);
  if constexpr (arity == 3) return fn(a, b, c);
  if constexpr (arity == 4) return fn(a, b, c, d);
}

template <Isa isa, class Fn, int arity>
VectorLoop loops_for() {
  VectorLoop out{.f32 = Loop<isa, Fn, arity, float>::start, .f64 = Loop<isa, Fn, arity, double>::start};
  if constexpr (arity <= 4) {
    out.one_f32 = one_element<Fn, arity, float>;
    out.one_f64 = one_element<Fn, arity, double>;
  }
  return out;
}

}  // namespace detail

/// The loop over `Fn`, which has `template <class T> T operator()(T...) const` of `Arity` arguments (0 to 6) for float
/// and double, for `isa`. Functions of core/math.h stay vector code in it; calls of the C library, loops and branches
/// with side effects make it scalar, though right. The bits of y[i] depend on the x[.][i] alone, not on n, i or `isa`.
template <class Fn, int Arity>
VectorLoop vector_loop(Isa isa) {
  static_assert(Arity >= 0 && Arity <= 6);
#if defined(__x86_64__)
  if (isa == Isa::avx512) return detail::loops_for<Isa::avx512, Fn, Arity>();
  if (isa == Isa::avx2) return detail::loops_for<Isa::avx2, Fn, Arity>();
#endif
  static_cast<void>(isa);
  return detail::loops_for<Isa::baseline, Fn, Arity>();
}

/// The same for this processor's `active_isa()`.
template <class Fn, int Arity>
VectorLoop vector_loop() {
  return vector_loop<Fn, Arity>(active_isa());
}

}  // namespace rw

#if defined(__clang__)
#pragma clang diagnostic pop
#endif
