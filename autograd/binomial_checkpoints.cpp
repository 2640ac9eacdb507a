#include <algorithm>
#include <cmath>
#include <vector>

#include <rewind/autograd/binomial_checkpoints.h>

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

}  // namespace rw
