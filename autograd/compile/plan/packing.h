#pragma once

#include <cstddef>
#include <cstdint>

#include <rewind/autograd/compile/options.h>
#include <rewind/autograd/program/graph.h>

/// Which matrices of products are packed.
namespace rw::ir {

/// A matrix and how it is read.
inline std::uint64_t matrix_key(NodeId b, bool tb) { return static_cast<std::uint64_t>(b) << 1 | (tb ? 1u : 0u); }

/// Whether a matrix is a parameter or constant, a part of one, or some of them put together: it is the same in all of a
/// replay, however often products by it are computed again.
bool is_same_all_along(const Graph& g, NodeId matrix);

/// The bytes that a plan with `CompileOptions::memory` packs: all matrices that are the same all along, if their
/// products suit it. What is packed changes bits, and so may not depend on what is computed again.
std::size_t bytes_packed(const Graph& g, const CompileOptions& options);

}  // namespace rw::ir
