#include <algorithm>
#include <cmath>
#include <cstring>
#include <unordered_map>

#include <fmt/format.h>

#include <rewind/autograd/compile/passes/check_values.h>
#include <rewind/autograd/compile/passes/rounding.h>
#include <rewind/autograd/program/queries.h>
#include <rewind/core/broadcast_loop.h>
#include <rewind/core/error.h>
#include <rewind/core/random.h>

namespace rw::ir {
namespace {

constexpr Index most_elements = 1 << 18, most_multiplications = 1 << 24;

bool small_enough(const Graph& g) {
  Index elements = 0, multiplications = 0;
  for (NodeId i = 0; i < g.size(); ++i) {
    elements += g.nodes[i].shape.size();
    if (is_product(g, i) && g.nodes[i].arity > 0)
      multiplications +=
          g.nodes[i].shape.size() * g.nodes[g.in(i, 0)].shape.size() / std::max<Index>(g.nodes[i].shape.rows(), 1);
  }
  return elements <= most_elements && multiplications <= most_multiplications;
}

// Numbers that depend on which leaf it is; indices are 0, which all axes have.
Array leaf_value(const Graph& g, const Node& n) {
  if (n.role == Role::constant) return g.store->constants[n.leaf];
  Array value(n.shape, n.dtype);
  if (!is_real(n.dtype)) return value;
  Rng rng = Rng(n.leaf).split(static_cast<std::uint64_t>(n.role));
  visit_real(n.dtype, [&]<class T>() {
    for (T& x : value.span<T>()) x = static_cast<T>(0.5 * rng.normal());
  });
  return value;
}

double size_of_largest(const Array& a) {
  double most = 0;
  for (double x : a.to_vector<double>())
    if (std::isfinite(x)) most = std::max(most, std::abs(x));
  return most;
}

double unit_of(DType real) { return real == DType::f64 ? std::ldexp(1, -53) : std::ldexp(1, -24); }

}  // namespace

// With `noise`, every real value is off by what rounding may make of it; of twice the size, since most of a unit is
// rounded away again.
ValueCheck::Values ValueCheck::evaluate(const Graph& g, std::uint64_t noise) {
  if (!small_enough(g)) return {};
  RoundingNoise rounding(2 * unit_of(g.real), noise);
  Values values(g.size());
  try {
    for (NodeId i = 0; i < g.size(); ++i) {
      const Node& n = g.nodes[i];
      if (!computes(*n.info)) {
        values[i] = leaf_value(g, n);
        if (noise != 0) rounding.move_leaf(values[i]);
      } else {
        std::vector<ConstView> x;
        for (NodeId in : g.in(i)) x.push_back(values[in].view());
        values[i] = Array(n.shape, n.dtype);
        if (n.info->elementwise != nullptr)
          broadcast_loop(n.info->elementwise->value, n.op, x, values[i].view());
        else
          n.info->eval(n.op, x, values[i].view());
        if (noise != 0) rounding.move(g, i, x, values[i]);
      }
    }
  } catch (const Error&) {  // numbers that an op refuses
    return {};
  }
  return values;
}

// Not numbers, and infinite ones, are alike.
bool ValueCheck::near(const Array& found, const Array& expected, double slack) {
  if (!(found.shape() == expected.shape()) || found.dtype() != expected.dtype()) return false;
  const std::vector<double> x = found.to_vector<double>(), y = expected.to_vector<double>();
  for (std::size_t i = 0; i < x.size(); ++i)
    if (x[i] != y[i] && std::isfinite(y[i]) && !(std::abs(x[i] - y[i]) <= slack)) return false;
  return true;
}

double ValueCheck::slack(const Graph& before, NodeId id) {
  for (std::uint64_t seed = 1; noisy_.size() < 6; ++seed) noisy_.push_back(evaluate(before, seed));
  const std::vector<double> expected = values_[id].to_vector<double>();
  double most = 0;
  for (const Values& v : noisy_) {
    const std::vector<double> x = v[id].to_vector<double>();
    for (std::size_t i = 0; i < x.size(); ++i)
      if (const double d = std::abs(x[i] - expected[i]); std::isfinite(d)) most = std::max(most, d);
  }
  return 16 * most;
}

void ValueCheck::follow(const Graph& before, const Graph& after, std::string_view pass, bool keeps_bits) {
  if (values_.empty()) return;
  Values now = evaluate(after, 0);
  if (!now.empty()) {
    const auto look_at = [&](NodeId found, NodeId expected, const std::string& what) {
      const Array &x = now[found], &y = values_[expected];
      const double few = keeps_bits || !is_real(y.dtype()) ? 0 : 8 * unit_of(y.dtype()) * size_of_largest(y);
      if (near(x, y, few) || (few > 0 && near(x, y, few + slack(before, expected)))) return;
      throw Error(fmt::format("compile: {} changes the value of {}: {}", pass, what, odd_one(before, after, now)));
    };
    for (std::size_t o = 0; o < before.outputs.size(); ++o)
      look_at(after.outputs[o], before.outputs[o], fmt::format("result {}", o));
    for (std::size_t e = 0; e < before.effects.size(); ++e)
      look_at(after.effects[e].value, before.effects[e].value,
              fmt::format("the gradient of parameter {}", before.effects[e].parameter));
  }
  values_ = std::move(now);
  noisy_.clear();
}

// The first node after the pass whose value none of those has that were described as it is.
std::string ValueCheck::odd_one(const Graph& before, const Graph& after, const Values& now) const {
  std::unordered_map<std::string, std::vector<NodeId>> like;
  for (NodeId i = 0; i < before.size(); ++i) like[before.describe(i)].push_back(i);
  for (NodeId i = 0; i < after.size(); ++i) {
    const auto at = like.find(after.describe(i));
    if (at == like.end()) continue;
    const double slack = is_real(now[i].dtype()) ? 1e-3 * size_of_largest(now[i]) : 0;
    const auto same = [&](NodeId b) { return near(now[i], values_[b], slack); };
    if (std::none_of(at->second.begin(), at->second.end(), same))
      return fmt::format("first at node {}, {}", i, after.describe(i));
  }
  return "no node stands out";
}

}  // namespace rw::ir
