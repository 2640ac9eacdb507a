#include <algorithm>
#include <cmath>
#include <memory>
#include <utility>

#include <fmt/format.h>

#include <rewind/autograd/backward.h>
#include <rewind/autograd/detail/tape_data.h>
#include <rewind/core/error.h>
#include <rewind/tools/gradcheck/elements.h>
#include <rewind/tools/gradcheck/function.h>
#include <rewind/tools/gradcheck/gradcheck.h>
#include <rewind/tools/gradcheck/locate.h>
#include <rewind/tools/gradcheck/node.h>

namespace rw {
namespace {

using detail::CheckedFunction;

void report_cuts(CheckedFunction& f, GradReport& report) {
  const Tape& tape = f.tape();
  for (NodeId id : f.cuts()) {
    const Node& n = tape.node(id);
    report.cuts.push_back({.op = std::string(n.info->name),
                           .scope = tape.scope_path(n.scope),
                           .node = id,
                           .text = detail::node_text(tape, id)});
  }
}

// Rules and sums are right and nodes stand at kinks: where kinks cancel, as in relu(x) - relu(-x), no rule can know.
void call_kinks(GradReport& report) {
  constexpr auto wrong = static_cast<std::size_t>(Verdict::wrong), kink = static_cast<std::size_t>(Verdict::kink);
  for (GradParameter& p : report.parameters) p.counts[kink] += std::exchange(p.counts[wrong], 0);
  for (GradElement& e : report.worst)
    if (e.verdict == Verdict::wrong) e.verdict = Verdict::kink;
  report.verdict = Verdict::kink;
}

// Every op's rule is right, so that of a function with a rule of its own is not.
GradFault fault_of_own_rules(const Tape& tape, const std::vector<NodeId>& own_rules) {
  const NodeId first = own_rules.front();
  const Node& n = tape.node(first);
  const std::string others = own_rules.size() == 1 ? "" : fmt::format(", or of {} more like it", own_rules.size() - 1);
  return {
      .kind = GradFault::Kind::rule,
      .op = std::string(n.info->name),
      .scope = tape.scope_path(n.scope),
      .node = first,
      .text = fmt::format("{}{}: every op's rule is right, and the rule that was given for this function is not its "
                          "derivative",
                          detail::node_text(tape, first), others)};
}

void locate(CheckedFunction& f, const GradcheckOptions& options, GradReport& report, bool of_plan = false) {
  detail::Located found = detail::locate_faults(f.tape(), f.root(), options.seed);
  report.kinks = std::move(found.kinks);
  if (report.verdict != Verdict::wrong) return;
  report.faults = std::move(found.faults);
  if (!report.faults.empty()) return;
  if (!found.own_rules.empty()) {
    report.faults.push_back(fault_of_own_rules(f.tape(), found.own_rules));
    return;
  }
  if (!report.kinks.empty()) return call_kinks(report);
  if (of_plan) {
    report.faults.push_back({.kind = GradFault::Kind::plan,
                             .op = {},
                             .scope = {},
                             .text = "every rule and every sum on the tape is right: the compiled plan gives another "
                                     "gradient. Call it with {.check = SelfCheck::always}, which names the pass"});
    return;
  }
  report.faults.push_back({.kind = GradFault::Kind::off_tape,
                           .op = {},
                           .scope = {},
                           .text = "every rule and every sum on the tape is right: a value leaves the tape (array(), "
                                   "item(), value()) and comes back as a constant"});
}

/// The parameters' gradients are put back as they were.
class KeptGradients {
 public:
  explicit KeptGradients(std::span<const CheckedParameters::Item> items) : items_(items) {
    for (const auto& item : items) {
      kept_.push_back(item.parameter->grad());
      item.parameter->zero_grad();
    }
  }
  ~KeptGradients() {
    for (std::size_t i = 0; i < kept_.size(); ++i) items_[i].parameter->grad() = std::move(kept_[i]);
  }
  KeptGradients(const KeptGradients&) = delete;
  KeptGradients& operator=(const KeptGradients&) = delete;

  std::vector<Array> now() const {
    std::vector<Array> out;
    for (const auto& item : items_) out.push_back(item.parameter->grad());
    return out;
  }

 private:
  std::span<const CheckedParameters::Item> items_;
  std::vector<Array> kept_;
};

void require_f64(const CheckedParameters& parameters, const GradcheckOptions& options) {
  if (parameters.items().empty()) throw Error("gradcheck: no parameters to check: pass module.parameters()");
  if (options.order != 1) throw Error("gradcheck of a compiled function: the order is 1");
  for (const auto& item : parameters.items()) {
    if (item.parameter == nullptr) throw Error("gradcheck: parameter '" + item.name + "' is null");
    if (item.parameter->dtype() != DType::f64)
      throw Error("gradcheck of a compiled function: parameter '" + item.name +
                  "' is f32: convert the model with to(DType::f64), and compile with {.dtype = DType::f64}");
  }
}

}  // namespace

GradReport detail::gradcheck_plan(const std::function<Tensor(Tape&)>& function, const std::function<Tensor()>& plan,
                                  const CheckedParameters& parameters, const GradcheckOptions& options) {
  require_f64(parameters, options);
  Gradients nowhere;
  const RecordFunction on_tape = [&](Tape& tape) {
    tape.data().gradients_to = &nowhere;
    return function(tape);
  };
  CheckedFunction f(on_tape, parameters.items(), 1, options.seed);
  {
    const KeptGradients kept(parameters.items());
    if (plan().dtype() != DType::f64)
      throw Error("gradcheck of a compiled function: it is f32: compile it with {.dtype = DType::f64}");
    f.check_instead(parameters.items(), kept.now());
  }
  GradReport report;
  detail::check_elements(f, 1, {}, options, report);
  report_cuts(f, report);
  report.nodes = f.tape().size();
  if (options.locate && (report.verdict == Verdict::wrong || report.verdict == Verdict::kink))
    locate(f, options, report, true);
  report.evaluations = f.evaluations();
  return report;
}

double GradElement::excess() const {
  const double off = std::fabs(analytic - numeric);
  return off == 0 ? 0 : off / bound;
}

Index GradReport::count(Verdict v) const {
  Index n = 0;
  for (const GradParameter& p : parameters) n += p.count(v);
  return n;
}

GradReport gradcheck(const std::function<Tensor(Tape&)>& function, const CheckedParameters& parameters,
                     const GradcheckOptions& options) {
  if (parameters.items().empty()) throw Error("gradcheck: no parameters to check: pass module.parameters()");
  if (options.order != 1 && options.order != 2)
    throw Error(fmt::format("gradcheck: order {} is not known: 1 or 2", options.order));
  GradReport report;
  CheckedFunction first(function, parameters.items(), 1, options.seed);
  std::unique_ptr<CheckedFunction> second;
  std::vector<std::optional<Array>> recorded;
  if (options.order == 2) {
    second = std::make_unique<CheckedFunction>(function, parameters.items(), 2, options.seed);
    for (const CheckedFunction::Leaf& leaf : second->leaves()) recorded.push_back(leaf.recorded);
  }
  detail::check_elements(first, 1, recorded, options, report);
  const Verdict after_first = report.verdict;
  if (second != nullptr && report.verdict != Verdict::not_deterministic)
    detail::check_elements(*second, 2, {}, options, report);
  report_cuts(first, report);
  report.nodes = second != nullptr ? second->tape().size() : first.tape().size();
  const bool look = report.verdict == Verdict::wrong || report.verdict == Verdict::kink;
  if (options.locate && look) locate(after_first == report.verdict ? first : *second, options, report);
  report.evaluations = first.evaluations() + (second != nullptr ? second->evaluations() : 0);
  return report;
}

GradReport gradcheck(const std::function<Tensor(std::span<const Tensor>)>& function, std::span<const Array> inputs,
                     const GradcheckOptions& options) {
  std::vector<std::unique_ptr<Parameter>> parameters(inputs.size());
  struct Named {
    std::string name;
    Parameter* parameter;
  };
  std::vector<Named> named;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    if (!is_real(inputs[i].dtype())) continue;
    parameters[i] = std::make_unique<Parameter>(fmt::format("x{}", i), inputs[i]);
    named.push_back({parameters[i]->name(), parameters[i].get()});
  }
  const auto on_tape = [&](Tape& tape) {
    std::vector<Tensor> x;
    for (std::size_t i = 0; i < inputs.size(); ++i)
      x.push_back(parameters[i] != nullptr ? tape.leaf(*parameters[i]) : tape.constant(inputs[i]));
    return function(x);
  };
  return gradcheck(on_tape, named, options);
}

GradReport gradcheck(const std::function<Tensor(std::span<const Tensor>)>& function,
                     std::initializer_list<Array> inputs, const GradcheckOptions& options) {
  return gradcheck(function, std::span<const Array>(inputs.begin(), inputs.size()), options);
}

}  // namespace rw
