#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include <rewind/core/error.h>
#include <rewind/core/reduce.h>
#include <rewind/tools/gradcheck/locate.h>
#include <rewind/tools/gradcheck/node.h>

namespace rw::detail {
namespace {

constexpr double tolerance = 1e-9;  // of the largest term; sums in another order differ by some 1e-15

double largest(const Array& a) {
  double m = 0;
  for (double x : a.span<double>()) m = std::max(m, std::fabs(x));
  return m;
}

/// The sum over a node's consumers, against the gradient that backward has left there.
struct NodeSum {
  std::optional<Array> sum;
  double largest_term = 0;
  std::vector<std::pair<NodeId, int>> consumers;  // node, input
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
    if (!sums_[id].sum.has_value() || explained(id, nullptr, 0)) return;
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

}  // namespace

std::vector<GradFault> check_edges(Tape& tape, NodeId root) {
  try {
    return EdgeCheck(tape, root).run();
  } catch (const Error&) {
    return {};  // a rule throws; check_rules names it
  }
}

}  // namespace rw::detail
