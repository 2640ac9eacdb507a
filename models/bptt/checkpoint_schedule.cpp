#include <algorithm>
#include <cmath>
#include <vector>

#include <fmt/format.h>

#include <rewind/autograd/detail/tape_data.h>
#include <rewind/core/error.h>
#include <rewind/models/bptt/checkpoint_schedule.h>

namespace rw {
namespace {

// C(n, k), exact while it is below 2^53; 0 for k below 0.
double choose(double n, double k) {
  if (k < 0) return 0;
  k = std::min(k, n - k);
  double product = 1;
  for (double i = 1; i <= k && product < 1e18; ++i) product = std::round(product * (n - k + i) / i);
  return product;
}

// The segments that `places` states can reach with r forward runs over each: C(places + r, r).
double reach(Index places, Index r) {
  return r < 0 ? 0 : choose(static_cast<double>(places + r), static_cast<double>(r));
}

Index fewest_runs(Index length, Index places) {
  Index r = 0;
  while (reach(places, r) < static_cast<double>(length)) ++r;
  return r;
}

}  // namespace

double checkpoint_cost(Index length, Index places) {
  if (places == 1) return 0.5 * static_cast<double>(length) * static_cast<double>(length - 1);
  const auto r = static_cast<double>(fewest_runs(length, places));
  return r * static_cast<double>(length) - choose(static_cast<double>(places) + r, r - 1);
}

Index checkpoint_distance(Index length, Index places) {
  const Index r = fewest_runs(length, places);
  const auto l = static_cast<double>(length);
  // The part before the new place then takes r - 1 runs more, with all places, and the part behind it r, with one less.
  return static_cast<Index>(std::clamp(std::min(reach(places, r - 1), l - reach(places - 1, r - 1)), 1.0, l - 1));
}

void run_checkpoints(Index length, Index places, const CheckpointActions& actions) {
  std::vector<Index> stored{0};  // the segments whose states are in the places
  actions.store(0);
  Index current = 0;
  for (Index end = length; end > 0;) {
    if (current != stored.back()) {
      current = stored.back();
      actions.load(static_cast<Index>(stored.size()) - 1);
    }
    const auto go_to = [&](Index to) {
      if (to > current) actions.advance(current, to);
      current = to;
    };
    while (end - current > 1 && static_cast<Index>(stored.size()) < places) {
      go_to(current + checkpoint_distance(end - current, places - static_cast<Index>(stored.size()) + 1));
      actions.store(static_cast<Index>(stored.size()));
      stored.push_back(current);
    }
    go_to(end - 1);
    actions.reverse(current);
    end = current;
    if (stored.back() == end) stored.pop_back();
    current = -1;
  }
}

namespace detail {

namespace {
constexpr double per_node = sizeof(Node) + sizeof(void*);
}

TapeUse TapeUse::of(const Tape& tape) {
  const TapeData& d = tape.data();
  return {.values = static_cast<double>(d.values.stacked_peak()),
          .gradients = static_cast<double>(d.blocks.stacked()),
          .records = static_cast<double>(d.records.stacked()),
          .nodes = static_cast<double>(d.nodes.size()) * per_node};
}

TapeUse TapeUse::extrapolated(const TapeUse& two, double blocks) const {
  const auto at = [&](double one, double both) { return one + (both - one) * (blocks - 1); };
  return {.values = at(values, two.values),
          .gradients = at(gradients, two.gradients),
          .records = at(records, two.records),
          .nodes = at(nodes, two.nodes)};
}

double TapeUse::held() const {
  // Of an arena's chunks the last may be all but empty, and each of the others wastes a little at its end.
  const auto chunks = [](double bytes) { return std::max(1.3 * bytes, 65536.0); };
  return chunks(values) + chunks(gradients) + chunks(records) + nodes;
}

namespace {

Index segments_of(Index steps, Index segment) { return (steps - 1) / segment + 1; }

CheckpointPlan make_plan(Index steps, Index segment, Index places, double bytes) {
  CheckpointPlan plan{.segment = std::min(segment, steps), .segments = segments_of(steps, segment)};
  plan.places = std::min(places, plan.segments);
  plan.recomputed =
      checkpoint_cost(plan.segments, plan.places) * static_cast<double>(segment) / static_cast<double>(steps);
  plan.bytes = static_cast<std::size_t>(bytes);
  return plan;
}

}  // namespace

CheckpointPlan plan_with_places(Index steps, Index block, Index places) { return make_plan(steps, block, places, 0); }

CheckpointPlan plan_within(const CheckpointSizes& sizes, std::size_t bytes) {
  const auto budget = static_cast<double>(bytes);
  const double least = sizes.held(1) + sizes.state;
  if (budget < least)
    throw Error(
        fmt::format("checkpointed bptt: a memory budget of {} bytes is below the minimum for this cell, batch and "
                    "block, {:.0f} bytes",
                    bytes, least));
  CheckpointPlan best;
  const Index most = sizes.two_blocks.has_value() ? segments_of(sizes.steps, sizes.block) : 1;
  for (Index blocks = 1; blocks <= most; ++blocks) {
    const double tape = sizes.held(blocks);
    if (tape + sizes.state > budget) break;
    const Index segment = blocks * sizes.block;
    const double places =
        std::min((budget - tape) / sizes.state, static_cast<double>(segments_of(sizes.steps, segment)));
    const CheckpointPlan plan =
        make_plan(sizes.steps, segment, static_cast<Index>(places), tape + std::floor(places) * sizes.state);
    if (best.segment == 0 || plan.recomputed < best.recomputed) best = plan;
  }
  return best;
}

CheckpointPlan plan_smallest(const CheckpointSizes& sizes) {
  CheckpointPlan best;
  for (Index blocks = 1; (blocks - 1) * sizes.block < sizes.steps; ++blocks) {
    const Index segment = blocks * sizes.block, places = segments_of(sizes.steps, segment);
    const double bytes = sizes.held(blocks) + static_cast<double>(places) * sizes.state;
    if (best.segment == 0 || bytes < static_cast<double>(best.bytes))
      best = make_plan(sizes.steps, segment, places, bytes);
  }
  return best;
}

void reserve_nodes(Tape& tape, const TapeUse& use) {
  const auto count = static_cast<std::size_t>(use.nodes / per_node) + 1;
  tape.clear();
  tape.data().nodes.reserve(count);
  tape.data().gradients.reserve(count);
}

}  // namespace detail

}  // namespace rw
