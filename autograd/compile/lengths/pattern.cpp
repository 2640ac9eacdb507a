#include <algorithm>
#include <numeric>

#include <rewind/autograd/compile/lengths/pattern.h>

namespace rw::ir {
namespace {

using Word = std::int64_t;

/// Where the longer listing goes on with so many further steps of a repetition that ends in the shorter one.
struct Gap {
  std::size_t short_at = 0, long_at = 0, steps = 0;
};

/// Records that repeat, `period` of them at a time, from the same record on in both listings.
struct Repetition {
  std::size_t begin = 0, end = 0, long_end = 0, period = 0;  // `begin` and `end` in the shorter one
  std::size_t more = 0;                                      // records that the longer one has
};

constexpr std::size_t least_steps = 2, most_peeled = 3;

}  // namespace

/// Finds a pattern: what the longer of two listings has more must be further steps of repetitions that both have.
class PatternFinder {
 public:
  PatternFinder(const Pattern::Sample& a, const Pattern::Sample& b, Pattern::Reals reals)
      : a_(a), b_(b), short_(a.listing), long_(b.listing), reals_(reals) {}

  // All repetitions have as many steps more, the most that can be: a step of one may be a few of another.
  std::optional<Pattern> run() {
    const std::size_t more = long_.records.size() - short_.records.size();
    for (std::size_t steps = std::max<std::size_t>(more, 1); steps > 0; --steps) {
      if (more % steps != 0) continue;
      out_ = {};
      if (!align(steps)) continue;
      divide();
      if (out_.fits(a_) && out_.fits(b_)) return std::move(out_);
    }
    return {};
  }

 private:
  bool align(std::size_t steps) {
    const std::size_t n = short_.records.size(), m = long_.records.size();
    std::size_t from = 0;  // what the pattern has so far
    for (std::size_t i = 0, j = 0;;) {
      const std::size_t run = run_from(i, j), ahead = j - i;
      i += run;
      j += run;
      if (i == n && j == m) return add_singles(from, n, ahead);
      if (m - j <= n - i) return false;
      const std::optional<Repetition> repetition = next_repetition({i, j, steps}, from, ahead);
      if (!repetition.has_value() || !add_singles(from, repetition->begin, ahead) ||
          !add_repetition(*repetition, ahead))
        return false;
      from = repetition->end;
      j += repetition->more;
    }
  }

  bool same(std::size_t i, std::size_t j) const { return short_.records[i].key == long_.records[j].key; }

  // How many records from here on are of the same kinds.
  std::size_t run_from(std::size_t i, std::size_t j) const {
    std::size_t n = 0;
    while (i + n < short_.records.size() && j + n < long_.records.size() && same(i + n, j + n)) ++n;
    return n;
  }

  // The records are of other kinds from here on: the longer listing has further steps of a repetition first.
  std::optional<Repetition> next_repetition(Gap gap, std::size_t from, std::size_t ahead) const {
    const std::size_t left = short_.records.size() - gap.short_at, most = long_.records.size() - gap.long_at - left;
    int tries = 64;  // enough for what repeats; more is not worth it
    for (std::size_t period = 1; gap.steps * period <= most && tries > 0; ++period) {
      const std::size_t more = gap.steps * period;
      if (left == 0 ? more != most : !same(gap.short_at, gap.long_at + more)) continue;
      if (const auto repetition = repetition_of(gap, period, from, ahead); repetition.has_value()) return repetition;
      --tries;
    }
    return {};
  }

  // Whether record i + period is the next step's of record i, as the last two steps before `end` are.
  bool follows(const Listing& l, std::size_t i, std::size_t end, std::size_t period) const {
    const std::size_t phase = (end - i) % period;
    const std::size_t last = end - (phase == 0 ? period : phase);
    const Listing::Record &x = l.records[i], &y = l.records[i + period];
    if (!l.same_kind(x, l, y) || !l.same_kind(x, l, l.records[last])) return false;
    const auto p = l.numbers(x), q = l.numbers(y), r = l.numbers(l.records[last - period]),
               s = l.numbers(l.records[last]);
    for (std::size_t k = 0; k < p.size(); ++k)
      if (q[k] - p[k] != s[k] - r[k]) return false;
    return std::ranges::equal(l.reals(x), l.reals(y));
  }

  // The first record of the steps that end at `end`.
  std::size_t begin_of(const Listing& l, std::size_t from, std::size_t end, std::size_t period) const {
    if (end < from + 2 * period) return end;
    std::size_t begin = end - period;
    while (begin > from && follows(l, begin - 1, end, period)) --begin;
    return begin;
  }

  std::optional<Repetition> repetition_of(const Gap& gap, std::size_t period, std::size_t from,
                                          std::size_t ahead) const {
    const std::size_t more = gap.steps * period;
    for (std::size_t peeled = 0; peeled <= most_peeled; ++peeled) {
      if (gap.short_at < from + peeled * period) break;
      const std::size_t end = gap.short_at - peeled * period, long_end = gap.long_at + more - peeled * period;
      std::size_t begin = begin_of(short_, from, end, period);
      begin = std::max(begin, begin_of(long_, from + ahead, long_end, period) - ahead);
      if (begin >= end) continue;
      begin += (end - begin) % period;
      if ((end - begin) / period >= least_steps) return Repetition{begin, end, long_end, period, more};
    }
    return {};
  }

  // Numbers as they are in the shorter listing, and what the longer one has more.
  bool add_line(std::size_t i, std::size_t j, std::size_t period, bool loop) {
    const Listing::Record &x = short_.records[i], &y = long_.records[j];
    if (!short_.same_kind(x, long_, y)) return false;
    const auto fixed = short_.fixed(x);
    Pattern::LineRange line{
        out_.fixed_.size(), out_.numbers_.size(), out_.reals_.size(), x.fixed, x.numbers, x.reals, x.note};
    out_.fixed_.insert(out_.fixed_.end(), fixed.begin(), fixed.end());
    const auto p = short_.numbers(x), q = long_.numbers(y);
    for (std::size_t k = 0; k < p.size(); ++k) {
      Pattern::Number n{.at = p[k], .per_unit = q[k] - p[k]};
      if (loop) {
        n.per_step = short_.numbers(short_.records[i + period])[k] - p[k];
        n.per_both = long_.numbers(long_.records[j + period])[k] - q[k] - n.per_step;
      }
      out_.numbers_.push_back(n);
    }
    out_.lines_.push_back(line);
    return add_reals(short_.reals(x), long_.reals(y));
  }

  bool add_reals(std::span<const Word> p, std::span<const Word> q) {
    for (std::size_t k = 0; k < p.size(); ++k) {
      std::int32_t slot = -1;
      if (p[k] != q[k] && reals_ == Pattern::Reals::are_slots) slot = static_cast<std::int32_t>(out_.slots_++);
      if (p[k] != q[k] && reals_ == Pattern::Reals::from_slots) {
        std::size_t s = 0;
        while (s < a_.slots.size() && !(a_.slots[s] == p[k] && b_.slots[s] == q[k])) ++s;
        if (s == a_.slots.size()) return false;
        slot = static_cast<std::int32_t>(s);
      }
      out_.reals_.push_back(p[k]);
      out_.slot_of_real_.push_back(slot);
    }
    return true;
  }

  bool add_singles(std::size_t from, std::size_t to, std::size_t ahead) {
    if (from == to) return true;
    out_.segments_.push_back({.line = out_.lines_.size(), .lines = to - from});
    for (std::size_t i = from; i < to; ++i)
      if (!add_line(i, i + ahead, 0, false)) return false;
    return true;
  }

  bool add_repetition(const Repetition& s, std::size_t ahead) {
    const auto steps = [&](std::size_t begin, std::size_t end) { return static_cast<Word>((end - begin) / s.period); };
    const Word few = steps(s.begin, s.end), many = steps(s.begin + ahead, s.long_end);
    out_.segments_.push_back(
        {.line = out_.lines_.size(), .lines = s.period, .loop = true, .steps = few, .steps_per_unit = many - few});
    for (std::size_t i = s.begin; i < s.begin + s.period; ++i)
      if (!add_line(i, i + ahead, s.period, true)) return false;
    return true;
  }

  // From what lies between the two listings to what lies between any two that can be told apart.
  void divide() {
    Word unit = 0;
    for (const Pattern::Number& n : out_.numbers_) unit = std::gcd(unit, std::gcd(n.per_unit, n.per_both));
    for (const Pattern::Segment& s : out_.segments_) unit = std::gcd(unit, s.steps_per_unit);
    unit = std::max<Word>(unit, 1);
    for (Pattern::Number& n : out_.numbers_) n.per_unit /= unit, n.per_both /= unit;
    for (Pattern::Segment& s : out_.segments_) s.steps_per_unit /= unit;
    out_.length_ = a_.length;
    out_.lengths_ = b_.length - a_.length;
    out_.units_ = unit;
  }

  Pattern::Sample a_, b_;
  const Listing &short_, &long_;
  Pattern::Reals reals_;
  Pattern out_;
};

std::optional<Pattern> Pattern::find(const Sample& a, const Sample& b, Reals reals) {
  const Sample &low = a.length < b.length ? a : b, &high = a.length < b.length ? b : a;
  if (low.length == high.length || low.listing.records.size() > high.listing.records.size()) return {};
  return PatternFinder(low, high, reals).run();
}

bool Pattern::fits(const Sample& sample) const { return slots_of(sample).has_value(); }

std::optional<std::int64_t> Pattern::units(std::int64_t length) const {
  const std::int64_t more = (length - length_) * units_;
  if (more % lengths_ != 0) return {};
  const std::int64_t q = more / lengths_;
  for (const Segment& s : segments_)
    if (s.steps + s.steps_per_unit * q < 0) return {};
  return q;
}

void Pattern::resolve(std::int64_t q, std::span<const std::int64_t> slots, std::vector<std::int64_t>& now,
                      std::vector<std::int64_t>& more, std::vector<std::int64_t>& reals) const {
  now.resize(numbers_.size());
  more.resize(numbers_.size());
  for (std::size_t i = 0; i < numbers_.size(); ++i) {
    now[i] = numbers_[i].at + numbers_[i].per_unit * q;
    more[i] = numbers_[i].per_step + numbers_[i].per_both * q;
  }
  reals = reals_;
  for (std::size_t i = 0; i < reals.size(); ++i)
    if (slot_of_real_[i] >= 0 && static_cast<std::size_t>(slot_of_real_[i]) < slots.size())
      reals[i] = slots[static_cast<std::size_t>(slot_of_real_[i])];
}

std::optional<Slots> Pattern::slots_of(const Sample& sample) const {
  const Listing& l = sample.listing;
  Slots own(slots_);
  std::size_t at = 0;
  const bool all = each(sample.length, sample.slots, [&](const Line& line) {
    if (at == l.records.size()) return false;
    const Listing::Record& r = l.records[at++];
    if (!std::ranges::equal(line.fixed, l.fixed(r)) || !std::ranges::equal(line.numbers, l.numbers(r))) return false;
    const auto reals = l.reals(r);
    if (reals.size() != line.reals.size()) return false;
    for (std::size_t k = 0; k < reals.size(); ++k) {
      const auto slot = static_cast<std::size_t>(line.slots[k]);
      const bool mine = line.slots[k] >= 0 && slot < own.size();
      if (mine && line.step == 0) own[slot] = reals[k];
      if (reals[k] != (mine ? own[slot] : line.reals[k])) return false;
    }
    return true;
  });
  if (!all || at != l.records.size()) return {};
  return own;
}

}  // namespace rw::ir
