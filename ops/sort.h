#pragma once

#include <rewind/ops/axes.h>

namespace rw {

// Along one axis, counted from the end when negative; the last one is the fast one. nan counts as larger than anything,
// inf too; equal numbers keep their order. A gradient goes back to where its number came from. Throws Error for an axis
// that is not there.

/// The numbers in rising order, or falling.
Tensor sort(Operand x, Axis axis = -1, bool descending = false);

/// The k largest numbers, largest first; the axis becomes k long. Throws Error when there are not so many.
Tensor topk(Operand x, Index k, Axis axis = -1);

}  // namespace rw
