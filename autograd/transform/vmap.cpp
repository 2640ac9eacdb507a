#include <algorithm>

#include <fmt/format.h>

#include <rewind/autograd/permute.h>
#include <rewind/autograd/structural.h>
#include <rewind/autograd/transform/vmap.h>
#include <rewind/core/error.h>

namespace rw::detail {
namespace {

// x with axis `from` at place `to`; the others keep their order.
Tensor moved(const Tensor& x, int from, int to) {
  if (from == to) return x;
  Permute op{.rank = x.shape().rank()};
  std::vector<Index> axes;
  for (int i = 0; i < x.shape().rank(); ++i)
    if (i != from) axes.push_back(i);
  axes.insert(axes.begin() + to, from);
  std::copy(axes.begin(), axes.end(), op.axes.begin());
  return record(op, {x});
}

}  // namespace

void Mapping::add(Tensor t, std::size_t argument) {
  if (options_.in.empty()) throw Error("[vmap] no axis is given: `in` is empty");
  const int given = options_.in[std::min(argument, options_.in.size() - 1)];
  if (given == no_axis) {
    parts_.push_back({t, false});
    return;
  }
  const Shape shape = t.shape();
  const int axis = given < 0 ? given + shape.rank() : given;
  if (axis < 0 || axis >= shape.rank())
    throw tape_.error("vmap", fmt::format("argument {} of shape {} has no axis {}", argument, shape.str(), given));
  if (size_.has_value() && *size_ != shape[axis])
    throw tape_.error("vmap", fmt::format("argument {} of shape {} has {} examples along axis {}; those before have {}",
                                          argument, shape.str(), shape[axis], given, *size_));
  size_ = shape[axis];
  Tensor whole = moved(t, axis, 0);
  if (options_.keep_axis) {  // [size, ..., 1, ...]
    const Shape one = shape.with(axis, 1);
    if (one.rank() == max_rank)
      throw tape_.error("vmap", "argument of shape " + shape.str() + " has no room for one more axis");
    whole = record(Reshape{one.inserted(0, *size_)}, {whole});
  }
  parts_.push_back({whole, true});
}

std::vector<Tensor> Mapping::begin() {
  if (!size_.has_value()) throw tape_.error("vmap", "no argument has examples: every axis is no_axis");
  if (*size_ == 0) throw tape_.error("vmap", "there are no examples: the axis has length 0");
  section_.emplace(tape_);
  std::vector<Tensor> out;
  for (const Part& p : parts_)
    out.push_back(p.batched ? section_->placeholder(p.whole.shape().without(0), p.whole.dtype(), p.whole.needs_grad())
                            : p.whole);
  return out;
}

std::vector<Tensor> Mapping::end(std::span<const Tensor> results) {
  section_->end(results);
  std::vector<Tensor> batched;
  for (const Part& p : parts_)
    if (p.batched) batched.push_back(p.whole);
  std::vector<Tensor> out;
  for (const Tensor& y : section_->replay(*size_, batched)) {
    const int to = options_.out < 0 ? options_.out + y.shape().rank() : options_.out;
    if (to < 0 || to >= y.shape().rank())
      throw tape_.error("vmap", fmt::format("a result of shape {} has no axis {}", y.shape().str(), options_.out));
    out.push_back(moved(y, 0, to));
  }
  return out;
}

}  // namespace rw::detail
