#include <algorithm>
#include <bit>
#include <tuple>
#include <utility>
#include <vector>

#include <rewind/autograd/program/repeats.h>

namespace rw::ir {
namespace {

/// Where a window of labels was last seen: positions, found by the hash of what stands there.
class LastSeen {
 public:
  LastSeen(std::span<const std::uint64_t> labels, std::size_t window)
      : labels_(labels),
        window_(window),
        bits_(static_cast<int>(std::bit_width(labels.size())) + 1),
        at_(std::size_t{1} << bits_) {}

  /// The last position of the window at `at`, whose hash this is, and 1; or 0. From now on it is `at`.
  std::uint32_t replace(std::uint64_t hash, std::uint32_t at) {
    std::size_t slot = (hash * 0x9e3779b97f4a7c15ull) >> (64 - bits_);
    while (at_[slot] != 0 && !same(at_[slot] - 1, at)) slot = (slot + 1) & (at_.size() - 1);
    return std::exchange(at_[slot], at + 1);
  }

 private:
  bool same(std::size_t a, std::size_t b) const {
    const auto labels = labels_.begin();
    return std::equal(labels + static_cast<std::ptrdiff_t>(a), labels + static_cast<std::ptrdiff_t>(a + window_),
                      labels + static_cast<std::ptrdiff_t>(b));
  }

  std::span<const std::uint64_t> labels_;
  std::size_t window_;
  int bits_;
  std::vector<std::uint32_t> at_;  // and 1
};

class RunFinder {
 public:
  RunFinder(std::span<const std::uint64_t> labels, std::uint32_t periods)
      : labels_(labels),
        periods_(periods),
        budget_(10000 + 16 * static_cast<std::int64_t>(labels.size())),
        known_(labels.size() / periods + 1) {}

  std::vector<Repeat> run() {
    for (const std::size_t window : {2, 8}) search(window);  // short runs; and long periods in which little is unique
    std::sort(found_.begin(), found_.end(), [](const Repeat& a, const Repeat& b) {
      return std::tuple(a.period, a.begin, a.end) < std::tuple(b.period, b.begin, b.end);
    });
    found_.erase(std::unique(found_.begin(), found_.end()), found_.end());
    return std::move(found_);
  }

 private:
  // Looks where so many labels in a row were last seen.
  void search(std::size_t window) {
    const std::size_t n = labels_.size();
    if (n < window + 1) return;
    constexpr std::uint64_t base = 0x2545f4914f6cdd1dull;
    std::uint64_t hash = 0, power = 1;
    for (std::size_t k = 0; k < window; ++k) hash = hash * base + labels_[k], power *= base;
    LastSeen seen(labels_, window);
    period_ = end_ = 0;
    std::fill(known_.begin(), known_.end(), 0);
    for (std::size_t i = 0; i + window <= n; ++i) {
      const std::uint32_t before = seen.replace(hash, static_cast<std::uint32_t>(i));
      if (before != 0) look(static_cast<std::uint32_t>(i), static_cast<std::uint32_t>(i) - (before - 1));
      if (i + window < n) hash = hash * base + labels_[i + window] - labels_[i] * power;
    }
  }

  // Something at `at` is the same `period` before.
  void look(std::uint32_t at, std::uint32_t period) {
    if ((period == period_ && at < end_) || period >= known_.size()) return;
    std::uint32_t& known = known_[period];  // how far its last stretch goes
    if (at >= known && budget_ > 0) {
      std::uint32_t begin = at, end = at;
      while (end < labels_.size() && labels_[end] == labels_[end - period] && budget_-- > 0) ++end;
      while (begin > period && begin > known && labels_[begin - 1] == labels_[begin - 1 - period] && budget_-- > 0)
        --begin;
      known = end;
      if (end - (begin - period) >= periods_ * period) found_.push_back({begin - period, end, period});
    }
    period_ = period;
    end_ = known;
  }

  std::span<const std::uint64_t> labels_;
  std::uint32_t periods_;
  std::int64_t budget_;  // of comparisons: a text that is made to waste them is left as it is
  std::uint32_t period_ = 0, end_ = 0;
  std::vector<std::uint32_t> known_;  // by period
  std::vector<Repeat> found_;
};

}  // namespace

std::vector<Repeat> label_repeats(std::span<const std::uint64_t> labels, std::uint32_t periods) {
  return RunFinder(labels, periods).run();
}

}  // namespace rw::ir
