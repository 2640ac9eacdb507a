#pragma once

// Internal to tools/export/.

#include <string>
#include <vector>

#include <rewind/tools/export/onnx/nodes.h>

namespace rw::detail {

/// A value of the file that an op reads.
struct Operand {
  std::string name;
  Lengths shape;
};

/// Nodes that compute an op of these inputs, at these steps of the loops around it (the innermost first, -1 for any);
/// gives the name of its value. Throws Error for an op without a form.
std::string write_op(Nodes& nodes, const SizedProgram& program, std::uint32_t op, const std::vector<Operand>& in,
                     const ir::PerLoop& steps);

}  // namespace rw::detail
