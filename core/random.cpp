#include <cmath>
#include <string>

#include <rewind/core/error.h>
#include <rewind/core/math.h>
#include <rewind/core/random.h>

namespace rw {
namespace {

// The high half of a counter says what the block is for, so that draws and split never share one.
constexpr std::uint64_t for_draws = 0, for_split = 1;

std::uint64_t low64(const PhiloxCounter& block) { return (std::uint64_t{block[1]} << 32) | block[0]; }
std::uint64_t high64(const PhiloxCounter& block) { return (std::uint64_t{block[3]} << 32) | block[2]; }

double to_unit(std::uint64_t bits) { return static_cast<double>(bits >> 11) * 0x1p-53; }

}  // namespace

void fill_uniform(PhiloxKey key, PhiloxCounter first, Index n, float* y) {
  std::uint64_t position = low64(first);
  for (Index i = 0; i < n; i += 4, ++position) {
    const PhiloxCounter block = philox(philox_counter(position, high64(first)), key);
    for (Index j = i; j < i + 4 && j < n; ++j) {
      y[j] = static_cast<float>(block[static_cast<std::size_t>(j - i)] >> 8) * 0x1p-24f;
    }
  }
}

PhiloxCounter Rng::block() { return philox(philox_counter(state_.position++, for_draws), philox_key(state_.seed)); }

std::uint64_t Rng::next() { return low64(block()); }

double Rng::uniform() { return to_unit(next()); }

double Rng::uniform(double lo, double hi) {
  if (!(lo <= hi && std::isfinite(lo) && std::isfinite(hi))) {
    throw Error("[uniform] needs finite lo <= hi, got " + std::to_string(lo) + " and " + std::to_string(hi));
  }
  const double x = lo + (hi - lo) * uniform();
  return x < hi ? x : lo;  // the sum may round up to hi
}

double Rng::normal() {
  const PhiloxCounter bits = block();
  const double u = 1 - to_unit(low64(bits));  // (0, 1], so that the log is finite
  const double angle = 6.283185307179586 * to_unit(high64(bits));
  return sqrt(-2 * log(u)) * cos(angle);
}

Index Rng::below(Index n) {
  if (n <= 0) throw Error("[below] needs a positive bound, got " + std::to_string(n));
  const auto range = static_cast<std::uint64_t>(n);
  const std::uint64_t uneven = -range % range;  // 2^64 mod n: so many of the lowest numbers would be too likely
  std::uint64_t bits = next();
  while (bits < uneven) bits = next();
  return static_cast<Index>(bits % range);
}

Rng Rng::split(std::uint64_t stream) const {
  return Rng(low64(philox(philox_counter(stream, for_split), philox_key(state_.seed))));
}

}  // namespace rw
