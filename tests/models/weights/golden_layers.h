#pragma once

// For the comparisons with other libraries' layers.

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <rewind/models/sequence/bidirectional.h>
#include <rewind/models/sequence/stack.h>
#include <rewind/models/sequence/unroll.h>
#include <rewind/models/weights/serialize.h>
#include <rewind/models/weights/weight_map.h>

namespace rw::test {

// The arrays of one case of a golden file: "lstm/weight/..." without what is before the dots.
inline std::vector<NamedArray> arrays_under(const ArrayFile& file, const std::string& prefix) {
  std::vector<NamedArray> arrays;
  for (const NamedArray& a : file.arrays)
    if (a.name.starts_with(prefix)) arrays.push_back({a.name.substr(prefix.size()), a.array});
  return arrays;
}

inline void check_close(const std::string& name, ConstView got, ConstView expected, double tolerance) {
  CAPTURE(name);
  REQUIRE(got.shape == expected.shape);
  const auto x = Array(got).to_vector<double>(), y = Array(expected).to_vector<double>();
  double most = 0;
  for (std::size_t i = 0; i < x.size(); ++i) most = std::max(most, std::abs(x[i] - y[i]));
  CHECK(most <= tolerance);
}

// Cells of these input widths, one above the other; options as the cell takes them.
template <class C, class... Options>
Stack<C> stacked(const std::vector<Index>& in, Index hidden, const Options&... options) {
  Rng rng(1);
  std::vector<C> layers;
  for (const Index width : in) layers.emplace_back(width, hidden, rng, options...);
  return Stack<C>(std::move(layers));
}
// The same in both directions.
template <class C, class... Options>
Stack<Bidirectional<C>> stacked_both_ways(const std::vector<Index>& in, Index hidden, const Options&... options) {
  Rng rng(1);
  std::vector<Bidirectional<C>> layers;
  for (const Index width : in)
    layers.emplace_back(C(width, hidden, rng, options...), C(width, hidden, rng, options...));
  return Stack<Bidirectional<C>>(std::move(layers));
}

// What a layer gives back: outputs, and the last h (and c), [rows, N, H], a row for each cell.
struct Passed {
  Tensor y;
  std::vector<Tensor> last;
};

// A layer over x [T, N, I] from `first`, which are h (and c) as in Passed.
template <class L>
Passed run_layer(const L& layer, Tensor x, const std::vector<Tensor>& first, const UnrollOptions& options = {}) {
  typename L::State state = empty_state(layer);
  const std::size_t kinds = first.size();
  std::size_t i = 0;
  for_each_tensor(state, [&](Tensor& t) {
    t = at_step(first[i % kinds], static_cast<Index>(i / kinds));
    ++i;
  });
  const auto states = unroll(layer, x, state, options);
  std::vector<std::vector<Tensor>> last(kinds);
  i = 0;
  const typename L::State end = last_state(layer, states, options);
  for_each_tensor(end, [&](const Tensor& t) { last[i++ % kinds].push_back(t); });
  Passed passed{.y = outputs(layer, states), .last = {}};
  for (const std::vector<Tensor>& rows : last) passed.last.push_back(stack_steps(rows));
  return passed;
}

}  // namespace rw::test
