#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>

namespace rw {

/// Sizes, axes and positions, in elements.
using Index = std::int64_t;

namespace detail {
/// The same as a place in one of the standard library's containers.
constexpr std::size_t at(Index i) { return static_cast<std::size_t>(i); }
}  // namespace detail

/// Element types: two reals to compute with, and i32 for indices (characters, classes, positions).
enum class DType : std::uint8_t { f32, f64, i32 };

constexpr std::size_t size_of(DType t) { return t == DType::f64 ? 8 : 4; }
constexpr bool is_real(DType t) { return t != DType::i32; }
constexpr std::string_view name_of(DType t) {
  switch (t) {
    case DType::f32: return "f32";
    case DType::f64: return "f64";
    default: return "i32";
  }
}

template <class T>
concept Element = std::is_same_v<T, float> || std::is_same_v<T, double> || std::is_same_v<T, std::int32_t>;

template <Element T>
inline constexpr DType dtype_of = std::is_same_v<T, float>    ? DType::f32
                                  : std::is_same_v<T, double> ? DType::f64
                                                              : DType::i32;

/// Calls `f.template operator()<T>()` with the C++ type of a real `t`: `visit_real(t, [&]<class T>() { ... })`.
template <class F>
decltype(auto) visit_real(DType t, F&& f) {
  if (t == DType::f64) return f.template operator()<double>();
  return f.template operator()<float>();
}

/// The same for any element type.
template <class F>
decltype(auto) visit_dtype(DType t, F&& f) {
  if (t == DType::i32) return f.template operator()<std::int32_t>();
  return visit_real(t, f);
}

}  // namespace rw
