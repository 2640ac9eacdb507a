#pragma once

// Internal to tools/export/.

#include <functional>

#include <rewind/tools/export/onnx/load/operators.h>

namespace rw::detail::load {

// Whole numbers that are known: what files compute of shapes.

/// As an array of i32. Throws Error for a number that does not fit.
Array to_i32(const Whole& x);
/// Throws Error for too many lengths, and for those that no shape has.
Shape shape_from(const std::vector<std::int64_t>& lengths);
/// As an array of reals.
Array to_f64(const Whole& x);

/// Throws Error for more numbers than a computation of shapes has: files may ask for any.
void check_few(const Call& call, const Shape& shape);

/// f of each number, and of each pair, with broadcasting.
Whole mapped(const Whole& x, std::int64_t (*f)(std::int64_t));
Whole mapped(const Call& call, const Whole& a, const Whole& b,
             const std::function<std::int64_t(std::int64_t, std::int64_t)>& f);
Whole stretched(const Call& call, const Whole& x, const Shape& to);

// Of both kinds of values.

/// Positions of one axis, in this order.
Value taken(const Call& call, const Value& x, int axis, const std::vector<Index>& positions);
Value reshaped(const Value& x, const Shape& shape);
/// End to end.
Value joined(const Call& call, const Values& parts, int axis);

}  // namespace rw::detail::load
