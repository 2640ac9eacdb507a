#pragma once

#include <span>

#include <rewind/core/vector_loop.h>
#include <rewind/core/view.h>

namespace rw {

/// Inputs a broadcasting loop may have: an elementwise op's, its value, the incoming gradient and the one added to.
inline constexpr int max_loop_inputs = 6;

/// y = fn(x...) elementwise, each x stretched to y's shape; rows of any view may be apart. All of one real type. y may
/// be one of the x when they have the same layout. Large arrays are shared among threads; every element's bits are the
/// same for any number of them.
void broadcast_loop(const VectorLoop& loop, const void* fn, std::span<const ConstView> x, View y);

/// The same when all have y's shape and are contiguous: just `n` elements at each pointer.
void contiguous_loop(const VectorLoop& loop, const void* fn, DType dtype, Index n, const void* const* x, int inputs,
                     void* y);

}  // namespace rw
