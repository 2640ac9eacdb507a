#pragma once

#include <cstddef>
#include <tuple>
#include <type_traits>
#include <utility>

namespace rw {

/// The most fields an aggregate may have that `fields` can visit.
inline constexpr std::size_t max_fields = 8;

namespace detail {

struct AnyField {
  template <class T>
  operator T() const;  // never defined: only used to count
};

template <class T, std::size_t... I>
constexpr bool takes_fields(std::index_sequence<I...>) {
  return requires { T{((void)I, AnyField{})...}; };
}

template <class T, std::size_t N = max_fields + 1>
constexpr std::size_t count_fields() {
  if constexpr (takes_fields<T>(std::make_index_sequence<N>{}))
    return N;
  else if constexpr (N == 0)
    return 0;
  else
    return count_fields<T, N - 1>();
}

}  // namespace detail

/// The fields of an aggregate, as a tuple of references, in order: how states and op attributes are visited without
/// anybody listing their fields. Up to `max_fields` fields, no C arrays.
template <class T>
constexpr auto fields(T& value) {
  using Plain = std::remove_const_t<T>;
  static_assert(std::is_aggregate_v<Plain>,
                "fields() visits aggregates: structs without constructors or private members");
  constexpr std::size_t n = detail::count_fields<Plain>();
  static_assert(n <= max_fields, "an aggregate with more fields than fields() can visit: group some in a struct");
  if constexpr (n == 0 || std::is_empty_v<Plain>) {
    return std::tuple<>();
  } else if constexpr (n == 1) {
    auto& [a] = value;
    return std::tie(a);
  } else if constexpr (n == 2) {
    auto& [a, b] = value;
    return std::tie(a, b);
  } else if constexpr (n == 3) {
    auto& [a, b, c] = value;
    return std::tie(a, b, c);
  } else if constexpr (n == 4) {
    auto& [a, b, c, d] = value;
    return std::tie(a, b, c, d);
  } else if constexpr (n == 5) {
    auto& [a, b, c, d, e] = value;
    return std::tie(a, b, c, d, e);
  } else if constexpr (n == 6) {
    auto& [a, b, c, d, e, f] = value;
    return std::tie(a, b, c, d, e, f);
  } else if constexpr (n == 7) {
    auto& [a, b, c, d, e, f, g] = value;
    return std::tie(a, b, c, d, e, f, g);
  } else {
    auto& [a, b, c, d, e, f, g, h] = value;
    return std::tie(a, b, c, d, e, f, g, h);
  }
}

}  // namespace rw
