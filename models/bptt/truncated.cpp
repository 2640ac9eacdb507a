#include <cstring>

#include <fmt/format.h>

#include <rewind/core/error.h>
#include <rewind/models/bptt/truncated.h>
#include <rewind/ops/compare.h>

namespace rw::detail {

Index BpttHistory::push(ConstView x, Index kept) {
  const Index now = steps + x.shape[0], left = std::min(now, kept), gone = now - left;
  const Array chunk(x);
  Array next(x.shape.with(0, left), x.dtype);
  const auto row = static_cast<std::size_t>(x.shape.without(0).size()) * size_of(x.dtype);
  const auto copy_steps = [&](const Array& from, Index first, Index to, Index count) {
    if (count > 0)
      std::memcpy(static_cast<std::byte*>(next.view().data) + static_cast<std::size_t>(to) * row,
                  static_cast<const std::byte*>(from.view().data) + static_cast<std::size_t>(first) * row,
                  static_cast<std::size_t>(count) * row);
  };
  const Index old = std::max<Index>(0, steps - gone);
  copy_steps(inputs, gone, 0, old);
  copy_steps(chunk, std::max<Index>(0, gone - steps), old, left - old);
  inputs = std::move(next);
  steps = left;
  for (Reset& reset : resets) reset.step -= gone;
  std::erase_if(resets, [](const Reset& reset) { return reset.step <= 0; });
  return gone;
}

std::vector<Index> BpttHistory::resets_before(Index step) const {
  std::vector<Index> streams;
  for (const Reset& reset : resets)
    if (reset.step == step) streams.push_back(reset.stream);
  return streams;
}

void check(const BpttWindow& window) {
  if (window.k1 < 1 || window.k2 < 1)
    throw Error(fmt::format("truncated bptt: k1 is {} and k2 is {}: both must be 1 or more", window.k1, window.k2));
}

void check_chunk(ConstView x, const BpttWindow& window) {
  if (x.shape.rank() < 2)
    throw Error("unroll: a sequence is [T, N, features] or [T, N] of indices, not " + x.shape.str());
  if (x.shape[0] > window.k1)
    throw Error(fmt::format("truncated bptt: a chunk of {} steps: k1 is {}, so it must have 1 to {}", x.shape[0],
                            window.k1, window.k1));
}

Tensor with_rows(Tensor t, ConstView initial, std::span<const Index> streams) {
  const Shape shape = t.shape();
  Shape rows;
  for (int i = 0; i < shape.rank(); ++i) rows = rows.inserted(i, i == 0 ? shape[0] : 1);
  Array mask(rows);
  for (const Index stream : streams) mask.span<float>()[static_cast<std::size_t>(stream)] = 1;
  return where(t.tape().constant(mask), t.tape().constant(initial), t);
}

void check_streams(const SavedState& state, Index batch) {
  for (const Array& a : state)
    if (a.shape().rank() == 0 || a.shape()[0] != batch)
      throw Error("truncated bptt: a state of shape " + a.shape().str() + " has no streams to reset one by one");
}

}  // namespace rw::detail
