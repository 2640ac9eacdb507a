#pragma once

#include <vector>

#include <rewind/core/array.h>

namespace rw {

/// Keeps a sum of arrays that come one by one, such as gradients over time, from being one long running sum: after
/// `block` terms the sum so far is set aside and the next term begins it anew; as many of those are set aside together,
/// and so on. The error grows with the logarithm of the number of terms, and so does the memory; up to `block` terms
/// need none.
class LongSum {
 public:
  static constexpr int block = 64;

  /// Adds `sum`, of a block of terms, to what was set aside.
  void set_aside(ConstView sum);
  /// Adds all that was set aside to `sum`, and forgets it.
  void add_to(View sum);
  /// Whether nothing is set aside.
  bool empty() const { return levels_.empty(); }
  /// Bytes set aside.
  std::size_t bytes() const;

 private:
  struct Level {
    Array sum;      // of blocks, or of as many sums of the level before
    int terms = 0;  // 0: nothing yet
  };
  std::vector<Level> levels_;
};

}  // namespace rw
