#pragma once

#include <vector>

#include <rewind/core/random.h>

namespace rw {

/// `n` numbers within -1 and 1.
template <class T>
std::vector<T> numbers(Index n, std::uint64_t seed) {
  Rng rng(seed);
  std::vector<T> x(static_cast<std::size_t>(n));
  for (T& v : x) v = static_cast<T>(rng.uniform(-1, 1));
  return x;
}

/// A form and a size of a product.
struct ProductCase {
  bool ta, tb;
  Index m, n, k;
};

}  // namespace rw
