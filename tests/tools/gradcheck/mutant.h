#pragma once

// Gradient rules broken on purpose. A node is data, so a test can record a graph and then give some of its nodes
// another rule, without the engine's knowledge.

#include <optional>
#include <string>
#include <vector>

#include <rewind/autograd/backward.h>
#include <rewind/autograd/detail/sweep.h>
#include <rewind/autograd/detail/tape_data.h>
#include <rewind/core/broadcast_loop.h>
#include <rewind/ops/ops.h>

namespace rw::test {

enum class Fault {
  sign,        // the gradient of the input times -1
  factor,      // times 1.01
  drop,        // left out
  reorder,     // transposed when it is square, else in another order
  forgotten,   // dy itself: the local derivative left out
  swap,        // what belongs to another input of the same shape
  no_sum,      // the first part of a broadcast's gradient in place of the sum
  shift,       // a slice of the gradient put one position off
  swap_parts,  // the gradients of the first two parts of a split exchanged
  twice,       // added two times
  spurious,    // an op without a gradient lets dy through
  negative,    // the same with the wrong sign
  half,        // half of dy
  hundredth,   // a hundredth of dy
};

inline std::string name_of(Fault f) {
  constexpr const char* names[] = {"sign",
                                   "factor 1.01",
                                   "dropped",
                                   "transposed",
                                   "factor dropped",
                                   "swapped",
                                   "no broadcast sum",
                                   "shifted",
                                   "first two parts swapped",
                                   "twice",
                                   "let through",
                                   "let through, negative",
                                   "let through, half",
                                   "let through, a hundredth"};
  return names[static_cast<int>(f)];
}

/// Where in the engine the rule is broken.
enum class Where {
  everywhere,
  loops,          // the vector loops of plain backward alone
  recorded,       // the rule for `grad` alone
  in_large_graph  // only on tapes of many nodes: the rule is right when it is tried by itself, the engine loses it
};

struct Mutation {
  const OpInfo* original = nullptr;
  Fault fault = Fault::sign;
  int input = 0;
  Where where = Where::everywhere;
  NodeId node = no_node;  // only this node of the graph

  std::string str() const {
    return std::string(original->name) + ", input " + std::to_string(input) + ": " + name_of(fault) +
           (where == Where::loops      ? " (loops)"
            : where == Where::recorded ? " (recorded)"
                                       : "");
  }
};

/// The mutation that is on trial. One at a time.
struct Trial {
  Mutation mutation;
  OpInfo info;
  ElementwiseFact fact;
  int fired = 0;
};
inline Trial& trial() {
  static Trial t;
  return t;
}

constexpr std::size_t large_graph = 40;  // nodes; a rule tried by itself has fewer

/// Between an op's own rule and the sweep: passes on what the rule adds, with one fault.
class MutantSweep final : public detail::Sweep {
 public:
  MutantSweep(detail::TapeData& tape, Vjp& outer, NodeId node) : Sweep(tape), outer_(outer), node_(node) {}

  void run() {
    const OpInfo* mutant = tape_.nodes[node_].info;
    tape_.nodes[node_].info = trial().mutation.original;
    try {
      run_rule(node_, outer_.dy());
    } catch (...) {
      tape_.nodes[node_].info = mutant;
      throw;
    }
    tape_.nodes[node_].info = mutant;
    for (std::size_t i = 0; i < parts_.size(); ++i) pass_on(input_of(i), parts_[i]);
  }
  bool wants(NodeId node) const override { return tape_.nodes[node].needs_grad; }

  void add(NodeId to, Tensor g) override {
    if (wants(to)) parts_.push_back({to, g});
  }
  void add_slice(NodeId to, Tensor g, int axis, Index start) override { parts_.push_back({to, g, axis, start}); }

 private:
  struct Part {
    NodeId to;
    Tensor g;
    int axis = -1;  // of a slice
    Index start = 0;
  };

  void pass_on(int i, const Part& part) {
    const auto as_it_is = [&](const Tensor& g) {
      if (part.axis < 0) return outer_.add(i, g);
      outer_.add_slice(i, g, part.axis, part.start);
    };
    if (i != trial().mutation.input || !in_scope()) return as_it_is(part.g);
    if (part.axis >= 0 && trial().mutation.fault == Fault::shift) return shift(i, part);
    if (part.axis >= 0 && trial().mutation.fault == Fault::swap_parts) return swap_parts(i, part);
    const std::optional<Tensor> changed = change(i, part.g);
    if (part.axis < 0 && trial().mutation.fault == Fault::swap && other(i) >= 0) return outer_.add(other(i), *changed);
    if (changed.has_value()) as_it_is(*changed);
  }
  void shift(int i, const Part& part) {
    const Index start = part.start, last = outer_.x(i).shape()[part.axis] - part.g.shape()[part.axis];
    if (last > 0) ++trial().fired;
    outer_.add_slice(i, part.g, part.axis, last == 0 ? start : start == last ? start - 1 : start + 1);
  }
  void swap_parts(int i, const Part& part) {
    const Index n = part.g.shape()[part.axis], start = part.start,
                other_start = start == 0   ? n
                              : start == n ? 0
                                           : start;
    const bool none = other_start == start || other_start + n > outer_.x(i).shape()[part.axis];
    if (!none) ++trial().fired;
    outer_.add_slice(i, part.g, part.axis, none ? start : other_start);
  }

  bool in_scope() const {
    const Mutation& m = trial().mutation;
    return m.where != Where::in_large_graph || tape_.nodes.size() > large_graph;
  }
  /// x * x takes one node twice: each contribution in turn. The order of sort(x, x) gets none: the last inputs do.
  int input_of(std::size_t part) const {
    const NodeId to = parts_[part].to;
    std::vector<int> taken;
    const auto in = tape_.nodes[node_].in();
    for (std::size_t i = 0; i < in.size(); ++i)
      if (in[i] == to) taken.push_back(static_cast<int>(i));
    if (taken.empty()) throw Error("a rule adds to what is no input");
    std::size_t all = 0, before = 0;
    for (std::size_t i = 0; i < parts_.size(); ++i) {
      all += parts_[i].to == to ? 1 : 0;
      before += parts_[i].to == to && i < part ? 1 : 0;
    }
    const std::size_t first = all < taken.size() ? taken.size() - all : 0;
    return taken[(first + before) % taken.size()];
  }
  int other(int i) const {
    for (int k = 0; k < outer_.inputs(); ++k)
      if (!outer_.x(k).same(outer_.x(i)) && outer_.needs(k) && outer_.x(k).shape() == outer_.x(i).shape()) return k;
    return -1;
  }

  // What is added in place of g, for input i; nothing when it is lost.
  std::optional<Tensor> change(int i, Tensor g) {
    const Shape to = outer_.x(i).shape();
    const auto fired = [&](Tensor t) {
      ++trial().fired;
      return t;
    };
    switch (trial().mutation.fault) {
      case Fault::sign: return fired(-g);
      case Fault::factor: return fired(g * 1.01);
      case Fault::drop: ++trial().fired; return std::nullopt;
      case Fault::reorder: {
        const Shape s = g.shape();
        const int r = s.rank();
        if (r >= 2 && s[r - 1] == s[r - 2] && s[r - 1] > 1) return fired(transpose(g));
        for (int axis = r; axis-- > 0;)
          if (s[axis] > 1) return fired(flip(g, axis));
        return g;
      }
      case Fault::twice: return fired(g * 2);
      case Fault::forgotten: return outer_.dy().shape() == g.shape() ? fired(outer_.dy()) : g;
      case Fault::swap: return other(i) >= 0 && g.shape() == to ? fired(g) : g;
      case Fault::no_sum: return g.shape() == to ? g : fired(first_part(g, to));
      default: return g;
    }
  }
  static Tensor first_part(Tensor g, const Shape& to) {
    while (g.shape().rank() > to.rank()) g = select(g, 0, 0);
    for (int axis = 0; axis < to.rank(); ++axis)
      if (g.shape()[axis] != to[axis]) g = slice(g, axis, 0, 1);
    return g;
  }

  Vjp& outer_;
  NodeId node_;
  std::vector<Part> parts_;
};

namespace detail {

inline void mutant_vjp(const void*, Vjp& g) {
  const NodeId node = g.y().index();
  MutantSweep(rw::detail::TapeData::of(g.y()), g, node).run();
}

inline void letting_through(const void*, Vjp& g) {
  const Mutation& m = trial().mutation;
  if (m.input >= g.inputs() || !g.needs(m.input)) return;
  ++trial().fired;
  const double factor = m.fault == Fault::negative    ? -1
                        : m.fault == Fault::half      ? 0.5
                        : m.fault == Fault::hundredth ? 0.01
                                                      : 1;
  g.add(m.input, g.dy() * factor);
}

inline void original_eval(const void* op, std::span<const ConstView> x, View y) {
  broadcast_loop(trial().mutation.original->elementwise->value, op, x, y);
}

inline double loop_factor() { return trial().mutation.fault == Fault::sign ? -1 : 1.01; }
inline void mutant_gradient(const void* fn, Index n, const double* const* x, double* y) {
  ++trial().fired;
  trial().mutation.original->elementwise->gradient[trial().mutation.input].f64(fn, n, x, y);
  for (Index i = 0; i < n; ++i) y[i] *= loop_factor();
}
inline void mutant_accumulate(const void* fn, Index n, const double* const* x, double* y) {
  ++trial().fired;
  const int arity = trial().mutation.original->elementwise->arity;
  std::vector<double> before(x[arity + 2], x[arity + 2] + n), g(static_cast<std::size_t>(n));
  trial().mutation.original->elementwise->gradient[trial().mutation.input].f64(fn, n, x, g.data());
  for (std::size_t i = 0; i < g.size(); ++i) y[i] = before[i] + loop_factor() * g[i];
}

}  // namespace detail

/// Makes `mutation` the one on trial.
inline void begin_trial(const Mutation& mutation) {
  Trial& t = trial();
  t = {mutation, *mutation.original, {}, 0};
  if (mutation.fault >= Fault::spurious) {
    t.info.vjp = detail::letting_through;
    if (t.info.elementwise != nullptr) t.info.eval = detail::original_eval;
    t.info.strided_inputs = t.info.strided_inputs || t.info.elementwise != nullptr;
    t.info.elementwise = nullptr;
  } else if (mutation.where == Where::loops) {
    t.fact = *mutation.original->elementwise;
    t.fact.passes_gradient &= ~(1u << mutation.input);
    t.fact.gradient[mutation.input].f64 = detail::mutant_gradient;
    t.fact.accumulate[mutation.input].f64 = detail::mutant_accumulate;
    t.info.elementwise = &t.fact;
  } else {
    t.info.vjp = detail::mutant_vjp;
    if (t.info.elementwise == nullptr || mutation.where == Where::recorded) return;
    t.info.elementwise = nullptr;  // so that plain backward asks the rule, too
    t.info.eval = detail::original_eval;
    t.info.strided_inputs = true;
  }
}

/// Gives the mutant's rule to the nodes of its op; returns how many.
inline int mutate(Tape& tape) {
  int changed = 0;
  const Mutation& m = trial().mutation;
  for (NodeId i = 0; i < tape.size(); ++i) {
    Node& n = tape.data().nodes[i];
    if (n.info != m.original || (m.node != no_node && m.node != i)) continue;
    n.info = &trial().info;
    ++changed;
    if (m.fault >= Fault::spurious)
      for (NodeId in : n.in()) n.needs_grad = n.needs_grad || tape.data().nodes[in].needs_grad;
  }
  return changed;
}

}  // namespace rw::test
