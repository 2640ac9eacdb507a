#include <algorithm>
#include <onnx/onnx_pb.h>
#include <set>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <rewind/core/error.h>
#include <rewind/core/shown.h>
#include <rewind/tools/export/onnx/load/operators.h>
#include <rewind/tools/export/onnx/load/parse.h>
#include <rewind/tools/export/onnx/load/tensor.h>

namespace rw::detail::load {
namespace {

constexpr int first_opset = 9, last_opset = 17;
constexpr int most_nested = 8;               // graphs in attributes of nodes
constexpr std::size_t most_weights = 10000;  // names of a module are looked for one by one
constexpr std::size_t most_listed = 100;     // operators in a message

bool is_own_domain(const std::string& domain) { return domain.empty() || domain == "ai.onnx"; }

std::string quoted(const std::string& name) { return "'" + shown(name) + "'"; }

/// What a node is called in messages.
std::string name_of(const onnx::NodeProto& n) {
  if (!n.name().empty()) return shown(n.name(), 60);
  return n.output_size() > 0 && !n.output(0).empty() ? shown(n.output(0), 60) : shown(n.op_type(), 60);
}

// ---- Operators that are not known

void find_unknown(const onnx::GraphProto& graph, int depth, std::set<std::string>& to) {
  if (depth > most_nested) throw Error(fmt::format("its graphs are nested more than {} deep", most_nested));
  for (const onnx::NodeProto& n : graph.node()) {
    const bool own = is_own_domain(n.domain());
    if (!own || (n.op_type() != "Constant" && find_operator(n.op_type()) == nullptr))
      to.insert((own ? "" : shown(n.domain(), 40) + ".") + shown(n.op_type(), 40));
    for (const onnx::AttributeProto& a : n.attribute())
      if (a.has_g()) find_unknown(a.g(), depth + 1, to);
  }
}

void check_operators(const onnx::GraphProto& graph) {
  std::set<std::string> unknown;
  find_unknown(graph, 1, unknown);
  if (unknown.empty()) return;
  std::vector<std::string> listed(unknown.begin(), unknown.end());
  std::string more;
  if (listed.size() > most_listed) more = fmt::format(" and {} more", listed.size() - most_listed);
  listed.resize(std::min(listed.size(), most_listed));
  throw Error(fmt::format("it has operators that are not known here: {}{}", fmt::join(listed, ", "), more));
}

int opset_of(const onnx::ModelProto& model) {
  for (const onnx::OperatorSetIdProto& set : model.opset_import()) {
    if (!is_own_domain(set.domain())) continue;
    if (set.version() < first_opset || set.version() > last_opset)
      throw Error(fmt::format("it is of opset {}; {} to {} are read (PyTorch: opset_version={})", set.version(),
                              first_opset, last_opset, last_opset));
    return static_cast<int>(set.version());
  }
  throw Error("it does not say its opset: it is truncated, or no ONNX file");
}

OnnxModel::Port port_of(const onnx::ValueInfoProto& info) {
  OnnxModel::Port port;
  port.name = info.name();
  if (!info.type().has_tensor_type()) throw Error(quoted(info.name()) + ", an input or output, is not a tensor");
  const onnx::TypeProto::Tensor& tensor = info.type().tensor_type();
  if (!is_real_type(tensor.elem_type()))
    port.dtype = DType::i32;
  else if (tensor.elem_type() == onnx::TensorProto::DOUBLE)
    port.dtype = DType::f64;
  port.has_shape = tensor.has_shape();
  if (tensor.shape().dim_size() > max_rank)
    throw Error(fmt::format("{}, an input or output, has {} axes, at most {} are read", quoted(info.name()),
                            tensor.shape().dim_size(), max_rank));
  for (const auto& d : tensor.shape().dim()) {
    if (d.has_dim_value() && d.dim_value() < 0)
      throw Error(fmt::format("{}, an input or output, has a length of {}", quoted(info.name()), d.dim_value()));
    port.shape.push_back(d.has_dim_value() ? d.dim_value() : -1);
  }
  return port;
}

// ---- Graphs

class Parser {
 public:
  explicit Parser(Parsed& to) : to_(to) {}

  void model(const onnx::ModelProto& m) {
    if (!m.has_graph()) throw Error("it has no graph: it is truncated, or no ONNX file");
    to_.file.opset = opset_of(m);
    if (m.functions_size() > 0) throw Error("it has functions of its own, which are not read");
    check_operators(m.graph());
    to_.file.graph = graph(m.graph(), nullptr);
    for (const onnx::ValueInfoProto& o : m.graph().output()) to_.file.outputs.push_back(port_of(o));
    if (to_.file.inputs.empty()) throw Error("it has no inputs");
    if (to_.file.outputs.empty()) throw Error("it has no outputs");
  }

 private:
  /// The names that can be read somewhere.
  struct Names {
    const Names* around = nullptr;
    std::map<std::string, Slot> own = {};
    const Slot* find(const std::string& name) const {
      for (const Names* n = this; n != nullptr; n = n->around)
        if (const auto at = n->own.find(name); at != n->own.end()) return &at->second;
      return nullptr;
    }
  };

  Slot made(const std::string& name, Names& names) {
    if (name.empty()) return no_slot;
    const auto [at, is_new] = names.own.emplace(name, to_.file.slots);
    if (!is_new) throw Error("two values are named " + quoted(name));
    return to_.file.slots++;
  }

  Graph graph(const onnx::GraphProto& g, const Names* around) {
    Graph out;
    Names names{.around = around};
    if (g.sparse_initializer_size() > 0) throw Error("it has sparse tensors, which are not read");
    for (const onnx::TensorProto& t : g.initializer()) number(made(t.name(), names), t, around == nullptr);
    const std::map<std::string, Slot> weights = names.own;
    for (const onnx::ValueInfoProto& i : g.input()) {
      if (i.name().empty()) throw Error("an input has no name");
      if (around == nullptr && weights.contains(i.name())) continue;  // files before 2019 list them as inputs too
      out.inputs.push_back(made(i.name(), names));
      if (around == nullptr) to_.file.inputs.push_back(port_of(i));
    }
    for (const onnx::NodeProto& n : g.node()) {
      if (n.op_type() == "Constant")
        constant(n, names);
      else
        out.nodes.push_back(node(n, names));
    }
    for (const onnx::ValueInfoProto& o : g.output()) out.outputs.push_back(read(o.name(), names, "is an output"));
    return out;
  }

  static Slot read(const std::string& name, const Names& names, const std::string& what) {
    const Slot* slot = names.find(name);
    if (slot == nullptr) throw Error(fmt::format("{} {}, and nothing before that makes it", quoted(name), what));
    return *slot;
  }

  void number(Slot slot, const onnx::TensorProto& t, bool may_be_weight) {
    if (slot == no_slot) throw Error("a tensor has no name");
    Constant value = read_tensor(t);
    auto* real = std::get_if<Array>(&value);
    if (!may_be_weight || real == nullptr || real->shape().rank() == 0) {
      to_.file.constants.emplace_back(slot, std::move(value));
      return;
    }
    if (to_.weights.size() == most_weights) throw Error(fmt::format("it has more than {} weights", most_weights));
    to_.file.weights.emplace_back(slot, t.name());
    to_.weights.push_back(std::move(*real));
  }

  Node node(const onnx::NodeProto& n, Names& names) {
    Node out{.type = n.op_type(), .name = name_of(n), .op = find_operator(n.op_type())};
    for (const std::string& i : n.input())
      out.inputs.push_back(i.empty() ? no_slot : read(i, names, "is read by the node '" + out.name + "'"));
    for (const onnx::AttributeProto& a : n.attribute())
      if (!out.attributes.emplace(a.name(), attribute(a, names)).second)
        throw out.error("has the attribute " + quoted(a.name()) + " twice");
    for (const std::string& o : n.output()) out.outputs.push_back(made(o, names));
    check_node(out);
    return out;
  }

  Attribute attribute(const onnx::AttributeProto& a, const Names& names) {
    switch (a.type()) {
      case onnx::AttributeProto::INT: return std::int64_t{a.i()};
      case onnx::AttributeProto::FLOAT: return double{a.f()};
      case onnx::AttributeProto::STRING: return a.s();
      case onnx::AttributeProto::INTS: return std::vector<std::int64_t>(a.ints().begin(), a.ints().end());
      case onnx::AttributeProto::FLOATS: return std::vector<double>(a.floats().begin(), a.floats().end());
      case onnx::AttributeProto::STRINGS: return std::vector<std::string>(a.strings().begin(), a.strings().end());
      case onnx::AttributeProto::TENSOR: return read_tensor(a.t());
      case onnx::AttributeProto::GRAPH: return std::make_shared<const Graph>(graph(a.g(), &names));
      default: throw Error("the attribute " + quoted(a.name()) + " is of a type that cannot be read");
    }
  }

  /// A node that is a number.
  void constant(const onnx::NodeProto& n, Names& names) {
    if (n.attribute_size() != 1 || n.output_size() != 1 || n.output(0).empty())
      throw Error("the node '" + name_of(n) + "' is no Constant: it takes one attribute and gives one output");
    const Attribute value = attribute(n.attribute(0), names);
    to_.file.constants.emplace_back(made(n.output(0), names),
                                    std::visit([&](const auto& v) { return number(v, n); }, value));
  }
  template <class T>
  static Constant number(const T& v, const onnx::NodeProto& n) {
    if constexpr (std::is_same_v<T, Constant>) return v;
    if constexpr (std::is_same_v<T, std::int64_t>) return Whole{{}, {v}};
    if constexpr (std::is_same_v<T, double>) return full({}, v);
    if constexpr (std::is_same_v<T, std::vector<std::int64_t>>) return Whole{{static_cast<Index>(v.size())}, v};
    if constexpr (std::is_same_v<T, std::vector<double>>) return Array(v).to(DType::f32);
    throw Error("the node '" + name_of(n) + "', a Constant, is not of numbers");
  }

  Parsed& to_;
};

}  // namespace

Parsed parse(const std::string& bytes) {
  onnx::ModelProto model;
  if (bytes.size() > 0x7fffffff || !model.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())))
    throw Error("it is no ONNX file, or truncated");
  Parsed out;
  Parser(out).model(model);
  return out;
}

}  // namespace rw::detail::load
