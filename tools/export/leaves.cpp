#include <algorithm>

#include <rewind/tools/export/leaves.h>

namespace rw::detail {
namespace {

const ir::Node& node_of(const SizedProgram& program, std::int32_t leaf) {
  return program.program().leaves[static_cast<std::size_t>(leaf)].node;
}

}  // namespace

bool is_known_leaf(const SizedProgram& program, std::int32_t leaf) {
  return node_of(program, leaf).role != Role::input;
}

Array leaf_value(const SizedProgram& program, std::int32_t leaf) {
  const ir::Program& p = program.program();
  const ir::Node& node = node_of(program, leaf);
  const ConstView view = node.role == Role::parameter ? p.store->parameters[node.leaf]->value.view()
                                                      : p.store->constants[node.leaf].view();
  if (!is_real(view.dtype)) return Array(view);
  return Array(view).to(p.real);
}

bool is_weight(const SizedProgram& program, std::int32_t leaf, const std::vector<NamedParameter>& names) {
  const ir::Node& node = node_of(program, leaf);
  if (node.role != Role::parameter) return false;
  const auto& data = program.program().store->parameters[node.leaf];
  return names.empty() ||
         std::any_of(names.begin(), names.end(), [&](const NamedParameter& n) { return n.parameter->data() == data; });
}

std::string leaf_name(const SizedProgram& program, std::int32_t leaf, const std::vector<NamedParameter>& names) {
  const ir::Program& p = program.program();
  const ir::Node& node = node_of(program, leaf);
  if (node.role != Role::parameter) return "constant";
  const auto& data = p.store->parameters[node.leaf];
  for (const NamedParameter& n : names)
    if (n.parameter->data() == data) return n.name;
  return data->name;
}

}  // namespace rw::detail
