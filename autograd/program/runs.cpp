#include <algorithm>
#include <bit>
#include <unordered_map>

#include <rewind/autograd/program/runs.h>

namespace rw::ir {
namespace {

/// Where a window of labels was last seen.
class LastSeen {
 public:
  explicit LastSeen(std::size_t n)
      : shift_(64 - std::bit_width(2 * n)), slots_(std::size_t{1} << std::bit_width(2 * n)) {}

  /// The last position of `hash` and 1, or 0; from now on that is `at`.
  std::uint32_t replace(std::uint64_t hash, std::uint32_t at) {
    std::size_t i = (hash * 0x9e3779b97f4a7c15ull) >> shift_;
    while (slots_[i].at != 0 && slots_[i].hash != hash) i = (i + 1) & (slots_.size() - 1);
    const std::uint32_t before = slots_[i].at;
    slots_[i] = {hash, at + 1};
    return before;
  }

 private:
  struct Slot {
    std::uint64_t hash = 0;
    std::uint32_t at = 0;  // and 1
  };
  int shift_;
  std::vector<Slot> slots_;
};

class RunFinder {
 public:
  explicit RunFinder(std::span<const std::uint64_t> labels)
      : labels_(labels), budget_(10000 + 16 * static_cast<std::int64_t>(labels.size())) {}

  std::vector<Run> run() {
    const std::size_t n = labels_.size(), window = n < 64 ? 3 : 6;
    if (n < 3 * 2) return {};
    constexpr std::uint64_t base = 0x2545f4914f6cdd1dull;
    std::uint64_t hash = 0, power = 1;
    for (std::size_t k = 0; k < window; ++k) hash = hash * base + labels_[k], power *= base;
    LastSeen seen(n);
    for (std::size_t i = 0; i + window <= n; ++i) {
      const std::uint32_t before = seen.replace(hash, static_cast<std::uint32_t>(i));
      if (before != 0) look(static_cast<std::uint32_t>(i), static_cast<std::uint32_t>(i) - (before - 1));
      if (i + window < n) hash = hash * base + labels_[i + window] - labels_[i] * power;
    }
    std::sort(found_.begin(), found_.end(), [](const Run& a, const Run& b) {
      return a.period != b.period ? a.period < b.period : a.begin < b.begin;
    });
    return std::move(found_);
  }

 private:
  // Something at `at` is the same `period` before.
  void look(std::uint32_t at, std::uint32_t period) {
    if (period == period_ && at < end_) return;
    std::uint32_t& known = known_[period];  // how far its last stretch goes
    if (at >= known && budget_ > 0) {
      std::uint32_t begin = at, end = at;
      while (end < labels_.size() && labels_[end] == labels_[end - period] && budget_-- > 0) ++end;
      while (begin > period && begin > known && labels_[begin - 1] == labels_[begin - 1 - period] && budget_-- > 0)
        --begin;
      known = end;
      if (end - (begin - period) >= 3 * period) found_.push_back({begin - period, end, period});
    }
    period_ = period;
    end_ = known;
  }

  std::span<const std::uint64_t> labels_;
  std::int64_t budget_;  // of comparisons: a text that is made to waste them is left as it is
  std::uint32_t period_ = 0, end_ = 0;
  std::unordered_map<std::uint32_t, std::uint32_t> known_;
  std::vector<Run> found_;
};

}  // namespace

std::vector<Run> label_runs(std::span<const std::uint64_t> labels) { return RunFinder(labels).run(); }

}  // namespace rw::ir
