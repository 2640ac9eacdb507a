#include <algorithm>

#include <fmt/format.h>

#include <rewind/core/error.h>
#include <rewind/tools/export/onnx/load/operators.h>
#include <rewind/tools/export/onnx/load/whole.h>

namespace rw::detail::load {
namespace {

constexpr std::size_t most_nodes = 1 << 24, most_numbers = 1 << 24;  // in a run

std::map<std::string_view, Operator> all_operators() {
  std::map<std::string_view, Operator> all;
  for (const auto& group : {elementwise_operators(), sum_operators(), view_operators(), row_operators(),
                            shape_operators(), recurrent_operators(), loop_operators()})
    for (const Operator& o : group) all.emplace(o.type, o);
  return all;
}

}  // namespace

const Operator* find_operator(const std::string& type) {
  static const std::map<std::string_view, Operator> all = all_operators();
  const auto at = all.find(type);
  return at == all.end() ? nullptr : &at->second;
}

void check_node(const Node& node) {
  const Operator& o = *node.op;
  if (node.inputs.size() < o.least || node.inputs.size() > o.most)
    throw node.error(fmt::format("it has {} inputs", node.inputs.size()));
  for (std::size_t i = 0; i < o.least; ++i)
    if (node.inputs[i] == no_slot) throw node.error(fmt::format("its input {} is left out", i));
  if (node.outputs.size() > o.outputs || node.outputs.empty())
    throw node.error(fmt::format("it has {} outputs", node.outputs.size()));
  if (o.check != nullptr) o.check(node);
}

Error Node::error(const std::string& reason) const { return Error("[" + type + "] " + reason + ", in " + name); }

// ---- Run

Run::Run(Tape& tape, const File& file, const std::vector<Parameter*>& weights)
    : tape_(tape), file_(file), values_(file.slots) {
  for (std::size_t i = 0; i < weights.size(); ++i) at(file.weights[i].first) = tape.leaf(*weights[i]);
  for (const auto& [slot, constant] : file.constants) {
    if (const auto* whole = std::get_if<Whole>(&constant))
      at(slot) = *whole;
    else
      at(slot) = tape.constant(std::get<Array>(constant));
  }
}

Values Run::run(const Node& node) {
  try {
    return node.op->run(Call(*this, node));
  } catch (const Error& e) {  // one of a shape does not say where
    if (std::string_view(e.what()).starts_with('[')) throw;
    throw tape_.error(node.type, e.what());
  }
}

// A few bytes can say a great deal of work: loops within loops, and numbers that are stretched again and again.
void Run::count(const Node& node, const Values& results) {
  ++nodes_;
  for (const Value& v : results)
    if (const auto* whole = std::get_if<Whole>(&v)) numbers_ += whole->values.size();
  if (nodes_ > most_nodes) throw tape_.error(node.type, fmt::format("more than {} operators are run", most_nodes));
  if (numbers_ > most_numbers)
    throw tape_.error(node.type, fmt::format("more than {} whole numbers are computed", most_numbers));
}

void Run::graph(const Graph& graph) {
  for (const Node& node : graph.nodes) {
    const Scope scope(tape_, node.name);
    Values results = run(node);
    count(node, results);
    results.resize(node.outputs.size());
    for (std::size_t k = 0; k < results.size(); ++k)
      if (node.outputs[k] != no_slot) at(node.outputs[k]) = std::move(results[k]);
  }
}

// ---- Call

bool Call::has(std::size_t i) const {
  return i < inputs() && node_.inputs[i] != no_slot &&
         !std::holds_alternative<std::monostate>(run_.at(node_.inputs[i]));
}

const Value& Call::value(std::size_t i) const {
  if (!has(i)) throw error(fmt::format("input {} is missing", i));
  return run_.at(node_.inputs[i]);
}

bool Call::all_whole() const {
  for (std::size_t i = 0; i < inputs(); ++i)
    if (has(i) && !is_whole(i)) return false;
  return true;
}

const Whole& Call::whole(std::size_t i) const {
  const auto* w = std::get_if<Whole>(&value(i));
  if (w == nullptr) throw error(fmt::format("input {} has to be known before the network runs", i));
  return *w;
}

std::int64_t Call::number(std::size_t i) const {
  const Whole& w = whole(i);
  if (w.values.size() != 1) throw error(fmt::format("input {} is {}, and has to be one number", i, w.shape.str()));
  return w.values[0];
}

Tensor Call::tensor(const Value& value) const {
  if (const auto* t = std::get_if<Tensor>(&value)) return *t;
  return tape().constant(to_i32(std::get<Whole>(value)));
}

Tensor Call::real(std::size_t i) const {
  const auto* t = std::get_if<Tensor>(&value(i));
  if (t == nullptr || !is_real(t->dtype())) throw error(fmt::format("input {} is not real", i));
  return *t;
}

Tensor Call::mask(std::size_t i) const {
  if (!is_whole(i)) return real(i);
  return tape().constant(to_i32(whole(i)).to(DType::f32));
}

Shape Call::shape(std::size_t i) const {
  const auto* t = std::get_if<Tensor>(&value(i));
  return t != nullptr ? t->shape() : whole(i).shape;
}

int Call::axis(std::int64_t axis, int rank) const {
  const std::int64_t a = axis < 0 ? axis + rank : axis;
  if (axis < -rank || a >= rank) throw error(fmt::format("there is no axis {} of {}", axis, rank));
  return static_cast<int>(a);
}

std::optional<std::vector<std::int64_t>> Call::axes(const char* attribute, std::size_t input) const {
  if (has(input)) return whole(input).values;
  if (const auto* given = node_.find<std::vector<std::int64_t>>(attribute)) return *given;
  return std::nullopt;
}

}  // namespace rw::detail::load
