#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include <fmt/format.h>

#include <rewind/autograd/compile/check/blame.h>
#include <rewind/autograd/compile/check/check.h>
#include <rewind/core/error.h>

namespace rw::ir {
namespace {

constexpr double infinite = std::numeric_limits<double>::infinity();

// How many roundings follow each other on the longest way to a result.
double roundings(const Graph& g) {
  std::vector<double> path(g.size(), 0);
  double most = 1;
  for (NodeId i = 0; i < g.size(); ++i) {
    const Node& n = g.nodes[i];
    double longest = 0;
    for (NodeId in : g.in(i)) longest = std::max(longest, path[in]);
    path[i] = longest + (n.info->alias != nullptr ? 0 : static_cast<double>(roundings_of(g, i)));
    most = std::max(most, path[i]);
  }
  return most;
}

std::vector<Array> all_of(const Outcome& o) {
  std::vector<Array> all = o.results;
  all.insert(all.end(), o.gradients.begin(), o.gradients.end());
  return all;
}

std::string name_of_part(const Graph& g, std::size_t part) {
  const std::size_t results = g.outputs.size();
  if (part < results) return fmt::format("result {} {}", part, g.nodes[g.outputs[part]].shape.str());
  return "the gradient of parameter '" + g.store->parameters[part - results]->name + "'";
}

double unit_roundoff(DType real) { return real == DType::f32 ? 0x1p-24 : 0x1p-53; }
// Gradients are added in the parameter's type, which may be coarser than the function's.
double part_roundoff(DType real, const Array& part) {
  return std::max(unit_roundoff(real), is_real(part.dtype()) ? unit_roundoff(part.dtype()) : 0);
}

std::string percent(double part, double whole) { return fmt::format("{:.2g} of {:.2g}", part, whole); }

}  // namespace

double largest(ConstView x) {
  double most = 0;
  if (!is_real(x.dtype)) return 1;
  visit_real(x.dtype, [&]<class T>() {
    for (Index r = 0; r < x.rows(); ++r)
      for (Index c = 0; c < x.cols(); ++c)
        if (std::isfinite(x.row<T>(r)[c])) most = std::max(most, std::fabs(static_cast<double>(x.row<T>(r)[c])));
  });
  return most;
}

double distance(ConstView a, ConstView b) {
  const Array x = Array(a).to(DType::f64), y = Array(b).to(DType::f64);
  if (!(x.shape() == y.shape())) return infinite;
  double most = 0;
  for (std::size_t i = 0; i < static_cast<std::size_t>(x.size()); ++i) {
    const double p = x.span<double>()[i], q = y.span<double>()[i];
    if (p == q || (std::isnan(p) && std::isnan(q))) continue;
    const double apart = std::fabs(p - q);
    most = std::max(most, std::isnan(apart) ? infinite : apart);
  }
  return most;
}

// Higham and Mary (A new approach to probabilistic rounding error analysis, 2019): n roundings add up to sqrt(n) of
// them with a factor of a few, except with a probability that vanishes.
double rounding_bound(const Graph& g, const CompileOptions& options) {
  if (options.matmul == Precision::bf16) return 0x1p-7;
  return 8 * std::sqrt(roundings(g)) * unit_roundoff(g.real);
}

Outcome replay_apart(Executor& plan, const Call& call) {
  Outcome out;
  out.gradients = plan.replay_apart(call.inputs, call.seed, call.step);
  for (std::size_t i = 0; i < plan.outputs(); ++i) out.results.emplace_back(plan.output(i));
  return out;
}

namespace {

/// How far each part of an outcome may be from the truth, and the truth, both estimated in f64.
class Truth {
 public:
  Truth(const Check& check, const Outcome& tape)
      : tape_(all_of(tape)),
        exact_(all_of(Reference(check.traced, DType::f64, check.call).outcome())),
        traced_(all_of(Reference(check.traced, check.traced.real, check.call).outcome())) {
    const DType real = check.traced.real;
    for (std::size_t i = 0; i < exact_.size(); ++i)
      moved_.push_back(8 * part_roundoff(real, tape_[i]) * largest(exact_[i]));
    // Of twice the size, since most of one unit is rounded away again where f64 is checked; and a few draws, since a
    // result of one number moves little by luck.
    for (std::uint64_t draw = 1; draw <= 6; ++draw) {
      const Reference noisy(check.traced, DType::f64, check.call, 2 * unit_roundoff(real), draw);
      const std::vector<Array> all = all_of(noisy.outcome());
      for (std::size_t i = 0; i < exact_.size(); ++i) moved_[i] = std::max(moved_[i], distance(all[i], exact_[i]));
    }
  }
  /// Whether the tape computed what was traced: the same ops in the same order, so all but the same bits.
  bool is_as_traced(std::size_t part) const { return distance(tape_[part], traced_[part]) <= 16 * moved_[part]; }
  /// Whether `value` is not over 16 times further from the truth than the tape is, or than rounding brings it.
  bool explains(std::size_t part, const Array& value) const { return error(part, value) <= 16 * moved(part); }
  double error(std::size_t part, const Array& value) const { return distance(value, exact_[part]); }
  double scale(std::size_t part) const { return largest(exact_[part]); }
  double moved(std::size_t part) const { return std::max(moved_[part], error(part, tape_[part])); }
  /// Less than two digits are left.
  bool ill_conditioned(std::size_t part) const { return !(moved(part) <= 0x1p-7 * scale(part)); }

 private:
  std::vector<Array> tape_, exact_, traced_;
  std::vector<double> moved_;
};

}  // namespace

std::string Check::judge(const Outcome& tape, const Outcome& found) const {
  const double bound = rounding_bound(traced, options);
  const std::vector<Array> expected = all_of(tape), given = all_of(found);
  std::size_t part = 0;
  const auto near = [&](std::size_t i) {
    const double rounding = bound + 2 * part_roundoff(traced.real, expected[i]);
    return distance(given[i], expected[i]) <= rounding * largest(expected[i]);
  };
  while (part < expected.size() && near(part)) ++part;
  if (part == expected.size()) return "checked: results and gradients are those of a tape, within rounding";

  NodeId where = 0;
  if (const Graph again = trace_again(); !same_graph(traced, again, where))
    throw Error("compile: the function is not the same twice: traced again it records something else, beginning with " +
                traced.describe(where) + ": does it count its calls, or draw random numbers of its own?");
  const Truth truth(*this, tape);
  std::string doubt;
  for (part = 0; part < expected.size(); ++part) {
    if (!is_real(expected[part].dtype())) {  // indices of what is nearly equal: rounding chooses
      if (doubt.empty() && !(given[part] == expected[part])) doubt = name_of_part(traced, part);
      continue;
    }
    if (!truth.is_as_traced(part))
      throw Error(
          fmt::format("compile: the function is not the same on a tape and traced: {} differs by {}: does it look at "
                      "tape.tracing(), count its calls, or draw random numbers of its own?",
                      name_of_part(traced, part), percent(truth.error(part, expected[part]), truth.scale(part))));
    if (!truth.explains(part, given[part]))
      throw Error(fmt::format(
          "compile: the plan is wrong, and no gradient was changed: {} is {} away from what f64 gives, and rounding "
          "moves it by {:.2g}; {}. Please report it with the function",
          name_of_part(traced, part), percent(truth.error(part, given[part]), truth.scale(part)), truth.moved(part),
          blame(*this, [&](const Outcome& o) {
            const std::vector<Array> all = all_of(o);
            for (std::size_t i = 0; i < all.size(); ++i)
              if (is_real(all[i].dtype()) && !truth.explains(i, all[i])) return false;
            return true;
          })));
    if (doubt.empty() && truth.ill_conditioned(part)) doubt = name_of_part(traced, part);
  }
  if (doubt.empty()) return "checked: results and gradients are as near to those of f64 as a tape's";
  return "ill-conditioned, not decided: rounding alone moves " + doubt +
         " by more than a hundredth, or to other indices";
}

namespace {

std::uint64_t mixed(std::uint64_t h, std::uint64_t x) {
  h = (h ^ x) * 0x9e3779b97f4a7c15u;
  return h ^ h >> 29;
}

std::uint64_t text_hash(std::string_view text) { return std::hash<std::string_view>()(text); }

}  // namespace

std::uint64_t kind_of(const Graph& g) {
  std::vector<std::uint64_t> scopes(g.store->scopes.size(), 0);
  for (std::size_t s = 1; s < scopes.size(); ++s) {
    const auto& scope = g.store->scopes[s];
    scopes[s] = mixed(scopes[scope.parent], text_hash(g.store->scope_names[scope.name]));
  }
  std::vector<std::uint64_t> own(g.size()), kinds;
  for (NodeId i = 0; i < g.size(); ++i) {
    const Node& n = g.nodes[i];
    std::uint64_t h = mixed(scopes[n.scope], text_hash(n.info->name) + (n.backward ? 1 : 0));
    h = mixed(h, static_cast<std::uint64_t>(n.dtype) * 16 + static_cast<std::uint64_t>(n.shape.rank()));
    for (Index d : n.shape) h = mixed(h, static_cast<std::uint64_t>(std::min<Index>(d, 2)));
    if (n.role == Role::parameter) h = mixed(h, n.leaf);
    own[i] = h;
    std::vector<std::uint64_t> inputs;  // each once: how many steps are summed or put together does not matter
    for (NodeId in : g.in(i)) inputs.push_back(own[in]);
    inputs.erase(std::unique(inputs.begin(), inputs.end()), inputs.end());
    for (std::uint64_t in : inputs) h = mixed(h, in);
    kinds.push_back(h);
  }
  std::sort(kinds.begin(), kinds.end());
  kinds.erase(std::unique(kinds.begin(), kinds.end()), kinds.end());
  std::uint64_t all = g.outputs.size();
  for (std::uint64_t k : kinds) all = mixed(all, k);
  return all;
}

}  // namespace rw::ir
