#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <rewind/autograd/program/graph.h>

namespace rw::ir {

/// Follows a graph from pass to pass, and evaluates it before and after each on random numbers of its own shapes: what
/// it gives must stay the same. Graphs that are too large to evaluate, or that refuse the numbers, are let pass.
class ValueCheck {
 public:
  explicit ValueCheck(const Graph& g) { values_ = evaluate(g, 0); }

  /// `after` is what `pass` made of the graph before. Throws Error, which names the pass and the first node whose value
  /// has no like among those of the same op, shape and scope before it. Without `keeps_bits` a value may be off by 16
  /// times what rounding of every value does to it, and by 8 roundings of its largest element.
  void follow(const Graph& before, const Graph& after, std::string_view pass, bool keeps_bits);

 private:
  using Values = std::vector<Array>;  // by node; none when the graph is not evaluated

  static Values evaluate(const Graph& g, std::uint64_t noise);
  static bool near(const Array& found, const Array& expected, double slack);
  double slack(const Graph& before, NodeId id);
  std::string odd_one(const Graph& before, const Graph& after, const Values& now) const;

  Values values_;
  std::vector<Values> noisy_;
};

}  // namespace rw::ir
