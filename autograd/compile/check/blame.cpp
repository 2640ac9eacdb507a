#include <cmath>
#include <optional>

#include <fmt/format.h>

#include <rewind/autograd/compile/check/blame.h>
#include <rewind/autograd/compile/passes/passes.h>
#include <rewind/autograd/compile/plan/lowering.h>
#include <rewind/autograd/compile/plan/report.h>
#include <rewind/core/error.h>

namespace rw::ir {
namespace {

bool right_with(const Check& check, Passes passes, const std::function<bool(const Outcome&)>& right) {
  CompileOptions options = check.options;
  options.passes = passes;
  try {
    Notes notes;
    Executor plan(lower(optimise(check.traced, options, notes), options), options);
    return right(replay_apart(plan, check.call));
  } catch (const Error&) {
    return false;
  }
}

// What a step leaves for others to read.
std::vector<NodeId> results_of(const Plan& plan, const Plan::Step& step) {
  const Graph& g = plan.graph;
  if (step.kind == Plan::Kind::pack || step.kind == Plan::Kind::copy) return {};
  if (step.kind != Plan::Kind::kernel) return {step.node};
  const std::uint32_t kernel = g.nodes[step.node].kernel;
  std::vector<bool> read(g.size(), false);
  for (NodeId i = 0; i < g.size(); ++i)
    if (g.nodes[i].kernel != kernel)
      for (NodeId in : g.in(i)) read[in] = true;
  for (NodeId o : g.outputs) read[o] = true;
  for (const Effect& e : g.effects) read[e.value] = true;
  std::vector<NodeId> out;
  for (NodeId i = 0; i < g.size(); ++i)
    if (g.nodes[i].kernel == kernel && read[i] && g.nodes[i].info->alias == nullptr) out.push_back(i);
  return out;
}

// The first step whose results are not what the graph says; too far off for rounding, however often it was passed on.
std::optional<Plan::Step> first_wrong_step(const Check& check) {
  const Graph& g = check.plan.graph();
  const Reference reference(g, g.real, check.call);
  const double far = std::sqrt(rounding_bound(g, check.options));
  std::optional<Plan::Step> found;
  check.plan.replay_apart(check.call.inputs, check.call.seed, check.call.step, [&](const Plan::Step& step) {
    if (found.has_value()) return;
    for (NodeId i : results_of(check.plan.plan(), step)) {
      if (!is_real(g.nodes[i].dtype)) continue;
      const ConstView expected = reference.value(i);
      if (distance(check.plan.value_of(i), expected) > far * largest(expected)) found = step;
    }
  });
  return found;
}

}  // namespace

std::string blame(const Check& check, const std::function<bool(const Outcome&)>& right) {
  if (check.plan.graph().nodes.empty())
    return "it follows from the plans of other lengths: go on with {.passes = Passes::all() - Pass::loops}";
  std::string pass = "it is wrong without any single pass, too";
  std::string way_out = "{.check = SelfCheck::off} uses the plan as it is";
  for (const PassSwitch& one : pass_switches)
    if (check.options.passes.has(one.pass) && right_with(check, check.options.passes - one.pass, right)) {
      pass = fmt::format("it is right without Pass::{}", one.name);
      way_out = fmt::format("go on with {{.passes = Passes::all() - Pass::{}}}, or {}", one.name, way_out);
      break;
    }
  std::string step = "every step does what the optimised graph says";
  if (const auto wrong = first_wrong_step(check))
    step = "the first wrong step is " + describe(check.plan.plan(), *wrong);
  return pass + "; " + step + "; " + way_out;
}

}  // namespace rw::ir
