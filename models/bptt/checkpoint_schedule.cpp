#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include <rewind/autograd/detail/tape_data.h>
#include <rewind/core/error.h>
#include <rewind/models/bptt/checkpoint_schedule.h>

namespace rw {

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
