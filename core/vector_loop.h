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

// Elements that a loop's body works on: one vector of AVX-512, two of AVX2. A constant trip count is what makes the
// loop small: no peeling, no scalar remainder, and even the cautious cost model of g++ -O2 vectorises it, so a functor
// in a program built at -O2 has vector speed too. (Unrolled first, as -O3 would, it does not become vectors.)
template <class T>
inline constexpr Index lanes = 64 / static_cast<Index>(sizeof(T));

template <class Fn, class T, std::size_t... K>
[[gnu::always_inline, gnu::flatten]] inline void apply_lanes(const Fn& fn, const T* const* x, T* y,
                                                             std::index_sequence<K...>) {
#if defined(__clang__)
#pragma clang loop vectorize(assume_safety) interleave(disable) unroll(disable)
#else
#pragma GCC ivdep
#pragma GCC unroll 1
#endif
  for (Index i = 0; i < lanes<T>; ++i) {
    if constexpr (sizeof...(K) == 0) {
      y[i] = fn.template operator()<T>();
    } else {
      y[i] = fn(x[K][i]...);
    }
  }
}

// The tail goes through the same body, on copies of its elements: the same bits wherever an element stands.
template <class Fn, int arity, class T>
[[gnu::always_inline]] inline void apply(const void* functor, Index n, const T* const* x, T* y) {
  const Fn fn = *static_cast<const Fn*>(functor);  // a copy: the stores below cannot change it
  T tail[arity + 1][lanes<T>];
  for (Index i = 0; i < n; i += lanes<T>) {
    const T* from[arity + 1] = {};
    for (int k = 0; k < arity; ++k) from[k] = x[k] + i;
    T* to = y + i;
    const Index left = n - i;
    if (left < lanes<T>) {
      const auto bytes = static_cast<std::size_t>(left) * sizeof(T);
      std::memset(tail, 0, sizeof tail);
      for (int k = 0; k < arity; ++k) from[k] = static_cast<const T*>(std::memcpy(tail[k], from[k], bytes));
      to = tail[arity];
    }
    apply_lanes(fn, from, to, std::make_index_sequence<arity>{});
    if (left < lanes<T>) std::memcpy(y + i, to, static_cast<std::size_t>(left) * sizeof(T));
  }
}

// One loop an instruction set. `flatten` makes the functor inline, however large. It works only in a function whose
// address nobody takes (g++ visits the others before their callees, when there is nothing to inline yet): hence
// `start`.
template <Isa isa, class Fn, int arity, class T>
struct Loop {
  [[gnu::flatten]] static void run(const void* fn, Index n, const T* const* x, T* y) { apply<Fn, arity>(fn, n, x, y); }
  static void start(const void* fn, Index n, const T* const* x, T* y) { run(fn, n, x, y); }
};
#if defined(__x86_64__)
template <class Fn, int arity, class T>
struct Loop<Isa::avx2, Fn, arity, T> {
  [[gnu::flatten, gnu::target("avx2,fma")]] static void run(const void* fn, Index n, const T* const* x, T* y) {
    apply<Fn, arity>(fn, n, x, y);
  }
  static void start(const void* fn, Index n, const T* const* x, T* y) { run(fn, n, x, y); }
};
template <class Fn, int arity, class T>
struct Loop<Isa::avx512, Fn, arity, T> {
  REWIND_TARGET_AVX512 static void run(const void* fn, Index n, const T* const* x, T* y) {
    apply<Fn, arity>(fn, n, x, y);
  }
  static void start(const void* fn, Index n, const T* const* x, T* y) { run(fn, n, x, y); }
};
#endif

}  // namespace detail

/// The loop over `Fn`, which has `template <class T> T operator()(T...) const` of `Arity` arguments (0 to 6) for float
/// and double, for `isa`. Functions of core/math.h stay vector code in it; calls of the C library, loops and branches
/// with side effects make it scalar, though right. The bits of y[i] depend on the x[.][i] alone, not on n, i or `isa`.
template <class Fn, int Arity>
VectorLoop vector_loop(Isa isa) {
  static_assert(Arity >= 0 && Arity <= 6);
#if defined(__x86_64__)
  if (isa == Isa::avx512)
    return {detail::Loop<Isa::avx512, Fn, Arity, float>::start, detail::Loop<Isa::avx512, Fn, Arity, double>::start};
  if (isa == Isa::avx2)
    return {detail::Loop<Isa::avx2, Fn, Arity, float>::start, detail::Loop<Isa::avx2, Fn, Arity, double>::start};
#endif
  static_cast<void>(isa);
  return {detail::Loop<Isa::baseline, Fn, Arity, float>::start, detail::Loop<Isa::baseline, Fn, Arity, double>::start};
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
