#include <algorithm>

#include <fmt/format.h>

#include <rewind/core/error.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/matmul.h>
#include <rewind/ops/reduce.h>
#include <rewind/ops/softmax.h>
#include <rewind/ops/view.h>
#include <rewind/tools/export/onnx/load/whole.h>

namespace rw::detail::load {
namespace {

/// The axes before the last two.
Shape leading(const Shape& s) {
  const std::vector<Index> all(s.begin(), s.end());
  return Shape(std::span(all).first(all.size() - 2));
}

Tensor with_leading(Tensor x, const Shape& lead) {
  if (leading(x.shape()) == lead) return x;
  const Shape to = lead.inserted(lead.rank(), x.size(-2));
  return broadcast_to(x, to.inserted(to.rank(), x.size(-1)));
}

/// As NumPy's: vectors are rows on the left and columns on the right, and leading axes broadcast.
Values mat_mul(const Call& c) {
  Tensor a = c.real(0), b = c.real(1);
  const bool row = a.shape().rank() == 1, column = b.shape().rank() == 1;
  if (a.shape().rank() == 0 || b.shape().rank() == 0) throw c.error("a single number has no product of matrices");
  if (row) a = reshape(a, {1, a.size()});
  if (column) b = reshape(b, {b.size(), 1});
  if (b.shape().rank() > 2) {
    const Shape lead = broadcast(leading(a.shape()), leading(b.shape()));
    a = with_leading(a, lead);
    b = with_leading(b, lead);
  }
  Tensor y = matmul(a, b);
  if (column) y = reshape(y, y.shape().without(y.shape().rank() - 1));
  if (row) y = reshape(y, y.shape().without(y.shape().rank() - (column ? 1 : 2)));
  return {y};
}

Values gemm(const Call& c) {
  const Node& n = c.node();
  const auto is = [&](const char* name) { return n.get<std::int64_t>(name, 0) != 0; };
  Tensor y = matmul(c.real(0), c.real(1), {.transpose_a = is("transA"), .transpose_b = is("transB")});
  const double alpha = n.get("alpha", 1.0), beta = n.get("beta", 1.0);
  if (alpha != 1) y = y * alpha;
  if (!c.has(2) || beta == 0) return {y};
  return {y + (beta == 1 ? c.real(2) : c.real(2) * beta)};
}

/// Axes to reduce, from the front; all where none are said, unless that means none.
std::vector<int> reduced_axes(const Call& c, int rank) {
  const auto said = c.axes("axes", 1);
  std::vector<int> out;
  if (said && !said->empty()) {
    for (const std::int64_t a : *said) out.push_back(c.axis(a, rank));
    std::sort(out.begin(), out.end());
    if (std::adjacent_find(out.begin(), out.end()) != out.end()) throw c.error("an axis is named twice");
  } else if (c.node().get<std::int64_t>("noop_with_empty_axes", 0) == 0) {
    for (int a = 0; a < rank; ++a) out.push_back(a);
  }
  return out;
}

/// One axis after the other, the last first.
template <class F>
Values reduced(const Call& c, F&& f) {
  Tensor x = c.real(0);
  const std::vector<int> axes = reduced_axes(c, x.shape().rank());
  const bool keep = c.node().get<std::int64_t>("keepdims", 1) != 0;
  for (std::size_t i = axes.size(); i-- > 0;) x = f(x, axes[i], keep);
  return {x};
}

/// Of lengths: their product is a number of elements.
Values reduce_product(const Call& c) {
  const Whole& x = c.whole(0);
  if (x.shape.rank() > 1) throw c.error("whole numbers " + x.shape.str() + " are not multiplied");
  Whole one{.shape = {}, .values = {1}};
  for (const std::int64_t v : x.values)
    if (__builtin_mul_overflow(one.values[0], v, one.values.data())) throw c.error("a product is too large");
  return {c.node().get<std::int64_t>("keepdims", 1) != 0 ? Whole{{1}, one.values} : one};
}

/// Before opset 13 everything from the axis on was one; of the last axis that is the same.
template <Tensor (*f)(Operand, Axis)>
Values normalised(const Call& c) {
  const Tensor x = c.real(0);
  const int rank = x.shape().rank();
  const int axis = c.axis(c.node().get<std::int64_t>("axis", c.opset() < 13 ? 1 : -1), rank);
  if (c.opset() < 13 && axis != rank - 1) throw c.error("along several axes, as before opset 13, it has no form here");
  return {f(x, axis)};
}

Operator reduction(std::string_view type, Values (*run)(const Call&)) { return {.type = type, .most = 2, .run = run}; }

}  // namespace

std::vector<Operator> sum_operators() {
  return {
      {.type = "MatMul", .least = 2, .most = 2, .run = mat_mul},
      {.type = "Gemm", .least = 2, .most = 3, .run = gemm},
      reduction(
          "ReduceSum",
          [](const Call& c) { return reduced(c, [](Tensor x, int axis, bool keep) { return sum(x, axis, keep); }); }),
      reduction("ReduceMean",
                [](const Call& c) {
                  return reduced(c, [](Tensor x, int axis, bool keep) { return rw::mean(x, axis, keep); });
                }),
      reduction(
          "ReduceMax",
          [](const Call& c) { return reduced(c, [](Tensor x, int axis, bool keep) { return max(x, {axis}, keep); }); }),
      reduction(
          "ReduceMin",
          [](const Call& c) { return reduced(c, [](Tensor x, int axis, bool keep) { return min(x, {axis}, keep); }); }),
      reduction("ReduceLogSumExp",
                [](const Call& c) {
                  return reduced(c, [](Tensor x, int axis, bool keep) { return logsumexp(x, axis, keep); });
                }),
      reduction("ReduceProd", reduce_product),
      {.type = "Softmax", .run = normalised<softmax>},
      {.type = "LogSoftmax", .run = normalised<log_softmax>},
  };
}

}  // namespace rw::detail::load
