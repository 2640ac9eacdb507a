#include <algorithm>
#include <onnx/onnx_pb.h>

#include <rewind/core/error.h>
#include <rewind/ops/compare.h>
#include <rewind/tools/export/onnx/load/tensor.h>
#include <rewind/tools/export/onnx/load/whole.h>

namespace rw::detail::load {
namespace {

Values shape(const Call& c) {
  const Shape s = c.shape(0);
  const auto end_of = [&](std::int64_t i) { return std::clamp<std::int64_t>(i < 0 ? i + s.rank() : i, 0, s.rank()); };
  const std::int64_t start = end_of(c.node().get<std::int64_t>("start", 0));
  const std::int64_t end = std::max(start, end_of(c.node().get<std::int64_t>("end", s.rank())));
  const std::vector<std::int64_t> lengths(s.begin() + start, s.begin() + end);
  return {Whole{{static_cast<Index>(lengths.size())}, lengths}};
}

Values size(const Call& c) { return {Whole{{}, {c.shape(0).size()}}}; }

Values constant_of_shape(const Call& c) {
  const Shape to = shape_from(c.whole(0).values);
  const Constant* given = c.node().find<Constant>("value");
  const Constant value = given == nullptr ? full({}, 0) : *given;
  if (const auto* real = std::get_if<Array>(&value)) return {c.tape().constant(real->item(), to)};
  const Whole& whole = std::get<Whole>(value);
  if (whole.values.size() != 1) throw c.error("its value is not one number");
  return {stretched(c, {.shape = {}, .values = {whole.values[0]}}, to)};
}

Values range(const Call& c) {
  const std::int64_t start = c.number(0), limit = c.number(1), step = c.number(2);
  if (step == 0) throw c.error("its step is 0");
  const auto size = static_cast<long double>(limit) - static_cast<long double>(start);
  const auto count = std::max(0.0L, size / static_cast<long double>(step));
  check_few(c, {static_cast<Index>(std::min(count, 2147483647.0L))});
  Whole out;
  for (std::int64_t i = start; step > 0 ? i < limit : i > limit;) {
    out.values.push_back(i);
    if (__builtin_add_overflow(i, step, &i)) break;
  }
  out.shape = {static_cast<Index>(out.values.size())};
  return {out};
}

/// Reals are of the tape's type; masks stay 1 and 0.
Values cast(const Call& c) {
  const auto to = c.node().get<std::int64_t>("to", 0);
  const bool is_truth = to == onnx::TensorProto::BOOL, to_real = !is_truth && is_real_type(static_cast<int>(to));
  if (c.is_whole(0)) {
    if (to_real) return {c.tape().constant(to_f64(c.whole(0)))};
    if (!is_truth) return {c.value(0)};
    return {mapped(c.whole(0), [](std::int64_t x) -> std::int64_t { return x != 0; })};
  }
  const Tensor x = c.tensor(0);
  if (is_real(x.dtype())) {
    if (to_real) return {x};
    if (is_truth) return {not_equal(x, 0)};
  } else if (!to_real && !is_truth) {
    return {x};
  }
  throw c.error("between reals and whole numbers that are not known before the network runs it has no form here");
}

void check_cast(const Node& n) {
  const auto* to = n.find<std::int64_t>("to");
  if (to == nullptr) throw n.error("it does not say to which type");
  is_real_type(static_cast<int>(std::clamp<std::int64_t>(*to, -1, 1000)));
}

}  // namespace

std::vector<Operator> shape_operators() {
  return {
      {.type = "Shape", .run = shape},
      {.type = "Size", .run = size},
      {.type = "ConstantOfShape", .run = constant_of_shape},
      {.type = "Range", .least = 3, .most = 3, .run = range},
      {.type = "Cast", .run = cast, .check = check_cast},
  };
}

}  // namespace rw::detail::load
