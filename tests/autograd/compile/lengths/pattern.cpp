#include <bit>
#include <cstdint>
#include <vector>

#include <doctest/doctest.h>

#include <rewind/autograd/compile/lengths/pattern.h>

namespace rw::ir {
namespace {

using Word = std::int64_t;

// What a loop of `steps` might look like: one record before it, two in each step, of which the first step's reads
// something else, and one after it, backwards.
Listing example(Word steps, double mean) {
  Listing l;
  const auto put = [&](Word kind, std::vector<Word> numbers) {
    l.begin();
    l.fixed(kind);
    for (const Word n : numbers) l.number(n);
    l.end();
  };
  put(1, {steps * 5});
  for (Word t = 0; t < steps; ++t) {
    put(2, {t == 0 ? -1 : 2 * t - 2, 8 * t, steps});
    put(3, {steps - 1 - t, t * steps});
  }
  l.begin();
  l.fixed(4);
  l.real(mean);
  l.end();
  for (Word t = steps; t-- > 0;) put(5, {2 * t});
  return l;
}

std::vector<Word> slots(double value) { return {std::bit_cast<Word>(value)}; }

TEST_CASE("a pattern of two listings has those of other lengths as instances, and no others") {
  const Listing a = example(5, 0.2), b = example(9, 1.0 / 9);
  const auto pattern = Pattern::find({a, 50}, {b, 90}, Pattern::Reals::are_slots);
  REQUIRE(pattern.has_value());
  CHECK(pattern->slots() == 1);
  for (const Word steps : {3, 4, 5, 6, 17, 200}) {
    const Listing l = example(steps, 0.5);
    CHECK(pattern->has(steps * 10));
    CHECK(pattern->fits({l, steps * 10}));
    CHECK(*pattern->slots_of({l, steps * 10}) == slots(0.5));
    CHECK(!pattern->fits({l, steps * 10 + 10}));
    for (const std::size_t word : {std::size_t{1}, l.words.size() / 2, l.words.size() - 1}) {
      Listing other = l;
      ++other.words[word];
      CHECK(!pattern->fits({other, steps * 10}));
    }
  }
  CHECK(!pattern->has(55));
  CHECK(!pattern->has(-10));
}

TEST_CASE("reals that differ come from slots that differ in the same way, or there is no pattern") {
  const Listing a = example(5, 0.2), b = example(9, 1.0 / 9);
  const std::vector<Word> of_a{7, std::bit_cast<Word>(0.2)}, of_b{7, std::bit_cast<Word>(1.0 / 9)};
  const auto pattern = Pattern::find({a, 50, of_a}, {b, 90, of_b}, Pattern::Reals::from_slots);
  REQUIRE(pattern.has_value());
  const std::vector<Word> of_c{7, std::bit_cast<Word>(0.125)};
  const Listing c = example(8, 0.125);
  CHECK(pattern->fits({c, 80, of_c}));
  CHECK(!pattern->fits({c, 80, of_a}));
  CHECK(!Pattern::find({a, 50, of_a}, {b, 90, of_a}, Pattern::Reals::from_slots).has_value());
}

TEST_CASE("what does not repeat by one rule has no pattern") {
  const Listing a = example(5, 0.2);
  Listing b = example(9, 0.2);
  b.words[b.records[9].first + 1] += 3;  // one number of one step
  CHECK(!Pattern::find({a, 50}, {b, 90}, Pattern::Reals::are_slots).has_value());
  CHECK(!Pattern::find({a, 50}, {a, 50}, Pattern::Reals::are_slots).has_value());
  const Listing one = example(1, 0.2), two = example(2, 0.2);
  CHECK(!Pattern::find({one, 10}, {two, 20}, Pattern::Reals::are_slots).has_value());
}

}  // namespace
}  // namespace rw::ir
