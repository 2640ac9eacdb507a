#include <algorithm>
#include <cmath>
#include <iterator>
#include <vector>

#include <rewind/autograd/compile/passes/rounding.h>
#include <rewind/autograd/program/queries.h>
#include <rewind/core/dtype.h>

namespace rw::ir {

Index roundings_of(const Graph& g, NodeId i) {
  if (is_product(g, i)) return inner_length(g, i);
  Index terms = g.in(i).size();
  for (NodeId in : g.in(i))
    terms = std::max(terms, g.nodes[in].shape.size() / std::max<Index>(1, g.nodes[i].shape.size()));
  return terms;
}

namespace {

Array sizes_of(ConstView x) {
  Array sizes(x);
  visit_real(x.dtype, [&]<class T>() {
    for (T& v : sizes.span<T>()) v = std::abs(v);
  });
  return sizes;
}

bool adds_up(const Graph& g, NodeId i) { return g.is<SumTo>(i) || g.is<AddN>(i) || is_product(g, i); }

// For each number of y the sum of the sizes of its terms: the same sums, of positive numbers.
Array sizes_of_terms(const Graph& g, NodeId i, std::span<const ConstView> x, ConstView y) {
  if (!adds_up(g, i)) return sizes_of(y);
  std::vector<Array> sizes;
  for (const ConstView& in : x) sizes.push_back(sizes_of(in));
  const std::vector<ConstView> views(sizes.begin(), sizes.end());
  Array out(y.shape, y.dtype);
  g.nodes[i].info->eval(g.nodes[i].op, views, out.view());
  return out;
}

bool is_whole(double x) { return x == std::floor(x); }

/// The numbers of an op's inputs, among which an op finds those that it passes on unchanged: where they stood, as a
/// maximum does, or elsewhere, as a permutation does. Whether it moves them is what its first other number says: to put
/// them all in order takes far longer than the op.
class Numbers {
 public:
  explicit Numbers(std::span<const ConstView> x) {
    for (const ConstView& in : x)
      if (is_real(in.dtype)) inputs_.push_back(Array(in).to_vector<double>());
  }
  bool contain(double value, std::size_t position) {
    for (const std::vector<double>& in : inputs_)
      if (position < in.size() && in[position] == value) return true;
    if (moved_ == Moved::unknown) find_out(value);
    return moved_ == Moved::yes && std::binary_search(sorted_.begin(), sorted_.end(), value);
  }

 private:
  enum class Moved : char { unknown, yes, no };

  void find_out(double value) {
    moved_ = Moved::no;
    for (const std::vector<double>& in : inputs_)
      if (std::find(in.begin(), in.end(), value) != in.end()) moved_ = Moved::yes;
    if (moved_ == Moved::no) return;
    for (const std::vector<double>& in : inputs_)
      std::copy_if(in.begin(), in.end(), std::back_inserter(sorted_), [](double v) { return !std::isnan(v); });
    std::sort(sorted_.begin(), sorted_.end());
  }

  std::vector<std::vector<double>> inputs_;
  std::vector<double> sorted_;
  Moved moved_ = Moved::unknown;
};

}  // namespace

void RoundingNoise::move(const Graph& g, NodeId i, std::span<const ConstView> x, Array& y) {
  const Node& n = g.nodes[i];
  if (!is_real(y.dtype()) || n.arity == 0 || n.info->alias != nullptr) return;
  Numbers of_inputs(x);
  const double most = unit_ * std::max(1.0, static_cast<double>(roundings_of(g, i)) / 16);
  const Array sizes = sizes_of_terms(g, i, x, y.view());
  visit_real(y.dtype(), [&]<class T>() {
    const auto to = y.span<T>();
    const auto terms = sizes.span<T>();
    for (std::size_t k = 0; k < to.size(); ++k) {
      const double e = rng_.uniform(-1, 1);
      const bool exact = is_whole(terms[k]) || (std::abs(to[k]) == terms[k] && of_inputs.contain(to[k], k));
      if (!exact) to[k] = static_cast<T>(to[k] + e * most * terms[k]);
    }
  });
}

void RoundingNoise::move_leaf(Array& y) {
  if (!is_real(y.dtype())) return;
  visit_real(y.dtype(), [&]<class T>() {
    for (T& v : y.span<T>()) v = static_cast<T>(v + rng_.uniform(-1, 1) * unit_ * v);
  });
}

}  // namespace rw::ir
