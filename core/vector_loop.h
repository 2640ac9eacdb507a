#pragma once

#include <cstring>
#include <type_traits>
#include <utility>

#include <rewind/core/dtype.h>

namespace rw {

/// Instruction sets that loops are compiled for. On processors other than x86-64 there is only the baseline.
enum class Isa { baseline, avx2, avx512 };

/// The best one of this processor, or a lower one that the environment variable REWIND_ISA (baseline, avx2 or avx512)
/// asks for. Found once, at the first call.
Isa active_isa();

/// y[i] = fn(x[0][i], ..., x[arity - 1][i]) for i < n, contiguous; y may be exactly one of the x, and must not overlap
/// them otherwise. `fn` points to the functor. An input that the functor ignores is not read and may be null.
struct VectorLoop {
  void (*f32)(const void* fn, Index n, const float* const* x, float* y) = nullptr;
  void (*f64)(const void* fn, Index n, const double* const* x, double* y) = nullptr;
};

namespace detail {

// Elements that a loop's body works on: one vector of AVX-512, two of AVX2. A constant trip count is what makes the
// loop small: no peeling, no scalar remainder, and even the cautious cost model of g++ -O2 vectorises it.
template <class T>
inline constexpr Index lanes = 64 / static_cast<Index>(sizeof(T));

template <class Fn, class T, std::size_t... K>
[[gnu::always_inline]] inline void apply_lanes(const Fn& fn, const T* const* x, T* y, std::index_sequence<K...>) {
#if defined(__clang__)
#pragma clang loop vectorize(assume_safety) interleave(disable)
#else
#pragma GCC ivdep
#endif
  for (Index i = 0; i < lanes<T>; ++i) y[i] = fn(x[K][i]...);
}

// The tail goes through the same body, on copies of its elements: the same bits wherever an element stands.
template <class Fn, int arity, class T>
[[gnu::always_inline]] inline void apply(const void* functor, Index n, const T* const* inputs, T* y) {
  const Fn fn = *static_cast<const Fn*>(functor);  // a copy: the stores below cannot change it
  const T* x[arity + 1] = {};
  for (int k = 0; k < arity; ++k) x[k] = inputs[k];
  for (; n >= lanes<T>; n -= lanes<T>) {
    apply_lanes(fn, x, y, std::make_index_sequence<arity>{});
    for (int k = 0; k < arity; ++k) x[k] += lanes<T>;
    y += lanes<T>;
  }
  if (n == 0) return;
  T tail[arity + 1][lanes<T>] = {};
  for (int k = 0; k < arity; ++k) {
    if (inputs[k]) std::memcpy(tail[k], x[k], static_cast<std::size_t>(n) * sizeof(T));
    x[k] = tail[k];
  }
  apply_lanes(fn, x, tail[arity], std::make_index_sequence<arity>{});
  std::memcpy(y, tail[arity], static_cast<std::size_t>(n) * sizeof(T));
}

}  // namespace detail

template <class Fn, int Arity>
VectorLoop vector_loop() {
  return {[](const void* fn, Index n, const float* const* x, float* y) { detail::apply<Fn, Arity>(fn, n, x, y); },
          [](const void* fn, Index n, const double* const* x, double* y) { detail::apply<Fn, Arity>(fn, n, x, y); }};
}

}  // namespace rw
