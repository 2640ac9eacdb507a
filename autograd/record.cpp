#include <algorithm>
#include <cstring>

#include <fmt/format.h>

#include <rewind/autograd/detail/tape_data.h>
#include <rewind/core/broadcast_loop.h>
#include <rewind/core/error.h>
#include <rewind/core/reduce.h>
#include <rewind/core/scratch.h>

namespace rw::detail {
namespace {

constexpr char no_attributes = 0;  // what an op without attributes points to

DType output_dtype(const OpInfo& info, const std::vector<Node>& nodes, std::span<const NodeId> in, DType real) {
  if (info.any_dtype && !in.empty()) {
    for (NodeId i : in)
      if (nodes[i].dtype != nodes[in[0]].dtype)
        throw Error(
            fmt::format("element types differ: {} and {}", name_of(nodes[in[0]].dtype), name_of(nodes[i].dtype)));
    return nodes[in[0]].dtype;
  }
  for (std::size_t i = 0; i < in.size(); ++i) {
    const bool integer = i < 32 && (info.integer_inputs >> i & 1u) != 0;
    if (integer == is_real(nodes[in[i]].dtype))
      throw Error(fmt::format("input {} must be {}, not {} {}", i, integer ? "indices (i32)" : "real",
                              name_of(nodes[in[i]].dtype), nodes[in[i]].shape.str()));
  }
  return real;
}

}  // namespace

Tensor record(const OpInfo& info, const void* op, const Operands& inputs) {
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const Tensor* x = inputs[i].tensor();
    if (x == nullptr) continue;
    TapeData* tape = x->slot_ == 0 ? nullptr : tape_of_slot(x->slot_, x->stamp_);
    if (tape != nullptr) return tape->record(info, op, inputs);
    try {
      TapeData::throw_stale(*x);
    } catch (const Error& e) {
      throw Error(fmt::format("[{}] {}", info.name, e.what()));
    }
  }
  throw Error(
      fmt::format("[{}] no input is a Tensor, so there is no tape to record on: use tape.leaf(parameter) or "
                  "tape.constant(array)",
                  info.name));
}

NodeId TapeData::resolve(const Operand& x) {
  if (const Tensor* t = x.tensor()) return id(*t);
  return x.is_parameter() ? leaf_of(x.parameter()) : number(x.number());
}

// The common case of elementwise ops: Tensors of one shape, nothing between their rows. It is kept apart because
// recording a small op should cost little more than computing it.
bool TapeData::are_of_one_shape(const Operands& inputs, int arity, NodeId* ids) {
  if (inputs.size() != static_cast<std::size_t>(arity)) return false;
  const bool computes = !lazy && !options.trace;
  const Node* first = nullptr;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const Tensor& x = inputs[i].bits_;
    NodeId id = x.index_;
    if (inputs[i].is_parameter())
      id = known_leaf(inputs[i].parameter().data());
    else if (x.slot_ != slot->number || id >= nodes.size() || nodes[id].stamp != x.stamp_)
      return false;
    if (id == no_node) return false;
    const Node& n = nodes[id];
    if (n.dtype != options.dtype || n.stride != n.shape.cols()) return false;
    if (computes && n.data == nullptr) return false;
    if (first == nullptr)
      first = &n;
    else if (!(n.shape == first->shape))
      return false;
    ids[i] = id;
  }
  return first != nullptr;
}

Tensor TapeData::record_of_one_shape(const OpInfo& info, const void* op, std::span<const NodeId> in) {
  const auto id = static_cast<NodeId>(nodes.size());
  const Arena::Mark values_before = values.mark(), records_before = records.mark();
  try {
    append(info, op, in, nodes[in[0]].shape, options.dtype);
    Node& n = nodes[id];
    if (!lazy && !options.trace) {
      const Index size = n.shape.size();
      n.data = allocate_value(bytes_of(n.shape, n.dtype));
      n.owns_data = true;
      const void* x[max_elementwise_inputs];
      for (std::size_t i = 0; i < in.size(); ++i) x[i] = nodes[in[i]].data;
      contiguous_loop(info.elementwise->value, n.op, n.dtype, size, x, static_cast<int>(in.size()), n.data);
    }
    return Tensor(slot->number, id, n.stamp);
  } catch (...) {
    nodes.resize(id);
    values.rewind(values_before);
    records.rewind(records_before);
    rethrow_from(info);
  }
}

// The exception that is being handled, with the op and the scope where it is one of ours.
void TapeData::rethrow_from(const OpInfo& info) const {
  try {
    throw;
  } catch (const Error& e) {
    throw Error(fmt::format("[{}] {}{}", info.name, e.what(), where(scope)));
  }
}

// Throws unless the op can take these inputs.
void TapeData::check_inputs(const OpInfo& info, std::span<const NodeId> in) const {
  if (info.arity != any_arity && in.size() != static_cast<std::size_t>(info.arity))
    throw Error(fmt::format("takes {} input{}, not {}", info.arity, info.arity == 1 ? "" : "s", in.size()));
  if (info.elementwise == nullptr && info.eval == nullptr) throw Error("has no eval, so it cannot be recorded");
  if (lazy || options.trace) return;
  for (NodeId i : in)
    if (nodes[i].data == nullptr) throw_no_value(i);
}

Tensor TapeData::record(const OpInfo& info, const void* op, const Operands& inputs) {
  if (info.elementwise != nullptr) {
    NodeId ids[max_elementwise_inputs];
    if (are_of_one_shape(inputs, info.elementwise->arity, ids))
      return record_of_one_shape(info, op, {ids, inputs.size()});
  }
  const TapeMark before = mark();
  try {
    NodeId few[8];
    const std::size_t n = inputs.size();
    auto* in = n <= 8 ? few : static_cast<NodeId*>(records.allocate(n * sizeof(NodeId)));
    for (std::size_t i = 0; i < n; ++i) in[i] = resolve(inputs[i]);
    const std::span<const NodeId> ids(in, n);
    check_inputs(info, ids);
    Scratch<Shape, 8> few_shapes;
    auto* shapes = n <= 8 ? few_shapes.data() : static_cast<Shape*>(records.allocate(n * sizeof(Shape)));
    for (std::size_t i = 0; i < n; ++i) shapes[i] = nodes[in[i]].shape;
    const DType dtype = output_dtype(info, nodes, ids, options.dtype);
    const NodeId id = append(info, op, ids, info.infer(op, {shapes, n}), dtype);
    if (!lazy && !options.trace) evaluate(id);
    return tensor(id);
  } catch (...) {
    truncate(before);
    rethrow_from(info);
  }
}

NodeId TapeData::append(const OpInfo& info, const void* op, std::span<const NodeId> inputs, Shape shape, DType dtype) {
  if (nodes.size() >= no_node - 1) throw Error("the tape is full: clear() or rewind() it");
  const void* attributes = &no_attributes;
  if (info.attribute_size > 0) {
    void* copy = records.allocate(info.attribute_size);
    std::memcpy(copy, op, info.attribute_size);
    attributes = copy;
  }
  auto* in = static_cast<NodeId*>(records.allocate(inputs.size() * sizeof(NodeId)));
  bool needs_grad = false;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    in[i] = inputs[i];
    needs_grad |= nodes[inputs[i]].needs_grad;
  }
  Node& node = nodes.emplace_back();
  node.info = &info;
  node.op = attributes;
  node.input = in;
  node.arity = static_cast<std::uint32_t>(inputs.size());
  node.shape = shape;
  node.stride = shape.cols();
  node.stamp = slot->next_stamp++;
  node.scope = scope;
  node.origin = origin;
  node.dtype = dtype;
  node.needs_grad = needs_grad && recording_gradients && info.vjp != nullptr;
  return static_cast<NodeId>(nodes.size() - 1);
}

// A rule's own nodes go with the rule, so they leave released memory to those that stay.
void* TapeData::allocate_value(std::size_t bytes) {
  if (has_released && !lazy && !in_rule)
    if (void* block = released.pick(bytes)) return block;
  return values.allocate(bytes);
}

void TapeData::evaluate(NodeId id) {
  Node& n = nodes[id];
  if (n.info->alias != nullptr) {
    const Node& x = nodes[n.input[0]];
    if (x.data == nullptr) throw_no_value(n.input[0]);
    ConstView y;
    if (n.info->alias(n.op, x.value(), y)) {
      n.data = const_cast<void*>(y.data);
      n.stride = n.shape.rows() == 1 ? n.shape.cols() : y.stride;  // one row lies beside nothing
      return;
    }
  }
  n.data = allocate_value(bytes_of(n.shape, n.dtype));
  n.owns_data = true;
  evaluate_into(n, contiguous_view(n.data, n.shape, n.dtype), false);
}

void TapeData::evaluate_into(const Node& n, View y, bool add) {
  const std::span<const NodeId> in = n.in();
  if (n.info->elementwise != nullptr) {
    Scratch<ConstView, max_elementwise_inputs> x;
    const void* data[max_elementwise_inputs];
    bool in_one_loop = y.contiguous();
    for (std::size_t i = 0; i < in.size(); ++i) {
      const Node& from = nodes[in[i]];
      if (from.data == nullptr) throw_no_value(in[i]);
      data[i] = from.data;
      in_one_loop = in_one_loop && from.shape == y.shape && from.stride == y.stride;
    }
    if (in_one_loop)
      return contiguous_loop(n.info->elementwise->value, n.op, y.dtype, y.size(), data, static_cast<int>(in.size()),
                             y.data);
    for (std::size_t i = 0; i < in.size(); ++i) x[i] = nodes[in[i]].value();
    return broadcast_loop(n.info->elementwise->value, n.op, x.first(in.size()), y);
  }
  // Scratch for the list of inputs and for packed copies is taken off the stacks again.
  const Arena::Mark records_mark = records.mark(), values_mark = values.mark();
  Scratch<ConstView, 4> few;
  auto* x = in.size() <= 4 ? few.data() : static_cast<ConstView*>(records.allocate(in.size() * sizeof(ConstView)));
  for (std::size_t i = 0; i < in.size(); ++i) {
    if (nodes[in[i]].data == nullptr) throw_no_value(in[i]);
    x[i] = nodes[in[i]].value();
    if (!n.info->strided_inputs && !x[i].contiguous()) {
      const View packed = contiguous_view(values.allocate(bytes_of(x[i].shape, x[i].dtype)), x[i].shape, x[i].dtype);
      copy(x[i], packed);
      x[i] = packed;
    }
  }
  (add ? n.info->eval_add : n.info->eval)(n.op, {x, in.size()}, y);
  values.rewind(values_mark);
  records.rewind(records_mark);
}

}  // namespace rw::detail
