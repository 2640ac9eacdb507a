#include <cstring>
#include <unordered_map>

#include <rewind/autograd/program/graph.h>
#include <rewind/core/error.h>

namespace rw::ir {
namespace {

class Importer {
 public:
  Importer(const Tape& tape, std::span<const Tensor> inputs) : tape_(tape) {
    const detail::TapeData& d = tape.data();
    g_.real = tape.dtype();
    g_.store->scopes = d.scopes;
    g_.store->scope_names = d.scope_names;
    for (std::size_t i = 0; i < inputs.size(); ++i) inputs_.emplace(tape.id(inputs[i]), static_cast<std::uint32_t>(i));
  }

  Graph run(std::span<const Tensor> outputs) {
    g_.nodes.reserve(tape_.size());
    for (NodeId i = 0; i < tape_.size(); ++i) import(i);
    for (const Tensor& t : outputs) g_.outputs.push_back(tape_.id(t));
    for (const auto& [parameter, value] : tape_.data().effects) g_.effects.push_back({use(parameter), value});
    return std::move(g_);
  }

 private:
  void import(NodeId i) {
    const rw::Node& from = tape_.node(i);
    Node n;
    n.info = from.info;
    n.shape = from.shape;
    n.scope = from.scope;
    n.dtype = from.dtype;
    n.role = from.role;
    n.backward = from.origin != no_node;
    n.op = from.op;
    if (from.info->attribute_size > 0) {
      void* copy = g_.store->attributes.allocate(from.info->attribute_size);
      std::memcpy(copy, from.op, from.info->attribute_size);
      n.op = copy;
    }
    if (!computes(*from.info)) import_leaf(i, from, n);
    g_.append(n, from.in());
  }

  void import_leaf(NodeId i, const rw::Node& from, Node& n) {
    static constexpr char no_attributes = 0;
    n.op = &no_attributes;  // leaves have none
    if (from.role == Role::parameter) {
      n.leaf = use(tape_.parameter_of(from));
    } else if (from.info == &op_info<RandomKey>()) {
      n.leaf = random_key_leaf;
    } else if (const auto input = inputs_.find(i); input != inputs_.end()) {
      n.leaf = input->second;
    } else if (from.data != nullptr) {
      n.info = &op_info<Constant>();
      n.role = Role::constant;
      n.leaf = static_cast<std::uint32_t>(g_.store->constants.size());
      g_.store->constants.emplace_back(from.value());
    } else {
      throw Error("compile: " + tape_.describe(i) + " has no value");
    }
  }

  std::uint32_t use(const std::shared_ptr<Parameter::Data>& data) {
    const auto [at, fresh] = parameters_.emplace(data.get(), static_cast<std::uint32_t>(g_.store->parameters.size()));
    if (fresh) g_.store->parameters.push_back(data);
    return at->second;
  }

  const Tape& tape_;
  Graph g_;
  std::unordered_map<NodeId, std::uint32_t> inputs_;
  std::unordered_map<const Parameter::Data*, std::uint32_t> parameters_;
};

}  // namespace

Graph from_tape(const Tape& tape, std::span<const Tensor> outputs, std::span<const Tensor> inputs) {
  return Importer(tape, inputs).run(outputs);
}

Tape to_tape(const Graph& g) {
  Tape tape(TapeOptions{.dtype = g.real, .trace = true});
  detail::TapeData& d = tape.data();
  d.scopes = g.store->scopes;
  d.scope_names = g.store->scope_names;
  for (NodeId i = 0; i < g.size(); ++i) {
    const Node& n = g.nodes[i];
    const NodeId id = d.append(*n.info, n.op, g.in(i), n.shape, n.dtype);
    rw::Node& to = d.nodes[id];
    to.role = n.role;
    to.scope = n.scope;
    if (n.backward) to.origin = 0;
    if (n.role != Role::parameter) continue;
    to.parameter = static_cast<std::uint32_t>(d.leaves.size());
    const std::shared_ptr<Parameter::Data>& data = g.store->parameters[n.leaf];
    to.needs_grad = !data->frozen;
    d.leaves.push_back({data, id, data->version, false});
  }
  for (const Effect& e : g.effects) d.effects.emplace_back(g.store->parameters[e.parameter], e.value);
  return tape;
}

}  // namespace rw::ir
