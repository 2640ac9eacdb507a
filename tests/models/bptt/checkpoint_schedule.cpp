#include <algorithm>
#include <limits>
#include <vector>

#include <doctest/doctest.h>

#include <rewind/core/error.h>
#include <rewind/models/bptt/checkpoint_schedule.h>

using namespace rw;

namespace {

// best[places][length], by trying every position of the next stored state.
std::vector<std::vector<double>> best_costs(Index most_places, Index longest) {
  std::vector<std::vector<double>> best(static_cast<std::size_t>(most_places) + 1,
                                        std::vector<double>(static_cast<std::size_t>(longest) + 1, 0));
  for (std::size_t s = 1; s < best.size(); ++s)
    for (std::size_t l = 2; l < best[s].size(); ++l) {
      best[s][l] = static_cast<double>(l * (l - 1)) / 2;
      for (std::size_t m = 1; s > 1 && m < l; ++m)
        best[s][l] = std::min(best[s][l], static_cast<double>(m) + best[s - 1][l - m] + best[s][m]);
    }
  return best;
}

struct Run {
  Index advanced = 0, most = 0;
  std::vector<Index> order;
};

// Runs the schedule and checks that every state it uses is there.
Run run(Index length, Index places) {
  Run r;
  Index current = 0;
  std::vector<Index> place(static_cast<std::size_t>(places), -1);
  run_checkpoints(length, places,
                  {.advance =
                       [&](Index from, Index to) {
                         CHECK(from == current);
                         CHECK(to > from);
                         r.advanced += to - from;
                         current = to;
                       },
                   .store =
                       [&](Index i) {
                         REQUIRE(i < places);
                         place[static_cast<std::size_t>(i)] = current;
                         r.most = std::max(r.most, i + 1);
                       },
                   .load =
                       [&](Index i) {
                         REQUIRE(i < places);
                         current = place[static_cast<std::size_t>(i)];
                       },
                   .reverse =
                       [&](Index segment) {
                         CHECK(segment == current);
                         r.order.push_back(segment);
                         current = -100;
                       }});
  return r;
}

}  // namespace

TEST_CASE("the schedule is the best there is, for every length and number of places") {
  const Index longest = 60, most = 7;
  const auto best = best_costs(most, longest);
  for (Index places = 1; places <= most; ++places)
    for (Index length = 1; length <= longest; ++length) {
      CAPTURE(places);
      CAPTURE(length);
      const double expected = best[static_cast<std::size_t>(places)][static_cast<std::size_t>(length)];
      CHECK(checkpoint_cost(length, places) == expected);
      const Run r = run(length, places);
      CHECK(static_cast<double>(r.advanced) == expected);
      CHECK(r.most <= places);
      REQUIRE(r.order.size() == static_cast<std::size_t>(length));
      for (Index i = 0; i < length; ++i) CHECK(r.order[static_cast<std::size_t>(i)] == length - 1 - i);
    }
}

TEST_CASE("costs of long sequences") {
  CHECK(checkpoint_cost(1'000'000, 1'000'000) == 999'999);
  CHECK(checkpoint_cost(10'000, 1) == 49'995'000);
  CHECK(checkpoint_cost(10'000, 140) == 2 * 10'000 - 142);  // C(142, 2) = 10,011 are within two runs
}

TEST_CASE("a plan stays within its bytes, and more bytes are never slower") {
  detail::CheckpointSizes sizes{.steps = 1000, .block = 4, .state = 1000, .fixed = 5000};
  sizes.one_block = {.values = 40e3, .gradients = 30e3, .records = 4e3, .nodes = 8e3};
  sizes.two_blocks = detail::TapeUse{.values = 80e3, .gradients = 31e3, .records = 8e3, .nodes = 16e3};
  double before = std::numeric_limits<double>::infinity();
  for (std::size_t bytes = 250'000; bytes < 40'000'000; bytes = bytes * 5 / 4) {
    const CheckpointPlan plan = detail::plan_within(sizes, bytes);
    CHECK(plan.bytes <= bytes);
    CHECK(plan.recomputed <= before);
    CHECK(plan.segment % 4 == 0);
    before = plan.recomputed;
  }
  CHECK(before == 0);
  const CheckpointPlan smallest = detail::plan_smallest(sizes);
  CHECK(smallest.recomputed < 1);
  CHECK(smallest.places == smallest.segments);
  CHECK(smallest.bytes < 1'000'000);
}

TEST_CASE("a budget below the minimum is refused, and the minimum is said and is enough") {
  detail::CheckpointSizes sizes{.steps = 100, .block = 1, .state = 1000, .fixed = 536};
  sizes.one_block = {.values = 1000, .gradients = 1000, .records = 1000, .nodes = 1000};
  CHECK_THROWS_WITH_AS(detail::plan_within(sizes, 1),
                       "checkpointed bptt: a memory budget of 1 bytes is below the minimum for this cell, batch and "
                       "block, 199144 bytes",
                       Error);
  CHECK_THROWS_AS(detail::plan_within(sizes, 199'143), Error);
  CHECK(detail::plan_within(sizes, 199'144).places == 1);
}
