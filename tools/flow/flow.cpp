#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include <rewind/autograd/backward.h>
#include <rewind/autograd/structural.h>
#include <rewind/core/error.h>
#include <rewind/core/random.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/reduce.h>
#include <rewind/tools/flow/flow.h>
#include <rewind/tools/flow/jacobian.h>
#include <rewind/tools/graph/parameter_labels.h>

namespace rw {
namespace {

using State = FlowCell::State;
using detail::Jacobian;
using detail::ones_in_column;

double norm(ConstView view) {
  const Array a = Array(view).to(DType::f64);
  double squares = 0;
  for (double x : a.span<double>()) squares += x * x;
  return std::sqrt(squares);
}

/// The largest of the spectral norms of matrices [..., m, n].
double largest_norm(ConstView matrices) {
  const Array all = Array(matrices).to(DType::f64);
  const Index m = matrices.shape[matrices.shape.rank() - 2], n = matrices.shape[matrices.shape.rank() - 1];
  double largest = 0;
  for (Index i = 0; i + m * n <= all.size(); i += m * n) {
    const void* const matrix = all.span<double>().data() + i;
    largest = std::max(largest, spectral_norm(contiguous_view(matrix, {m, n}, DType::f64)));
  }
  return largest;
}

Index width_of(const State& state) {
  Index width = 0;
  for (const Tensor& t : state) width += t.size() / t.size(0);
  return width;
}

std::vector<Array> arrays(const State& state) {
  std::vector<Array> out;
  for (const Tensor& t : state) out.push_back(t.array());
  return out;
}

State variables(Tape& tape, const std::vector<Array>& values) {
  State out;
  for (const Array& a : values) out.push_back(tape.variable(a));
  return out;
}

/// Nodes of their own with the same values: what flows into them comes from later steps alone.
State handed_on(const State& state) {
  State out;
  for (const Tensor& t : state) out.push_back(record(Reshape{t.shape()}, {t}));
  return out;
}

/// Step t of a sequence [T, N, in], as a constant.
Tensor input_at(Tape& tape, const Array& x, Index t) {
  const Shape shape = x.shape().without(0);
  const auto* first =
      static_cast<const std::byte*>(x.view().data) + static_cast<std::size_t>(t * shape.size()) * size_of(x.dtype());
  return tape.constant(contiguous_view(static_cast<const void*>(first), shape, x.dtype()));
}

/// Measures one cell on one sequence.
class Flow {
 public:
  Flow(const FlowCell& cell, ConstView x, const FlowOptions& options)
      : cell_(cell), x_(x), options_(options), tape_(DType::f64), one_(DType::f64) {
    report_.cell = cell.name;
    report_.steps = steps_ = x.shape[0];
  }

  FlowReport run() {
    unroll();
    loss_gradient();
    carried();
    for (Index t = 1; t <= steps_; ++t) single_step(t);
    check_parameters();
    return std::move(report_);
  }

 private:
  void unroll() {
    states_.push_back(variables(tape_, arrays(cell_.zero_state(tape_, x_.shape()[1]))));
    for (Index t = 0; t < steps_; ++t) {
      states_.push_back(handed_on(cell_.step(input_at(tape_, x_, t), states_.back(), t)));
      outputs_.push_back(cell_.output(states_.back()));
    }
    const State& last = states_.back();
    const auto at = std::find_if(last.begin(), last.end(), [&](const Tensor& t) { return t.same(outputs_.back()); });
    const bool hands_on_output = at != last.end() && is_used(states_[0][static_cast<std::size_t>(at - last.begin())]);
    first_ = hands_on_output ? static_cast<std::size_t>(at - last.begin()) : 0;
    count_ = hands_on_output ? 1 : last.size();
  }

  bool is_used(const Tensor& t) const {
    for (NodeId i = tape_.id(t) + 1; i < tape_.size(); ++i)
      for (NodeId in : tape_.node(i).in())
        if (in == tape_.id(t)) return true;
    return false;
  }

  /// The part of state t that is h_t.
  State hidden(Index t) const {
    const auto from = states_[static_cast<std::size_t>(t)].begin() + static_cast<std::ptrdiff_t>(first_);
    return {from, from + static_cast<std::ptrdiff_t>(count_)};
  }

  Tensor loss_of_outputs() const {
    if (options_.loss) return options_.loss(outputs_);
    Rng rng(1);
    const Tensor y = outputs_.back();
    Array weights(y.shape(), DType::f64);
    for (double& w : weights.span<double>()) w = rng.normal();
    return sum(y * y.tape().constant(weights));
  }

  void loss_gradient() {
    const Tensor loss = loss_of_outputs();
    if (loss.size() != 1)
      throw Error("flow: the loss has shape " + loss.shape().str() + ": reduce it to a scalar, with sum or mean");
    if (!loss.needs_grad()) throw Error("flow: the loss depends on nothing that needs a gradient");
    Gradients unused;
    backward(loss, unused, {.keep_grads = true});
    for (Index t = 0; t <= steps_; ++t) {
      double squares = 0;
      for (const Tensor& h : hidden(t)) squares += tape_.has_grad(h) ? std::pow(norm(tape_.grad(h)), 2) : 0;
      report_.loss_gradient.push_back(std::sqrt(squares));
      std::vector<Array> incoming;
      for (const Tensor& s : states_[static_cast<std::size_t>(t)])
        incoming.push_back(tape_.has_grad(s) ? Array(tape_.grad(s)) : Array(s.shape(), DType::f64));
      incoming_.push_back(std::move(incoming));
    }
  }

  void carried() {
    const State last = hidden(steps_);
    const Index width = width_of(last), batch = x_.shape()[1];
    std::vector<Jacobian> jacobians(static_cast<std::size_t>(steps_ + 1), Jacobian(batch, width, width));
    Index row = 0;
    for (const Tensor& y : last)
      for (Index i = 0; i < y.size() / batch; ++i, ++row) {
        Gradients unused;
        const TapeMark mark = tape_.mark();
        backward(y, unused, {.cotangent = tape_.constant(ones_in_column(y.shape(), i)), .keep_grads = true});
        for (Index t = 0; t <= steps_; ++t) jacobians[static_cast<std::size_t>(t)].set_row(row, tape_, hidden(t));
        tape_.rewind(mark);
      }
    for (const Jacobian& j : jacobians) report_.carried.push_back(j.mean_norm());
  }

  /// Step t once more, on a tape of its own.
  void single_step(Index t) {
    one_.clear();
    const State before = variables(one_, arrays(states_[static_cast<std::size_t>(t - 1)]));
    const NodeId first = one_.size();
    const State after = cell_.step(input_at(one_, x_, t - 1), before, t - 1);
    const NodeId end = one_.size();
    saturation(first, end);
    if (t == 1) recurrent_matrices(first, end, before);
    jacobian_of_step(before, after);
    contributions_of_step(t, end, after);
  }

  void jacobian_of_step(const State& before, const State& after) {
    const Index batch = x_.shape()[1];
    Jacobian jacobian(batch, width_of(after), width_of(before));
    Index row = 0;
    for (const Tensor& y : after)
      for (Index i = 0; i < y.size() / batch; ++i, ++row) {
        if (!y.needs_grad()) continue;
        const TapeMark mark = one_.mark();
        Gradients unused;
        backward(y, unused, {.cotangent = one_.constant(ones_in_column(y.shape(), i)), .keep_grads = true});
        jacobian.set_row(row, one_, before);
        one_.rewind(mark);
      }
    report_.step_jacobian.push_back(jacobian.mean_norm());
  }

  void contributions_of_step(Index t, NodeId end, const State& after) {
    Gradients sum;
    for (std::size_t k = 0; k < after.size(); ++k) {
      if (!after[k].needs_grad()) continue;
      const TapeMark mark = one_.mark();
      const Array& flowing = incoming_[static_cast<std::size_t>(t)][k];
      backward(after[k], sum, {.cotangent = one_.constant(flowing)});
      one_.rewind(mark);
    }
    for (NodeId i = 0; i < end; ++i) {
      const Node& n = one_.node(i);
      if (n.role != Role::parameter) continue;
      const std::shared_ptr<Parameter::Data> p = one_.parameter_of(n);
      if (!wanted(p.get())) continue;
      std::vector<double>& by_step = report_.contributions[label(n)];
      by_step.resize(static_cast<std::size_t>(steps_));
      by_step[static_cast<std::size_t>(t - 1)] = norm(sum.sum(p));
      used_.insert(p.get());
    }
  }

  const std::string& label(const Node& parameter) {
    return labels_.of(*one_.parameter_of(parameter), one_.scope_path(parameter.scope));
  }

  bool wanted(const Parameter::Data* p) {
    if (options_.parameters.empty()) return true;
    for (const Parameter* q : options_.parameters)
      if (q->data().get() == p) return true;
    return false;
  }

  void check_parameters() const {
    for (const Parameter* p : options_.parameters)
      if (!used_.contains(p->data().get()))
        throw Error("flow: parameter '" + p->name() + "' is not on the tape: no step of " + cell_.name + " uses it");
  }

  void saturation(NodeId first, NodeId end) {
    std::map<std::string, int> count;
    for (NodeId i = first; i < end; ++i) {
      const Node& n = one_.node(i);
      const std::string op(n.info->name);
      const bool sigmoid = op == "sigmoid";
      if (!sigmoid && op != "tanh") continue;
      const Array y = Array(n.value()).to(DType::f64);
      double low = 0, high = 0;
      for (double v : y.span<double>()) {
        low += v < (sigmoid ? 0.1 : -0.9) ? 1 : 0;
        high += v > 0.9 ? 1 : 0;
      }
      FlowReport::Saturation& s = report_.saturation[op + " " + std::to_string(++count[op])];
      s.low.push_back(low / static_cast<double>(y.size()));
      s.high.push_back(high / static_cast<double>(y.size()));
    }
  }

  /// What this is a part of: a cell may multiply with some columns of a matrix.
  NodeId whole(NodeId part) const {
    while (one_.node(part).info == &op_info<Slice>()) part = one_.node(part).input[0];
    return part;
  }

  /// Matrices that meet something which depends on the state.
  void recurrent_matrices(NodeId first, NodeId end, const State& before) {
    std::vector<bool> depends(end);
    for (const Tensor& s : before) depends[one_.id(s)] = true;
    for (NodeId i = first; i < end; ++i) {
      const Node& n = one_.node(i);
      for (NodeId in : n.in()) depends[i] = depends[i] || depends[in];
      if (!depends[i]) continue;
      for (NodeId in : n.in()) {
        const Node& p = one_.node(whole(in));
        if (p.role == Role::parameter && p.shape.rank() == 2)
          report_.recurrent[label(p)] = spectral_norm(p.value());
        else if (n.info->name == "matmul" && !depends[in])
          made_matrix(in);
      }
    }
  }

  /// A matrix that a step makes of a parameter: with a mask, or cut into blocks.
  void made_matrix(NodeId matrix) {
    NodeId at = matrix;
    while (one_.node(at).role == Role::op && !one_.node(at).in().empty()) at = one_.node(at).input[0];
    const Node& parameter = one_.node(at);
    if (parameter.role == Role::parameter && parameter.shape.rank() == 2)
      keep_largest(label(parameter), largest_norm(one_.node(matrix).value()));
  }

  // Of several pieces, which a step multiplies with one by one.
  void keep_largest(const std::string& name, double norm) {
    double& known = report_.recurrent[name];
    known = std::max(known, norm);
  }

  const FlowCell& cell_;
  Array x_;
  const FlowOptions& options_;
  Tape tape_, one_;
  Index steps_ = 0;
  std::vector<State> states_;  // 0..T
  std::vector<Tensor> outputs_;
  std::size_t first_ = 0, count_ = 0;         // the tensors of the state that are h
  std::vector<std::vector<Array>> incoming_;  // dL/ds_t from later steps, 0..T
  std::set<const Parameter::Data*> used_;
  detail::ParameterLabels labels_;
  FlowReport report_;
};

}  // namespace

FlowReport flow(const FlowCell& cell, ConstView x, const FlowOptions& options) {
  if (x.shape.rank() < 2 || x.shape[0] < 1 || x.shape[1] < 1)
    throw Error("flow: x is [T, N, features] with at least one step and one sequence, not " + x.shape.str());
  return Flow(cell, x, options).run();
}

double FlowReport::rate() const {
  if (carried.size() < 2) return 1;
  const double grown = carried.front() / carried.back();
  if (std::isnan(grown)) return std::numeric_limits<double>::infinity();
  return std::pow(grown, 1 / static_cast<double>(carried.size() - 1));
}

std::string FlowReport::verdict() const {
  const double r = rate();
  return r < 0.97 ? "vanishing" : r > 1.03 ? "exploding" : "carried";
}

}  // namespace rw
