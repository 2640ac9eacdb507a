#pragma once

#include <rewind/autograd/op.h>

namespace rw::ir {

/// Whether `op` is one of those that combined loops are made of: add, sub, mul or times0.
bool combines(Arithmetic op);

/// A loop over (a inner b) outer c, or c outer (a inner b) when `swapped`; each result rounded as by loops of its own.
const VectorLoop& chained_loop(Arithmetic inner, Arithmetic outer, bool swapped);

/// A loop over (a left b) outer (c right d).
const VectorLoop& paired_loop(Arithmetic left, Arithmetic right, Arithmetic outer);

}  // namespace rw::ir
