#include <algorithm>
#include <cstdint>
#include <cstring>
#include <map>
#include <vector>

#include <doctest/doctest.h>

#include <rewind/core/arena.h>
#include <rewind/core/error.h>
#include <rewind/core/random.h>

using rw::Arena;
using rw::Rng;

namespace {

// Live blocks of an arena as a test believes them to be. Each is filled with its own byte, so that two that overlap,
// or one that moves, are found out.
class Model {
 public:
  void add(void* p, std::size_t bytes) {
    REQUIRE(p != nullptr);
    REQUIRE(reinterpret_cast<std::uintptr_t>(p) % (bytes >= 64 ? 64 : 16) == 0);
    const auto begin = reinterpret_cast<std::uintptr_t>(p);
    const auto next = blocks_.lower_bound(begin);
    if (bytes > 0) {
      REQUIRE((next == blocks_.end() || begin + bytes <= next->first));
      if (next != blocks_.begin()) {
        const auto before = std::prev(next);
        REQUIRE(before->first + before->second.bytes <= begin);
      }
      fill_ = static_cast<unsigned char>(fill_ + 1);
      std::memset(p, fill_, bytes);
      blocks_[begin] = {bytes, fill_};
    }
    order_.push_back({p, bytes});
  }
  void check(const void* p, std::size_t bytes) const {
    if (bytes == 0) return;
    const Block& b = blocks_.at(reinterpret_cast<std::uintptr_t>(p));
    const auto* x = static_cast<const unsigned char*>(p);
    REQUIRE(std::all_of(x, x + bytes, [&](unsigned char c) { return c == b.fill; }));
  }
  void remove(std::size_t i) {
    check(order_[i].first, order_[i].second);
    if (order_[i].second > 0) blocks_.erase(reinterpret_cast<std::uintptr_t>(order_[i].first));
    order_.erase(order_.begin() + static_cast<std::ptrdiff_t>(i));
  }
  void rewind(std::size_t count) {
    while (order_.size() > count) remove(order_.size() - 1);
  }
  std::size_t size() const { return order_.size(); }
  std::pair<void*, std::size_t> operator[](std::size_t i) const { return order_[i]; }
  std::size_t bytes() const {
    std::size_t n = 0;
    for (const auto& [p, bytes] : order_) n += bytes;
    return n;
  }

 private:
  struct Block {
    std::size_t bytes;
    unsigned char fill;
  };
  std::map<std::uintptr_t, Block> blocks_;
  std::vector<std::pair<void*, std::size_t>> order_;
  unsigned char fill_ = 0;
};

std::size_t some_size(Rng& rng) {
  const rw::Index kind = rng.below(20);
  if (kind == 0) return 0;
  if (kind < 12) return static_cast<std::size_t>(rng.below(200));
  if (kind < 19) return static_cast<std::size_t>(rng.below(20000));
  return static_cast<std::size_t>(rng.below(300000));
}

}  // namespace

TEST_CASE("a stack of random allocations, marks and rewinds never overlaps") {
  for (std::uint64_t seed = 0; seed < 8; ++seed) {
    CAPTURE(seed);
    Rng rng(seed);
    Arena arena;
    Model model;
    std::vector<std::pair<Arena::Mark, std::size_t>> marks;
    std::vector<std::size_t> stacked;
    std::size_t most = 0;
    for (int i = 0; i < 2000; ++i) {
      const rw::Index what = rng.below(10);
      if (what < 8) {
        const std::size_t bytes = some_size(rng);
        model.add(arena.allocate(bytes), bytes);
      } else if (what == 8) {
        marks.emplace_back(arena.mark(), model.size());
        stacked.push_back(arena.stacked());
      } else if (!marks.empty()) {
        const auto to = static_cast<std::size_t>(rng.below(static_cast<rw::Index>(marks.size())));
        arena.rewind(marks[to].first);
        model.rewind(marks[to].second);
        REQUIRE(arena.stacked() == stacked[to]);
        marks.resize(to);
        stacked.resize(to);
      }
      most = std::max(most, arena.stacked());
      REQUIRE(arena.stacked() >= model.bytes());
      REQUIRE(arena.stacked_peak() == most);
      REQUIRE(arena.reserved() >= arena.stacked());
    }
    model.rewind(0);
  }
}

TEST_CASE("blocks that come and go never overlap, and their sum is accounted for") {
  for (std::uint64_t seed = 0; seed < 8; ++seed) {
    CAPTURE(seed);
    Rng rng(seed);
    Arena arena;
    Model model;
    std::size_t most = 0;
    for (int i = 0; i < 3000; ++i) {
      if (model.size() == 0 || rng.below(100) < (i < 1500 ? 60 : 45)) {
        const std::size_t bytes = some_size(rng);
        model.add(arena.take(bytes), bytes);
      } else {
        const auto at = static_cast<std::size_t>(rng.below(static_cast<rw::Index>(model.size())));
        const auto [p, bytes] = model[at];
        model.remove(at);
        arena.release(p, bytes);
      }
      most = std::max(most, arena.live());
      REQUIRE(arena.live() >= model.bytes());
      REQUIRE(arena.live() <= model.bytes() * 5 / 4 + 64 * model.size());  // at most a quarter is wasted
      REQUIRE(arena.peak() == most);
    }
    while (model.size() > 0) {
      const auto [p, bytes] = model[model.size() - 1];
      model.remove(model.size() - 1);
      arena.release(p, bytes);
    }
    CHECK(arena.live() == 0);
    CHECK(arena.peak() == most);
    arena.reset_peak();
    CHECK(arena.peak() == 0);
  }
}

TEST_CASE("a block that was given back is the next of its size to be taken") {
  Arena arena;
  void* a = arena.take(1000);
  void* b = arena.take(1000);
  arena.release(a, 1000);
  CHECK(arena.take(1000) == a);
  arena.release(b, 1000);
  CHECK(arena.take(10) != b);
  CHECK(arena.take(1001) == b);  // of the same size class
}

TEST_CASE("every size fits in its class") {
  Arena arena;
  for (std::size_t bytes = 0; bytes < 5000; ++bytes) {
    Model model;
    void* p = arena.take(bytes);
    arena.release(p, bytes);
    void* q = arena.take(bytes);
    REQUIRE(q == p);
    model.add(q, bytes);
    void* other = arena.take(bytes);
    model.add(other, bytes);
    model.check(q, bytes);
    arena.release(q, bytes);
    arena.release(other, bytes);
  }
}

TEST_CASE("even nothing has an address") {
  Arena arena;
  CHECK(arena.allocate(0) != nullptr);
  CHECK(arena.take(0) != nullptr);
}

TEST_CASE("a second identical step takes nothing from the heap") {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    CAPTURE(seed);
    Arena arena;
    const auto step = [&] {
      Rng rng(seed);
      std::vector<Arena::Mark> marks;
      for (int i = 0; i < 300; ++i) {
        const rw::Index what = rng.below(12);
        if (what < 10) {
          arena.allocate(some_size(rng));
        } else if (what == 10 || marks.empty()) {
          marks.push_back(arena.mark());
        } else {
          arena.rewind(marks.back());
          marks.pop_back();
        }
      }
    };
    step();
    const std::size_t reserved = arena.reserved(), stacked = arena.stacked();
    for (int i = 0; i < 3; ++i) {
      arena.rewind({});
      CHECK(arena.stacked() == 0);
      step();
      CHECK(arena.reserved() == reserved);
      CHECK(arena.stacked() == stacked);
    }
  }
}

TEST_CASE("reset frees all blocks") {
  Arena arena;
  void* first = arena.take(100);
  arena.take(100000);
  void* given = arena.take(64);
  arena.release(given, 64);
  const std::size_t reserved = arena.reserved();
  arena.reset();
  CHECK(arena.live() == 0);
  CHECK(arena.take(100) == first);
  arena.take(100000);
  CHECK(arena.take(64) == given);  // from the stack again, not from a stale list
  CHECK(arena.reserved() == reserved);
}

TEST_CASE("peaks begin anew") {
  Arena arena;
  const Arena::Mark start = arena.mark();
  arena.allocate(1000);
  arena.rewind(start);
  CHECK(arena.stacked_peak() == 1000);
  arena.reset_peak();
  CHECK(arena.stacked_peak() == 0);
  arena.allocate(10);
  CHECK(arena.stacked_peak() == 10);
}
