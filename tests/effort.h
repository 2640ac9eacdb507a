#pragma once
// How much the tests try. What takes more than seconds runs only in the long form, with REWIND_FULL=1, which CI sets.
// Under sanitizers a program takes some fifty times as long: random ones are fewer there, since what they compute is
// compared in release, and a fault in memory shows in a few hundred.
#include <algorithm>
#include <cstdint>
#include <cstdlib>

#include "sanitized.h"

namespace rw::test {

#ifdef REWIND_SANITIZED
inline constexpr bool sanitized = true;
#else
inline constexpr bool sanitized = false;
#endif

/// Whether the long form was asked for. The long forms compare more numbers, which is for release.
inline bool full() {
  const char* said = std::getenv("REWIND_FULL");
  return !sanitized && said != nullptr && *said != '\0';
}

/// How many random programs to try, of so many in release.
inline std::uint64_t effort(std::uint64_t in_release) {
  return sanitized ? std::max<std::uint64_t>(in_release / 8, 1) : in_release;
}

}  // namespace rw::test
