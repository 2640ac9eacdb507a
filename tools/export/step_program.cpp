#include <algorithm>
#include <array>
#include <cctype>
#include <set>
#include <span>

#include <fmt/format.h>

#include <rewind/autograd/compile/passes/passes.h>
#include <rewind/autograd/program/queries.h>
#include <rewind/autograd/program/rewrite.h>
#include <rewind/core/error.h>
#include <rewind/tools/export/step_program.h>

namespace rw::detail {

bool is_keyword(std::string_view name) {
  static constexpr std::array<std::string_view, 65> words{
      "alignas", "alignof",  "and",       "asm",      "auto",     "bool",      "break",   "case",   "catch",
      "char",    "class",    "const",     "continue", "default",  "delete",    "do",      "double", "else",
      "enum",    "explicit", "export",    "extern",   "false",    "float",     "for",     "friend", "goto",
      "if",      "inline",   "int",       "long",     "mutable",  "namespace", "new",     "not",    "operator",
      "or",      "private",  "protected", "public",   "register", "return",    "short",   "signed", "sizeof",
      "static",  "std",      "struct",    "switch",   "template", "this",      "throw",   "true",   "try",
      "typedef", "typeid",   "typename",  "union",    "unsigned", "using",     "virtual", "void",   "volatile",
      "while",   "xor"};
  return std::find(words.begin(), words.end(), name) != words.end();
}

std::string c_name(std::string_view name) {
  std::string out;
  for (const char c : name) out += std::isalnum(static_cast<unsigned char>(c)) != 0 ? c : '_';
  const bool is_none = out.empty() || std::isdigit(static_cast<unsigned char>(out[0])) != 0 || is_keyword(out);
  return is_none ? "w_" + out : out;
}

std::string weight_name(std::string_view parameter) {
  const std::string name = c_name(parameter);
  // Members of Weights that are no parameters have such names.
  return name.starts_with("start") || name.ends_with("_scale") ? name + "_" : name;
}

namespace {

using ir::Graph;

Array converted(ConstView from, DType real) {
  if (from.dtype == real || !is_real(from.dtype)) return Array(from);
  Tape tape(real);
  return tape.constant(from).array();
}

std::string name_of(const Parameter::Data& data, const std::vector<NamedParameter>& names) {
  for (const NamedParameter& p : names)
    if (p.parameter->data().get() == &data) return p.name;
  return data.name;
}

/// All parameters, or those that are frozen.
void make_parameters_constants(StepProgram& program, bool all) {
  Graph& g = program.graph;
  std::vector<Array>& constants = g.store->constants;
  const auto first = static_cast<std::uint32_t>(constants.size());
  program.constant_names.resize(constants.size());
  for (std::size_t p = 0; p < g.store->parameters.size(); ++p) {
    constants.push_back(converted(g.store->parameters[p]->value, g.real));
    program.constant_names.push_back(program.parameter_names[p]);
  }
  for (ir::Node& n : g.nodes) {
    if (n.role != Role::parameter || !(all || g.store->parameters[n.leaf]->frozen)) continue;
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

StepProgram program_of(const Tape& tape, std::span<const Tensor> outputs, std::span<const Tensor> inputs,
                       const std::vector<NamedParameter>& names, bool trained) {
  StepProgram program{.graph = ir::from_tape(tape, outputs, inputs)};
  program.graph = ir::sorted(program.graph);
  if (!program.graph.effects.empty())
    throw Error("export: the step adds to gradients of parameters, by backward(): a header has none, use grad()");
  refuse_random_numbers(program.graph);
  for (const auto& data : program.graph.store->parameters) program.parameter_names.push_back(name_of(*data, names));
  make_parameters_constants(program, !trained);
  program.graph = ir::simplify(program.graph);
  program.graph = ir::simplify(fold_constants(program.graph, program.constant_names));
  return program;
}

std::string numbered(std::string_view name, std::size_t i) { return fmt::format("{}.s{}", name, i); }

}  // namespace

StepProgram step_program(const RecordedStep& step, bool trained) {
  std::vector<Tensor> inputs{step.x}, outputs{step.y};
  inputs.insert(inputs.end(), step.state.begin(), step.state.end());
  outputs.insert(outputs.end(), step.next.begin(), step.next.end());
  StepProgram program = program_of(step.tape, outputs, inputs, step.names, trained);
  program.inputs = {"x"};
  program.results = {{"y"}};
  for (std::size_t i = 0; i < step.state.size(); ++i) {
    program.inputs.push_back(numbered("state", i));
    program.results.push_back({numbered("state", i)});
  }
  return program;
}

StepProgram gradient_program(const RecordedTraining& training) {
  const RecordedGradient& r = training.gradient;
  std::vector<Tensor> inputs{r.x}, outputs{r.loss};
  for (const auto* list : {&r.state, &r.next_cotangents}) inputs.insert(inputs.end(), list->begin(), list->end());
  inputs.push_back(r.target);
  for (const auto* list : {&r.state_cotangents, &r.gradients})
    outputs.insert(outputs.end(), list->begin(), list->end());
  StepProgram program = program_of(r.tape, outputs, inputs, training.step.names, true);
  program.prefix = "gradient_";
  program.inputs = {"x"};
  program.results = {{"loss", true}};
  for (const char* name : {"state", "d"})
    for (std::size_t i = 0; i < r.state.size(); ++i) program.inputs.push_back(numbered(name, i));
  program.inputs.emplace_back("target");
  for (std::size_t i = 0; i < r.state.size(); ++i) program.results.push_back({numbered("d", i)});
  std::set<std::string> names;
  for (const Parameter* p : r.parameters) {
    const std::string name = weight_name(name_of(*p->data(), training.step.names));
    if (!names.insert(name).second)
      throw Error("export: two parameters are named " + name + " in C++: give one of them another name");
    program.results.push_back({"g." + name, true});
  }
  return program;
}

}  // namespace rw::detail
