#pragma once
// Under sanitizers a program takes some fifty times as long: random ones are fewer there, since what they compute is
// compared in release, and a fault in memory shows in a few hundred.
#include <algorithm>
#include <cstdint>

namespace test {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool sanitized = true;
#else
inline constexpr bool sanitized = false;
#endif

/// How many random programs to try, of so many in release.
inline std::uint64_t effort(std::uint64_t in_release) {
  return sanitized ? std::max<std::uint64_t>(in_release / 8, 1) : in_release;
}

}  // namespace test
