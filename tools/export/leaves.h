#pragma once

// Internal to tools/export/.

#include <string>
#include <vector>

#include <rewind/core/array.h>
#include <rewind/tools/export/sized_program.h>

namespace rw::detail {

/// Whether a leaf is a parameter or a constant.
bool is_known_leaf(const SizedProgram& program, std::int32_t leaf);
/// Its numbers, in the program's real type.
Array leaf_value(const SizedProgram& program, std::int32_t leaf);
/// Whether a leaf is a parameter, and among these if there are any: others are numbers that a module keeps, no weights.
bool is_weight(const SizedProgram& program, std::int32_t leaf, const std::vector<NamedParameter>& names);
/// A parameter's dotted name.
std::string leaf_name(const SizedProgram& program, std::int32_t leaf, const std::vector<NamedParameter>& names);

}  // namespace rw::detail
