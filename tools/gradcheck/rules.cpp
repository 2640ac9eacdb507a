#include <algorithm>
#include <cmath>
#include <set>

#include <fmt/format.h>

#include <rewind/core/error.h>
#include <rewind/core/random.h>
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

std::size_t at(Index i) { return static_cast<std::size_t>(i); }

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

}  // namespace

Located check_rules(const Tape& tape, NodeId root, std::uint64_t seed) {
  Located out;
  const std::vector<bool> used = ancestors(tape, root);
  std::set<const OpInfo*> guilty;  // one fault for each op is enough
  for (NodeId i = 0; i <= root; ++i) {
    const Node& n = tape.node(i);
    if (!used[i] || n.role != Role::op || !is_real(n.dtype) || guilty.contains(n.info)) continue;
    const bool needs = std::any_of(n.in().begin(), n.in().end(), [&](NodeId in) { return tape.node(in).needs_grad; });
    if (needs && n.shape.size() > 0 && !RuleCheck(tape, i, seed, out).run()) guilty.insert(n.info);
  }
  return out;
}

Located locate_faults(Tape& tape, NodeId root, std::uint64_t seed) {
  Located out = check_rules(tape, root, seed);
  for (GradFault& edge : check_edges(tape, root)) out.faults.push_back(std::move(edge));
  return out;
}

}  // namespace rw::detail
