// Leaves of a tape: constants, numbers, and parameters, each of which has one leaf on a tape.

#include <algorithm>

#include <rewind/autograd/detail/tape_data.h>

namespace rw::detail {

NodeId TapeData::leaf(const OpInfo& info, Role role, const Shape& shape, DType dtype, bool needs_grad) {
  const NodeId id = append(info, nullptr, {}, shape, dtype);
  nodes[id].role = role;
  nodes[id].needs_grad = needs_grad && recording_gradients;
  return id;
}

NodeId TapeData::number(double value) {
  const Fill fill{Shape{}, value};
  const NodeId id = append(op_info<Fill>(), &fill, {}, Shape{}, options.dtype);
  Node& n = nodes[id];
  n.role = Role::constant;
  if (options.trace) return id;
  n.data = values.allocate(size_of(n.dtype));
  n.owns_data = true;
  visit_real(n.dtype, [&]<class T>() { *static_cast<T*>(n.data) = static_cast<T>(value); });
  return id;
}

std::uint32_t* TapeData::leaf_slot(const Parameter::Data* parameter) {
  const std::size_t mask = leaf_index.size() - 1;
  auto h = static_cast<std::size_t>(mix(0, reinterpret_cast<std::uintptr_t>(parameter)) >> 32);
  for (;; ++h) {
    std::uint32_t& entry = leaf_index[h & mask];
    if (entry == no_node || leaves[entry].parameter.get() == parameter) return &entry;
  }
}

void TapeData::grow_leaf_index() {
  leaf_index.assign(std::max<std::size_t>(64, leaf_index.size() * 2), no_node);
  for (std::size_t i = 0; i < leaves.size(); ++i) *leaf_slot(leaves[i].parameter.get()) = static_cast<std::uint32_t>(i);
}

// The leaf of a parameter that was used on this tape and has not changed since; or no_node.
NodeId TapeData::known_leaf(const std::shared_ptr<Parameter::Data>& data) {
  for (auto bound = bindings.rbegin(); bound != bindings.rend(); ++bound)
    if (bound->first == data) return bound->second;
  if (leaf_index.empty()) return no_node;
  const std::uint32_t entry = *leaf_slot(data.get());
  if (entry == no_node) return no_node;
  const ReadParameter& known = leaves[entry];
  const bool wants_grad = !data->frozen && recording_gradients;
  return known.version == data->version && nodes[known.node].needs_grad == wants_grad ? known.node : no_node;
}

NodeId TapeData::leaf_of(const std::shared_ptr<Parameter::Data>& data) {
  if (const NodeId known = known_leaf(data); known != no_node) return known;
  if (leaves.size() * 2 >= leaf_index.size()) grow_leaf_index();
  const NodeId id = leaf(op_info<ParameterLeaf>(), Role::parameter, data->value.shape(), options.dtype, !data->frozen);
  Node& n = nodes[id];
  n.parameter = static_cast<std::uint32_t>(leaves.size());
  const auto substitute =
      std::find_if(substitutes.begin(), substitutes.end(), [&](const auto& s) { return s.first == data; });
  const bool substituted = substitute != substitutes.end();
  const Array& value = substituted ? substitute->second : data->value;
  if (!options.trace) {
    if (!substituted && value.dtype() == options.dtype) {
      n.data = const_cast<void*>(value.view().data);
    } else {
      n.data = values.allocate(bytes_of(n.shape, n.dtype));
      n.owns_data = true;
      copy(value, contiguous_view(n.data, n.shape, n.dtype));
    }
  }
  leaves.push_back({data, id, data->version, substituted});
  *leaf_slot(data.get()) = n.parameter;
  return id;
}

}  // namespace rw::detail
