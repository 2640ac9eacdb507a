#include <algorithm>
#include <cmath>
#include <set>

#include <fmt/format.h>

#include <rewind/autograd/structural.h>
#include <rewind/core/error.h>
#include <rewind/core/random.h>
#include <rewind/core/reduce.h>
#include <rewind/tools/gradcheck/judge.h>
#include <rewind/tools/gradcheck/locate.h>
#include <rewind/tools/gradcheck/node.h>

namespace rw::detail {
namespace {

constexpr Index elements_one_by_one = 24;  // of a node's input; larger ones are sampled
constexpr int directions = 2;

using Path = LoneNode::Path;
constexpr Path paths[] = {Path::plain, Path::adding, Path::recorded};
constexpr std::string_view path_names[] = {"plain backward", "plain backward that adds to a gradient", "recorded grad"};

/// The check of one node's rule.
class RuleCheck {
 public:
  RuleCheck(const Tape& tape, NodeId id, std::uint64_t seed, Located& out)
      : tape_(tape),
        id_(id),
        node_(tape, id),
        w_(projection(tape.node(id).shape, seed, id)),
        rng_(Rng(seed).split(id)),
        out_(out),
        cut_(is_cut(tape, id)) {}

  // Whether it is right.
  bool run() {
    try {
      for (Path path : paths) analytic_.push_back(node_.gradients(w_, path));
    } catch (const Error& e) {
      fault(0, fmt::format("its rule throws: {}", e.what()));
      return false;
    }
    for (std::size_t i = 0; i < node_.inputs(); ++i)
      if (node_.needs(i) && node_.input(i).size() > 0 && !check_input(i)) return false;
    return true;
  }

 private:
  bool check_input(std::size_t i);
  bool judge_along(std::size_t i, const std::vector<double>& v, double step, std::string_view what);
  void fault(std::size_t input, const std::string& why) {
    const Node& n = tape_.node(id_);
    out_.faults.push_back({.kind = GradFault::Kind::rule,
                           .op = std::string(n.info->name),
                           .scope = tape_.scope_path(n.scope),
                           .node = id_,
                           .input = static_cast<int>(input),
                           .text = node_text(tape_, id_) + ": " + why});
  }

  const Tape& tape_;
  NodeId id_;
  LoneNode node_;
  Array w_;
  Rng rng_;
  Located& out_;
  bool cut_;  // held constant: its gradient is zero
  std::vector<std::vector<std::optional<Array>>> analytic_;
};

bool RuleCheck::check_input(std::size_t i) {
  const auto x = node_.input(i).span<double>();
  const Index n = node_.input(i).size();
  const double rms = root_mean_square(x);
  std::vector<double> v(x.size(), 0.0);
  std::set<Index> elements;
  for (Index k = 0; k < std::min(n, elements_one_by_one); ++k)
    elements.insert(n <= elements_one_by_one ? k : rng_.below(n));
  for (Index k : elements) {
    v[at(k)] = 1;
    if (!judge_along(i, v, natural_step(x[at(k)], rms), fmt::format("element {}", k))) return false;
    v[at(k)] = 0;
  }
  for (int d = 0; d < directions && n > elements_one_by_one; ++d) {
    for (double& e : v) e = std::ldexp(rng_.uniform() < 0.5 ? -1.0 : 1.0, -static_cast<int>(rng_.below(3)));
    const double step = natural_step(0, rms) * power_of_two(1 / std::sqrt(static_cast<double>(n)));
    if (!judge_along(i, v, step, "a random direction")) return false;
  }
  return true;
}

bool RuleCheck::judge_along(std::size_t i, const std::vector<double>& v, double step, std::string_view what) {
  Array moved = node_.input(i);
  const Line line = [&](double t) {
    const std::span<const double> from = node_.input(i).span<double>();
    const std::span<double> to = moved.span<double>();
    for (std::size_t k = 0; k < v.size(); ++k) to[k] = from[k] + t * v[k];
    return node_.value(i, cut_ ? node_.input(i) : moved, w_.span<double>());
  };
  double analytic[std::size(paths)] = {}, scale = 0;
  for (std::size_t p = 0; p < std::size(paths); ++p) {
    const auto g = analytic_[p][i]->span<double>();
    for (std::size_t k = 0; k < v.size(); ++k) analytic[p] += g[k] * v[k];
    for (double e : g) scale = std::max(scale, std::fabs(e));
  }
  const double f0 = line(0);
  const Answer a = judge({.line = line,
                          .f0 = f0,
                          .analytic = analytic,
                          .step = step,
                          .noise = noise_of(line, step * 0x1p-3),
                          .scale = scale,
                          .reach = std::max(scale * step, std::fabs(f0))});
  if (a.verdict == Verdict::kink) {
    out_.kinks.push_back(fmt::format("{}: input {}, {}", node_text(tape_, id_), i, what));
    return true;
  }
  if (a.verdict != Verdict::wrong) return true;
  fault(i, fmt::format("its rule for input {} gives {:.9g} for {}, finite differences give {:.9g} +- {:.1g} ({})", i,
                       analytic[a.worst], what, a.numeric, a.bound, path_names[a.worst]));
  return false;
}

/// Recorded under NoGrad: no rule runs.
bool without_gradient(const Tape& tape, NodeId i) { return is_cut(tape, i) && tape.node(i).info->name != Detach::name; }

Located check_rules(const Tape& tape, NodeId root, std::uint64_t seed) {
  Located out;
  const std::vector<bool> used = ancestors(tape, root);
  std::set<const OpInfo*> guilty;  // one fault for each op is enough
  for (NodeId i = 0; i <= root; ++i) {
    const Node& n = tape.node(i);
    if (!used[i] || n.role != Role::op || !is_real(n.dtype) || guilty.contains(n.info)) continue;
    const bool needs = std::any_of(n.in().begin(), n.in().end(), [&](NodeId in) { return tape.node(in).needs_grad; });
    if (!needs || n.shape.size() == 0 || without_gradient(tape, i)) continue;
    if (has_own_rule(n))
      out.own_rules.push_back(i);
    else if (!RuleCheck(tape, i, seed, out).run())
      guilty.insert(n.info);
  }
  return out;
}

// ---- Edges

constexpr double tolerance = 1e-9;  // of the largest term; sums in another order differ by some 1e-15

/// The sum over a node's consumers, against the gradient that backward has left there.
struct NodeSum {
  std::optional<Array> sum;
  double largest_term = 0;
  std::vector<std::pair<NodeId, int>> consumers;  // node, input
  bool incomplete = false;                        // an own rule adds to it
};

class EdgeCheck {
 public:
  EdgeCheck(Tape& tape, NodeId root) : tape_(tape), root_(root), sums_(root + 1) {}

  std::vector<GradFault> run() {
    for (NodeId i = root_ + 1; i-- > 0;) {
      if (i != root_) check(i);
      sums_[i] = {};
      if (tape_.node(i).role == Role::op && kept(i)) distribute(i);
    }
    std::reverse(out_.begin(), out_.end());
    return std::move(out_);
  }

 private:
  bool kept(NodeId i) const { return tape_.has_grad(tape_.tensor(i)); }
  std::vector<std::optional<Array>> contributions(NodeId consumer) const {
    return LoneNode(tape_, consumer).gradients(Array(tape_.grad(tape_.tensor(consumer))), LoneNode::Path::plain);
  }

  void distribute(NodeId consumer) {
    if (has_own_rule(tape_.node(consumer))) {  // what it adds is known to its tape alone
      for (NodeId in : tape_.node(consumer).in()) sums_[in].incomplete = true;
      return;
    }
    const std::vector<std::optional<Array>> parts = contributions(consumer);
    for (std::size_t k = 0; k < parts.size(); ++k) {
      if (!parts[k].has_value()) continue;
      NodeSum& to = sums_[tape_.node(consumer).input[k]];
      if (!to.sum.has_value()) to.sum = Array(parts[k]->shape(), DType::f64);
      add_into(*parts[k], to.sum->view());
      to.largest_term = std::max(to.largest_term, largest(*parts[k]));
      to.consumers.emplace_back(consumer, static_cast<int>(k));
    }
  }

  // |kept - sum - sign * part| is rounding.
  bool explained(NodeId id, const Array* part, double sign) const {
    const NodeSum& s = sums_[id];
    const Array g = kept(id) ? Array(tape_.grad(tape_.tensor(id))) : Array(tape_.node(id).shape, DType::f64);
    const double allowed = tolerance * std::max(s.largest_term, largest(g));
    for (std::size_t k = 0; k < g.span<double>().size(); ++k) {
      const double difference =
          g.span<double>()[k] - s.sum->span<double>()[k] - (part == nullptr ? 0 : sign * part->span<double>()[k]);
      if (!(std::fabs(difference) <= allowed)) return false;
    }
    return true;
  }

  void check(NodeId id) {
    if (!sums_[id].sum.has_value() || sums_[id].incomplete || explained(id, nullptr, 0)) return;
    for (const auto& [consumer, input] : sums_[id].consumers) {
      const Array part = *contributions(consumer)[static_cast<std::size_t>(input)];
      if (explained(id, &part, -1)) return fault(id, consumer, input, "is lost");
      if (explained(id, &part, 1)) return fault(id, consumer, input, "is there twice");
    }
    fault(id, sums_[id].consumers.front().first, sums_[id].consumers.front().second,
          "or another consumer's does not arrive as its rule gives it");
  }

  void fault(NodeId id, NodeId consumer, int input, std::string_view what) {
    const Node& n = tape_.node(consumer);
    out_.push_back({.kind = GradFault::Kind::edge,
                    .op = std::string(n.info->name),
                    .scope = tape_.scope_path(n.scope),
                    .node = consumer,
                    .input = input,
                    .from = id,
                    .text = fmt::format("edge from {} to input {} of {}: its contribution to the gradient {}",
                                        node_text(tape_, id), input, node_text(tape_, consumer), what)});
  }

  Tape& tape_;
  NodeId root_;
  std::vector<NodeSum> sums_;
  std::vector<GradFault> out_;
};

std::vector<GradFault> check_edges(Tape& tape, NodeId root) {
  try {
    return EdgeCheck(tape, root).run();
  } catch (const Error&) {
    return {};  // a rule throws; check_rules names it
  }
}

}  // namespace

Located locate_faults(Tape& tape, NodeId root, std::uint64_t seed) {
  Located out = check_rules(tape, root, seed);
  for (GradFault& edge : check_edges(tape, root)) out.faults.push_back(std::move(edge));
  return out;
}

}  // namespace rw::detail
