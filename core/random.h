#pragma once

#include <array>
#include <cstdint>

#include <rewind/core/dtype.h>

namespace rw {

/// A counter-based generator: a block of random bits is a pure function of (counter, key), so any draw can be made
/// again, in any order and on any platform.
using PhiloxCounter = std::array<std::uint32_t, 4>;
using PhiloxKey = std::array<std::uint32_t, 2>;

/// Philox4x32-10: Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC 2011).
constexpr PhiloxCounter philox(PhiloxCounter counter, PhiloxKey key) {
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t a = std::uint64_t{0xD2511F53} * counter[0];
    const std::uint64_t b = std::uint64_t{0xCD9E8D57} * counter[2];
    counter = {static_cast<std::uint32_t>(b >> 32) ^ counter[1] ^ key[0], static_cast<std::uint32_t>(b),
               static_cast<std::uint32_t>(a >> 32) ^ counter[3] ^ key[1], static_cast<std::uint32_t>(a)};
    key = {key[0] + 0x9E3779B9, key[1] + 0xBB67AE85};
  }
  return counter;
}

/// The key and the counter that 64-bit numbers make, low word first.
constexpr PhiloxKey philox_key(std::uint64_t key) {
  return {static_cast<std::uint32_t>(key), static_cast<std::uint32_t>(key >> 32)};
}
constexpr PhiloxCounter philox_counter(std::uint64_t low, std::uint64_t high = 0) {
  return {static_cast<std::uint32_t>(low), static_cast<std::uint32_t>(low >> 32), static_cast<std::uint32_t>(high),
          static_cast<std::uint32_t>(high >> 32)};
}

/// The number in [0, 1) that belongs to (key, counter): 53 random bits of their Philox block.
constexpr double uniform(PhiloxKey key, PhiloxCounter counter) {
  const PhiloxCounter block = philox(counter, key);
  return static_cast<double>(((std::uint64_t{block[1]} << 32) | block[0]) >> 11) * 0x1p-53;
}
constexpr double uniform(std::uint64_t key, std::uint64_t counter) {
  return uniform(philox_key(key), philox_counter(counter));
}

/// y[i], in [0, 1) with 24 random bits, for i < n: word i % 4 of the block at `first` + i / 4, where the sum counts in
/// the low 64 bits of the counter. What an array of n draws under one key is filled from (a dropout mask).
void fill_uniform(PhiloxKey key, PhiloxCounter first, Index n, float* y);

/// A stream of random numbers: draw number p is a function of (seed, p) alone. The sequences are the same on every
/// platform. Copying copies the position.
class Rng {
 public:
  /// All that a checkpoint has to store.
  struct State {
    std::uint64_t seed = 0;
    std::uint64_t position = 0;
    bool operator==(const State&) const = default;
  };

  /// The stream of a seed, from its beginning.
  explicit Rng(std::uint64_t seed) : state_{.seed = seed} {}
  /// A stream at a position.
  explicit Rng(State state) : state_(state) {}

  State state() const { return state_; }
  void set_state(State state) { state_ = state; }

  /// 64 random bits.
  std::uint64_t next();
  /// A number in [0, 1).
  double uniform();
  /// A number in [lo, hi). Throws Error unless lo <= hi and both are finite.
  double uniform(double lo, double hi);
  /// A number from the normal distribution of mean 0 and standard deviation 1 (Box and Muller, 1958).
  double normal();
  /// A whole number in [0, n), each as likely as the others. Throws Error unless n > 0.
  Index below(Index n);
  /// An independent stream, the same for the same seed and `stream`; this one does not move.
  Rng split(std::uint64_t stream) const;

 private:
  PhiloxCounter block();

  State state_;
};

}  // namespace rw
