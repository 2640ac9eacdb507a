#include <algorithm>

#include <rewind/tools/graph/fold.h>

namespace rw::detail {
namespace {

using u128 = unsigned __int128;
constexpr std::uint64_t prime = (std::uint64_t{1} << 61) - 1;

std::uint64_t times(std::uint64_t a, std::uint64_t b) {
  const u128 p = static_cast<u128>(a) * b;
  const std::uint64_t s = static_cast<std::uint64_t>(p & prime) + static_cast<std::uint64_t>(p >> 61);
  return s >= prime ? s - prime : s;
}

/// How far two positions agree, forwards and backwards, from hashes of all prefixes.
class Agreement {
 public:
  explicit Agreement(const std::vector<std::uint64_t>& labels)
      : n_(labels.size()), hash_(n_ + 1, 0), power_(n_ + 1, 1) {
    constexpr std::uint64_t base = 0x1f3d5b79a2c4e681ull % prime;
    for (std::size_t i = 0; i < n_; ++i) {
      hash_[i + 1] = (times(hash_[i], base) + labels[i] % prime) % prime;
      power_[i + 1] = times(power_[i], base);
    }
  }
  std::size_t forwards(std::size_t i, std::size_t j) const {
    return longest(n_ - std::max(i, j), [&](std::size_t k) { return part(i, k) == part(j, k); });
  }
  /// Of the parts that end before i and j.
  std::size_t backwards(std::size_t i, std::size_t j) const {
    return longest(std::min(i, j), [&](std::size_t k) { return part(i - k, k) == part(j - k, k); });
  }

 private:
  std::uint64_t part(std::size_t at, std::size_t length) const {
    return (hash_[at + length] + prime - times(hash_[at], power_[length])) % prime;
  }
  template <class Same>
  static std::size_t longest(std::size_t most, const Same& same) {
    std::size_t low = 0, high = most;
    while (low < high) {
      const std::size_t middle = high - (high - low) / 2;
      if (same(middle)) {
        low = middle;
      } else {
        high = middle - 1;
      }
    }
    return low;
  }
  std::size_t n_;
  std::vector<std::uint64_t> hash_, power_;
};

}  // namespace

std::vector<Repetition> repetitions(const std::vector<std::uint64_t>& labels) {
  const std::size_t n = labels.size();
  const Agreement agree(labels);
  std::vector<Repetition> out;
  std::vector<std::size_t> end(n);  // of the longest Lyndon word that begins here
  // Every repetition has a root that is a Lyndon word for one of the two orders of the alphabet.
  for (bool reversed : {false, true}) {
    const auto less = [&](std::size_t i, std::size_t j) {
      const std::size_t k = agree.forwards(i, j);
      if (std::max(i, j) + k == n) return i > j;
      return (labels[i + k] < labels[j + k]) != reversed;
    };
    for (std::size_t i = n; i-- > 0;) {
      std::size_t j = i + 1;
      while (j < n && less(i, j)) j = end[j];
      end[i] = j;
      if (j == n) continue;
      const std::size_t period = j - i, begin = i - agree.backwards(i, j), stop = j + agree.forwards(i, j);
      if (stop - begin >= 2 * period)
        out.push_back(
            {static_cast<std::uint32_t>(begin), static_cast<std::uint32_t>(stop), static_cast<std::uint32_t>(period)});
    }
  }
  std::sort(out.begin(), out.end(), [](const Repetition& a, const Repetition& b) {
    return a.begin != b.begin ? a.begin < b.begin : a.period != b.period ? a.period < b.period : a.end < b.end;
  });
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

}  // namespace rw::detail
