#include <algorithm>

#include <fmt/format.h>

#include <rewind/autograd/compile/passes/passes.h>
#include <rewind/autograd/program/queries.h>
#include <rewind/autograd/program/rewrite.h>
#include <rewind/core/error.h>
#include <rewind/tools/export/step_program.h>

namespace rw::detail {
namespace {

using ir::Graph;

Array converted(ConstView from, DType real) {
  if (from.dtype == real || !is_real(from.dtype)) return Array(from);
  Tape tape(real);
  return tape.constant(from).array();
}

std::string name_of(const Parameter::Data& data, const RecordedStep& step) {
  for (const NamedParameter& p : step.names)
    if (p.parameter->data().get() == &data) return p.name;
  return data.name;
}

void make_parameters_constants(StepProgram& program, const RecordedStep& step) {
  Graph& g = program.graph;
  std::vector<Array>& constants = g.store->constants;
  const auto first = static_cast<std::uint32_t>(constants.size());
  program.constant_names.resize(constants.size());
  for (const auto& data : g.store->parameters) {
    constants.push_back(converted(data->value, g.real));
    program.constant_names.push_back(name_of(*data, step));
  }
  for (ir::Node& n : g.nodes) {
    if (n.role != Role::parameter) continue;
    n.role = Role::constant;
    n.info = &op_info<Constant>();
    n.leaf += first;
  }
}

/// Whether a node is a number or an array that is known now.
bool is_known(const Graph& g, NodeId i) { return g.is<Constant>(i) || g.is<Fill>(i); }

Array value_of(const Graph& g, NodeId i) {
  if (g.is<Constant>(i)) return g.store->constants[g.nodes[i].leaf];
  Array all(g.nodes[i].shape, g.real);
  all.fill(g.op<Fill>(i).value);
  return all;
}

/// Worth its memory: no larger than what it is made of.
bool folds(const Graph& g, const ir::Node& n, std::span<const NodeId> in) {
  if (!ir::computes(*n.info) || n.info == &op_info<Fill>() || in.empty()) return false;
  Index numbers = 0;
  for (const NodeId x : in) {
    if (!is_known(g, x)) return false;
    numbers += g.nodes[x].shape.size();
  }
  return n.shape.size() <= numbers;
}

Array evaluated(const Graph& g, const ir::Node& n, std::span<const NodeId> in) {
  Tape tape(g.real);
  std::vector<Operand> operands;
  for (const NodeId x : in) operands.emplace_back(tape.constant(value_of(g, x)));
  return tape.record(*n.info, n.op, operands).array();
}

/// What follows from weights alone is computed once, here.
Graph fold_constants(const Graph& g, std::vector<std::string>& names) {
  ir::Rewriter rewriter(g);
  for (NodeId i = 0; i < g.size(); ++i) {
    const std::vector<NodeId> in = rewriter.inputs(i);
    if (!folds(rewriter.to, g.nodes[i], in)) {
      rewriter.copy(i);
      continue;
    }
    ir::Node n = g.nodes[i];
    n.info = &op_info<Constant>();
    n.role = Role::constant;
    n.leaf = static_cast<std::uint32_t>(rewriter.to.store->constants.size());
    rewriter.to.store->constants.push_back(evaluated(rewriter.to, g.nodes[i], in));
    names.emplace_back();
    rewriter.put(i, rewriter.to.append(n, {}));
  }
  return rewriter.done();
}

void refuse_random_numbers(const Graph& g) {
  for (NodeId i = 0; i < g.size(); ++i)
    for (const NodeId x : g.in(i))
      if (g.is<RandomKey>(x))
        throw Error(g.describe(i) +
                    " draws random numbers, which is for training only: call eval() before the model is exported");
}

}  // namespace

StepProgram step_program(const RecordedStep& step) {
  std::vector<Tensor> inputs{step.x}, outputs{step.y};
  inputs.insert(inputs.end(), step.state.begin(), step.state.end());
  outputs.insert(outputs.end(), step.next.begin(), step.next.end());
  StepProgram program{.graph = ir::from_tape(step.tape, outputs, inputs), .constant_names = {}};
  program.graph = ir::sorted(program.graph);
  if (!program.graph.effects.empty())
    throw Error("export: the step adds to gradients of parameters, by backward(): a header has none, use grad()");
  refuse_random_numbers(program.graph);
  make_parameters_constants(program, step);
  program.graph = ir::simplify(program.graph);
  program.graph = ir::simplify(fold_constants(program.graph, program.constant_names));
  return program;
}

}  // namespace rw::detail
