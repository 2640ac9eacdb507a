#pragma once

#include <rewind/ops/axes.h>

namespace rw {

/// The linear recurrence h(t) = a(t) h(t-1) + x(t) along one axis, element by element, from h before the first step 0
/// on: what first-order IIR filters, LRU, minGRU, QRNN and SRU have in common. a and x have one shape, which is that of
/// the result. A product is 0 where either of its factors is 0 (`times0`): an a(t) of 0 begins anew, whatever was
/// before. a(0) has no effect.
///
/// Long recurrences of few elements are computed by a parallel scan (Blelloch, 1990): blocks of steps at once, which
/// then take over what comes from before them; blocks depend on the shape alone, so results have the same bits for any
/// number of threads. Its gradient is the same recurrence, backward in time (Martin and Cundy, 2018).
/// Throws Error for shapes that differ and an axis that is not there.
Tensor linear_recurrence(Operand a, Operand x, Axis axis = 0);

/// The same from `start`, the h before the first step: of a's shape without the axis, or one that broadcasts to it.
Tensor linear_recurrence_from(Operand start, Operand a, Operand x, Axis axis = 0);

}  // namespace rw
