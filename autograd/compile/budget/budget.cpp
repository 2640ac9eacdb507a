#include <algorithm>
#include <numeric>

#include <fmt/format.h>

#include <rewind/autograd/binomial_checkpoints.h>
#include <rewind/autograd/compile/budget/budget.h>
#include <rewind/autograd/compile/budget/recompute.h>
#include <rewind/autograd/compile/memory/layout.h>
#include <rewind/autograd/compile/passes/costs.h>
#include <rewind/autograd/compile/plan/packing.h>
#include <rewind/core/error.h>

namespace rw::ir {
namespace {

/// The ways to run a graph, by number: from 0, which keeps everything, each computes more again than the one before,
/// and takes less memory.
class Ways {
 public:
  explicit Ways(const Halves& halves) : most_(halves.segments() - 1) {
    while (places_ < most_ && more_than_once({most_, places_}) > longest_way * most_) ++places_;
  }
  std::uint32_t size() const { return most_ == 0 ? 1 : 2 * most_ + 1 - places_; }
  /// The number of the way that computes all segments again, and stores all of their beginnings.
  std::uint32_t all_beginnings() const { return most_; }
  /// The segments that are computed on the way to others, besides the once that the forward half does it.
  static double more_than_once(const Recomputed& what) {
    return what.segments == 0 ? 0 : checkpoint_cost(what.segments, what.places) - (what.segments - 1.0);
  }
  /// First more and more segments, whose beginnings are all stored; then fewer and fewer of the beginnings.
  Recomputed operator[](std::uint32_t way) const {
    return way <= most_ ? Recomputed{way, way} : Recomputed{most_, 2 * most_ - way};
  }

 private:
  static constexpr double longest_way = 4;  // the most of these, over the number of segments

  std::uint32_t most_;  // segments computed again: all but the last one, which the backward half begins with
  std::uint32_t places_ = 1;
};

/// A way that was tried.
struct Tried {
  std::uint32_t way = 0;
  Graph graph;
  std::size_t bytes = 0;
};

class Search {
 public:
  Search(const Graph& g, const CompileOptions& options)
      : g_(g), options_(options), halves_(g), ways_(halves_), packed_(bytes_packed(g, options)) {}

  Graph run(Notes& notes) {
    Tried all = tried(0);
    if (all.bytes <= budget()) return kept(std::move(all), notes);
    everything_ = all.bytes;
    all = {};
    Tried best = tried(ways_.size() - 1);
    if (best.bytes > budget() && ways_.all_beginnings() != best.way) best = smaller(std::move(best));
    if (best.bytes > budget()) throw Error(too_little(best.bytes));
    // From there to the way that stores all beginnings, and on to this one, bytes go down about evenly.
    Over over{0, everything_};
    if (ways_.all_beginnings() < best.way) narrow(tried(ways_.all_beginnings()), over, best);
    for (int n = 0; n < most_tries && best.way - over.way > 1 && budget() - best.bytes > budget() / near; ++n)
      narrow(tried(n % 3 == 2 ? std::midpoint(over.way, best.way) : between(over, best)), over, best);
    say(best, notes);
    return std::move(best.graph);
  }

 private:
  static constexpr int most_tries = 8;
  static constexpr std::size_t near = 32;  // that part of the budget may be left over

  std::size_t budget() const { return *options_.memory; }

  Tried tried(std::uint32_t way) const {
    Tried out{way, recompute(g_, halves_, ways_[way]), 0};
    out.bytes = layout(out.graph, options_.passes).arena + packed_;
    return out;
  }

  // Of few segments, what is computed on the way to one may take more than all beginnings do.
  Tried smaller(Tried last) const {
    Tried other = tried(ways_.all_beginnings());
    return other.bytes < last.bytes ? std::move(other) : std::move(last);
  }

  /// The last way that was seen not to fit.
  struct Over {
    std::uint32_t way = 0;
    std::size_t bytes = 0;
  };
  void narrow(Tried next, Over& over, Tried& best) const {
    if (next.bytes <= budget())
      best = std::move(next);
    else
      over = {next.way, next.bytes};
  }
  // Where a way of as many bytes as the budget should be.
  std::uint32_t between(const Over& over, const Tried& fits) const {
    const double share = static_cast<double>(over.bytes - budget()) /
                         static_cast<double>(std::max(over.bytes, fits.bytes + 1) - fits.bytes);
    const auto step = static_cast<std::uint32_t>(share * (fits.way - over.way) + 1);
    return std::clamp(over.way + step, over.way + 1, fits.way - 1);
  }

  std::string too_little(std::size_t least) const {
    std::string why = halves_.segments() > 1
                          ? fmt::format("that computes all but the last of {} segments again", halves_.segments())
                          : no_segments();
    return fmt::format("compile: a memory budget of {} bytes is below the least for this function, {} bytes: {}",
                       budget(), least, why);
  }
  static std::string no_segments() {
    return "no place was found where little goes on, as between the steps of a loop, so nothing can be computed again";
  }

  Graph kept(Tried all, Notes& notes) const {
    notes.memory.push_back(fmt::format("{} of {} bytes: all values are kept{}", all.bytes, budget(),
                                       halves_.segments() > 1 ? "" : "; " + no_segments()));
    return std::move(all.graph);
  }

  void say(const Tried& best, Notes& notes) const {
    const Recomputed what = ways_[best.way];
    const auto cost = [](const Graph& g) {
      double sum = 0;
      for (NodeId i = 0; i < g.size(); ++i) sum += cost_of(g, i, Costs{});
      return sum;
    };
    const double more = cost(best.graph) / cost(g_) - 1;
    notes.memory.push_back(
        fmt::format("{} of {} bytes, where keeping all values takes {}", best.bytes, budget(), everything_));
    notes.memory.push_back(fmt::format(
        "the forward half is {} segments, between which at most {} bytes go on; the first {} are computed again, the "
        "others kept",
        halves_.segments(), halves_.widest, what.segments));
    notes.memory.push_back(
        fmt::format("kept of those: the beginnings of {} at a time, and what goes from them to later segments; {:.0f} "
                    "segments are computed once more on the way to others",
                    what.places, Ways::more_than_once(what)));
    notes.memory.push_back(fmt::format("estimated cost: {:.0f}% more time", 100 * more));
  }

  const Graph& g_;
  const CompileOptions& options_;
  Halves halves_;
  Ways ways_;
  std::size_t packed_, everything_ = 0;
};

}  // namespace

Graph within_budget(const Graph& g, const CompileOptions& options, Notes& notes) {
  return Search(g, options).run(notes);
}

}  // namespace rw::ir
