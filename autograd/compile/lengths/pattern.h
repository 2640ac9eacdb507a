#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include <rewind/autograd/compile/lengths/listing.h>

namespace rw::ir {

/// What a length makes of constants: the same ones in the same order at every length.
using Slots = std::vector<std::int64_t>;

/// A listing as a function of a length. The same records, some of which repeat more often at a greater
/// length; numbers are affine in the length, and within a repetition in the step; reals are the same at all lengths, or
/// that of a slot.
///
/// A length is counted in anything that grows with it evenly, as the number of nodes of the trace.
class Pattern {
 public:
  /// What becomes of reals that differ between two lengths: each is a new slot, or one of those that are known.
  enum class Reals : std::uint8_t { are_slots, from_slots };

  /// A listing, its length, and its slots.
  struct Sample {
    const Listing& listing;
    std::int64_t length = 0;
    std::span<const std::int64_t> slots = {};
  };

  /// A record of the pattern, at some step.
  struct Line {
    std::size_t number = 0;  // of the pattern's lines
    std::uint32_t note = 0;
    std::int64_t step = 0, position = 0;
    std::span<const std::int64_t> fixed, numbers, reals;
    std::span<const std::int32_t> slots;  // of the reals; -1: the same at all lengths
  };

  /// The pattern of which two listings are instances; nothing when there is none. The lengths differ.
  static std::optional<Pattern> find(const Sample& a, const Sample& b, Reals reals);

  /// Whether it has an instance of this length.
  bool has(std::int64_t length) const { return units(length).has_value(); }
  /// Whether a listing is the instance of its length.
  bool fits(const Sample& sample) const;
  /// The values of its own slots in a listing that is the instance of its length; nothing where that is none.
  std::optional<Slots> slots_of(const Sample& sample) const;
  /// Slots that it has made itself.
  std::size_t slots() const { return slots_; }
  /// Number of different lines.
  std::size_t lines() const { return lines_.size(); }

  /// Calls f(line) for each record of an instance, in order, until it returns false; gives whether it never did. Slots
  /// that are not given leave their reals as they were in the first sample.
  template <class F>
  bool each(std::int64_t length, std::span<const std::int64_t> slots, F&& f) const;
  /// The same for the first step of each repetition alone.
  template <class F>
  bool each_first(std::int64_t length, std::span<const std::int64_t> slots, F&& f) const;

 private:
  friend class PatternFinder;
  /// at + per_unit q + (per_step + per_both q) t, at q units above the first sample.
  struct Number {
    std::int64_t at = 0, per_unit = 0, per_step = 0, per_both = 0;
  };
  struct LineRange {
    std::size_t fixed = 0, numbers = 0, reals = 0;  // the first of each
    std::uint32_t fixed_count = 0, number_count = 0, real_count = 0, note = 0;
  };
  struct Segment {
    std::size_t line = 0, lines = 0;
    bool loop = false;
    std::int64_t steps = 1, steps_per_unit = 0;
  };

  std::optional<std::int64_t> units(std::int64_t length) const;
  void resolve(std::int64_t q, std::span<const std::int64_t> slots, std::vector<std::int64_t>& now,
               std::vector<std::int64_t>& more, std::vector<std::int64_t>& reals) const;
  template <class F>
  bool walk(std::int64_t length, std::span<const std::int64_t> slots, bool first_only, F&& f) const;

  std::vector<std::int64_t> fixed_;
  std::vector<Number> numbers_;
  std::vector<std::int64_t> reals_;
  std::vector<std::int32_t> slot_of_real_;  // -1: none
  std::vector<LineRange> lines_;
  std::vector<Segment> segments_;
  std::size_t slots_ = 0;
  std::int64_t length_ = 0, lengths_ = 1, units_ = 1;  // `lengths_` further are `units_` units
};

template <class F>
bool Pattern::walk(std::int64_t length, std::span<const std::int64_t> slots, bool first_only, F&& f) const {
  const std::optional<std::int64_t> q = units(length);
  if (!q.has_value()) return false;
  std::vector<std::int64_t> now, more, reals;
  resolve(*q, slots, now, more, reals);
  std::int64_t position = 0;
  for (const Segment& s : segments_) {
    const std::int64_t steps = s.steps + s.steps_per_unit * *q;
    for (std::int64_t t = 0; t < (first_only ? std::min<std::int64_t>(steps, 1) : steps); ++t)
      for (std::size_t k = s.line; k < s.line + s.lines; ++k) {
        const LineRange& l = lines_[k];
        Line line{k,
                  l.note,
                  t,
                  position + t * static_cast<std::int64_t>(s.lines) + static_cast<std::int64_t>(k - s.line),
                  {fixed_.data() + l.fixed, l.fixed_count},
                  {now.data() + l.numbers, l.number_count},
                  {reals.data() + l.reals, l.real_count},
                  {slot_of_real_.data() + l.reals, l.real_count}};
        if (!f(static_cast<const Line&>(line))) return false;
        if (s.loop)
          for (std::size_t n = l.numbers; n < l.numbers + l.number_count; ++n) now[n] += more[n];
      }
    position += steps * static_cast<std::int64_t>(s.lines);
  }
  return true;
}

template <class F>
bool Pattern::each(std::int64_t length, std::span<const std::int64_t> slots, F&& f) const {
  return walk(length, slots, false, f);
}
template <class F>
bool Pattern::each_first(std::int64_t length, std::span<const std::int64_t> slots, F&& f) const {
  return walk(length, slots, true, f);
}

}  // namespace rw::ir
