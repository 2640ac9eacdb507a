#pragma once

#include <bit>
#include <cstdint>
#include <span>
#include <vector>

namespace rw::ir {

/// Things in an order, as words: what a trace recorded, or what a plan runs. Each is three kinds of words: `fixed` ones
/// say what it is, `numbers` (positions, lengths, offsets) may grow with a length, `reals` are the bits of constants.
struct Listing {
  struct Record {
    std::size_t first = 0;  // of `words`: fixed ones, then numbers, then reals
    std::uint32_t fixed = 0, numbers = 0, reals = 0;
    std::uint32_t note = 0;  // is not compared
    std::uint64_t key = 0;   // of what it is and how many words it has
  };
  std::vector<std::int64_t> words;
  std::vector<Record> records;

  void clear() {
    words.clear();
    records.clear();
  }
  void begin(std::uint32_t note = 0) { records.push_back({.first = words.size(), .note = note}); }
  void fixed(std::int64_t word) {
    words.push_back(word);
    ++records.back().fixed;
  }
  void number(std::int64_t word) { numbers_.push_back(word); }
  void real(double value) { reals_.push_back(std::bit_cast<std::int64_t>(value)); }
  void end();

  std::span<const std::int64_t> fixed(const Record& r) const { return {words.data() + r.first, r.fixed}; }
  std::span<const std::int64_t> numbers(const Record& r) const { return {words.data() + r.first + r.fixed, r.numbers}; }
  std::span<const std::int64_t> reals(const Record& r) const {
    return {words.data() + r.first + r.fixed + r.numbers, r.reals};
  }
  /// Whether two records say the same, up to numbers and reals.
  bool same_kind(const Record& r, const Listing& other, const Record& o) const;
  /// All words.
  bool operator==(const Listing& other) const;

 private:
  std::vector<std::int64_t> numbers_, reals_;  // of the record that is being written
};

}  // namespace rw::ir
