#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <tuple>
#include <type_traits>

#include <rewind/core/fields.h>

namespace rw::detail {

// Equality and hash of op attributes, generated: whoever adds a field cannot forget it. Floats count by their bits, so
// that 0 and -0 are different attributes and a nan equals itself. Any other kind of field does not compile.

template <class T>
concept BitwiseField = std::is_trivially_copyable_v<T> &&
    (std::has_unique_object_representations_v<T> || std::is_same_v<T, float> || std::is_same_v<T, double>);

inline std::uint64_t mix(std::uint64_t h, std::uint64_t x) {
  h = (h ^ x) * 0x9e3779b97f4a7c15ull;
  return h ^ (h >> 29);
}

template <class T>
std::uint64_t hash_attributes(const T& op, std::uint64_t h = 0x243f6a8885a308d3ull) {
  if constexpr (std::is_empty_v<T>) {
    return h;
  } else if constexpr (BitwiseField<T>) {
    for (std::size_t i = 0; i < sizeof(T); i += 8) {
      std::uint64_t word = 0;
      std::memcpy(&word, reinterpret_cast<const char*>(&op) + i, sizeof(T) - i < 8 ? sizeof(T) - i : 8);
      h = mix(h, word);
    }
    return h;
  } else {
    static_assert(std::is_trivially_copyable_v<T> && std::is_aggregate_v<T>,
                  "an op's attributes must be trivially copyable: numbers, enums, Shapes, and structs of them");
    std::apply([&](const auto&... field) { ((h = hash_attributes(field, h)), ...); }, fields(op));
    return h;
  }
}

template <class T>
bool equal_attributes(const T& a, const T& b) {
  if constexpr (std::is_empty_v<T>) {
    return true;
  } else if constexpr (BitwiseField<T>) {
    return std::memcmp(&a, &b, sizeof(T)) == 0;
  } else {
    static_assert(std::is_trivially_copyable_v<T> && std::is_aggregate_v<T>,
                  "an op's attributes must be trivially copyable: numbers, enums, Shapes, and structs of them");
    return std::apply(
        [&](const auto&... x) {
          return std::apply([&](const auto&... y) { return (equal_attributes(x, y) && ...); }, fields(b));
        },
        fields(a));
  }
}

}  // namespace rw::detail
