#pragma once

#include <cstddef>
#include <span>
#include <type_traits>

namespace rw {

/// Room for N plain values that nobody initialises: lists of views and shapes are made for every op that runs, and
/// clearing them first costs more than a small op itself.
template <class T, std::size_t N>
class Scratch {
 public:
  static_assert(std::is_trivially_copyable_v<T> && std::is_trivially_destructible_v<T>);
  Scratch() {}  // NOLINT: uninitialised is the point
  /// Element i.
  T& operator[](std::size_t i) { return data()[i]; }
  /// All of it.
  T* data() { return reinterpret_cast<T*>(room_); }
  /// Its first n.
  std::span<T> first(std::size_t n) { return {data(), n}; }

 private:
  alignas(T) std::byte room_[N * sizeof(T)];
};

}  // namespace rw
