#pragma once

// Layers in both directions from cells alone, for the comparisons with other libraries' layers.

#include <vector>

#include <doctest/doctest.h>

#include <rewind/models/serialize.h>
#include <rewind/models/unroll.h>
#include <rewind/models/weight_map.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/reduce.h>
#include <rewind/ops/view.h>

#include "differences.h"

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

// What a layer is given and gives back.
struct Passed {
  Tensor y;
  std::vector<Tensor> last;  // h, and c: [rows, N, H], a row for each cell
};

// Cells of all layers, and of each both directions if so, over x [T, N, I]; `first` are the initial states, as `last`.
template <class C>
Passed run_layers(const std::vector<C>& cells, bool both_ways, Tensor x, const std::vector<Tensor>& first) {
  std::vector<std::vector<Tensor>> last(tensor_count(typename C::State{}));
  const std::size_t directions = both_ways ? 2 : 1;
  for (std::size_t k = 0; k < cells.size(); k += directions) {
    std::vector<Tensor> y;
    for (std::size_t d = 0; d < directions; ++d) {
      typename C::State state;
      std::size_t i = 0;
      for_each_tensor(state, [&](Tensor& t) { t = at_step(first[i++], static_cast<Index>(k + d)); });
      const auto states = unroll(cells[k + d], d == 0 ? x : flip(x, 0), state);
      const Tensor out = outputs(cells[k + d], states);
      y.push_back(d == 0 ? out : flip(out, 0));
      i = 0;
      for_each_tensor(states.back(), [&](const Tensor& t) { last[i++].push_back(t); });
    }
    x = directions == 1 ? y[0] : concat(std::span<const Tensor>(y), -1);
  }
  Passed passed{.y = x, .last = {}};
  for (const std::vector<Tensor>& rows : last) passed.last.push_back(stack_steps(rows));
  return passed;
}

}  // namespace rw::test
