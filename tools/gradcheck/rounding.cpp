#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include <rewind/autograd/backward.h>
#include <rewind/core/error.h>
#include <rewind/core/random.h>
#include <rewind/tools/gradcheck/gradcheck.h>
#include <rewind/tools/gradcheck/node.h>

namespace rw {
namespace {

constexpr double unit = 0x1p-24;       // half an ulp of 1 in f32
constexpr double smallest = 0x1p-126;  // below it f32 loses digits
constexpr int perturbations = 8;
constexpr double nudge = 0x1p-20;

/// A node of the f32 tape, computed in f64 from the inputs that it has there.
class Replay {
 public:
  Replay(const Tape& tape, NodeId id)
      : node_(tape.node(id)), y_(node_.shape, DType::f64), size_(node_.shape, DType::f64) {
    for (NodeId in : node_.in()) {
      const Array x(tape.node(in).value());
      inputs_.push_back(is_real(x.dtype()) ? x.to(DType::f64) : x);
    }
    evaluate(inputs_, y_);
    measure(id);
  }

  double value(std::size_t k) const { return y_.span<double>()[k]; }

  // Each of an op's roundings is relative to its result, or to a partial sum of its terms: as if every input were a
  // rounding off. Where terms are added, the error grows with the root of their number.
  double bound(std::size_t k) const {
    return 8 * unit * (std::fabs(value(k)) + size_.span<double>()[k] * (1 + std::sqrt(terms()))) + smallest;
  }

 private:
  void evaluate(const std::vector<Array>& x, Array& y) const {
    const std::vector<ConstView> in(x.begin(), x.end());
    detail::evaluate_op(*node_.info, node_.op, in, y.view());
  }

  // How far y moves, per relative change of the inputs: the largest of some changes with random signs.
  void measure(NodeId id) {
    Rng rng = Rng(1).split(id);
    Array moved_y(node_.shape, DType::f64);
    for (int p = 0; p < perturbations; ++p) {
      std::vector<Array> moved = inputs_;
      for (Array& x : moved)
        if (is_real(x.dtype()))
          for (double& e : x.span<double>()) e *= rng.uniform() < 0.5 ? 1 - nudge : 1 + nudge;
      evaluate(moved, moved_y);
      for (std::size_t k = 0; k < size_.span<double>().size(); ++k) {
        const double change = std::fabs(moved_y.span<double>()[k] - value(k)) / nudge;
        size_.span<double>()[k] = std::max(size_.span<double>()[k], change);
      }
    }
  }

  // Terms that an element may be the sum of: for a product of matrices, the inner length.
  double terms() const {
    if (node_.info->elementwise != nullptr) return 1;
    const auto out = static_cast<double>(std::max<Index>(node_.shape.size(), 1));
    double n = 1, product = 1;
    for (const Array& x : inputs_) {
      n = std::max(n, static_cast<double>(x.size()) / out);
      product *= static_cast<double>(x.size());
    }
    return inputs_.size() == 2 ? std::max(n, std::sqrt(product / out)) : n;
  }

  const Node& node_;
  std::vector<Array> inputs_;
  Array y_, size_;
};

void check_node(const Tape& tape, NodeId id, RoundingReport& report) {
  const Node& n = tape.node(id);
  const Replay replay(tape, id);
  const Array y(n.value());
  double worst = 0;
  std::size_t where = 0;
  for (std::size_t k = 0; k < y.span<float>().size(); ++k) {
    const double f32 = y.span<float>()[k], f64 = replay.value(k);
    if (std::isnan(f32) && std::isnan(f64)) continue;
    if (f32 == f64 || static_cast<float>(f64) == y.span<float>()[k]) continue;
    const double off = std::fabs(f32 - f64) / replay.bound(k);
    if (off <= worst) continue;
    worst = std::isnan(off) ? INFINITY : off;
    where = k;
  }
  if (worst > report.worst) {
    report.worst = worst;
    report.worst_node = detail::node_text(tape, id);
  }
  if (worst <= 1) return;
  const double f32 = y.span<float>()[where], f64 = replay.value(where), bound = replay.bound(where);
  report.faults.push_back(
      {.node = id,
       .op = std::string(n.info->name),
       .scope = tape.scope_path(n.scope),
       .element = static_cast<Index>(where),
       .f32 = f32,
       .f64 = f64,
       .bound = bound,
       .text = fmt::format("{}: element {} is {:.9g} in f32 and {:.12g} in f64, {:.1e} apart; rounding explains {:.1e}",
                           detail::node_text(tape, id), where, f32, f64, std::fabs(f32 - f64), bound)});
}

// The function, and its gradient with respect to every parameter that needs one.
void record_with_gradient(Tape& tape, const std::function<Tensor(Tape&)>& function, const CheckedParameters& list) {
  const Tensor y = function(tape);
  if (&y.tape() != &tape) throw Error("gradcheck: the function must record on the tape that it is given");
  std::vector<Operand> x;
  for (const auto& item : list.items())
    if (tape.leaf(*item.parameter).needs_grad()) x.emplace_back(*item.parameter);
  if (x.empty()) throw Error("gradcheck: every parameter is frozen, so there is no gradient to replay");
  grad(y, x, {.cotangent = tape.constant(detail::projection(y.shape(), 1, 0))});
}

}  // namespace

RoundingReport check_rounding(const std::function<Tensor(Tape&)>& function, const CheckedParameters& parameters) {
  if (parameters.items().empty()) throw Error("gradcheck: no parameters to check: pass module.parameters()");
  Tape tape(DType::f32);
  record_with_gradient(tape, function, parameters);
  RoundingReport report;
  report.nodes = tape.size();
  for (NodeId i = 0; i < tape.size(); ++i) {
    const Node& n = tape.node(i);
    if (n.role == Role::op && n.dtype == DType::f32 && n.shape.size() > 0) check_node(tape, i, report);
  }
  return report;
}

}  // namespace rw
