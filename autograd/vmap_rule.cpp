#include <algorithm>
#include <vector>

#include <rewind/autograd/structural.h>
#include <rewind/autograd/vmap_rule.h>

namespace rw {

Shape Vmap::shape(int i) const {
  const Shape whole = x(i).shape();
  return batched(i) ? whole.without(0) : whole;
}

Shape Vmap::many(const Shape& one, int rank) const {
  if (std::max(one.rank(), rank) >= max_rank)
    throw tape_.error(info_.name, "vmap would give " + one.str() + " an axis more than the " +
                                      std::to_string(max_rank) + " that there may be: use a loop over slices");
  Shape all = one;
  while (all.rank() < rank) all = all.inserted(0, 1);
  return all.inserted(0, size_);
}

Tensor Vmap::all(int i) const {
  if (batched(i)) return x(i);
  const Shape whole = many(shape(i));
  if (is_real(x(i).dtype())) return record(BroadcastTo{whole}, {x(i)});
  const Tensor row = record(Reshape{shape(i).inserted(0, 1)}, {x(i)});
  const std::vector<Operand> rows(static_cast<std::size_t>(size_), Operand(row));
  return record(Concat{0}, std::span<const Operand>(rows));
}

Tensor Vmap::one(int i, Index example) const {
  if (!batched(i)) return x(i);
  return record(Reshape{shape(i)}, {record(Slice{0, example, 1}, {x(i)})});
}

Tensor Vmap::loop() const {
  std::vector<Operand> rows;
  for (Index e = 0; e < size_; ++e) {
    std::vector<Operand> in;
    for (int i = 0; i < inputs(); ++i) in.emplace_back(one(i, e));
    const Tensor y = tape_.record(info_, op_, in);
    rows.emplace_back(record(Reshape{Vmap(tape_, info_, op_, 1, {}).many(y.shape())}, {y}));
  }
  return record(Concat{0}, std::span<const Operand>(rows));
}

// Broadcasting aligns shapes at the last axis, so the new axis must be in front of all.
Tensor Vmap::elementwise() const {
  int rank = 0;
  for (int i = 0; i < inputs(); ++i) rank = std::max(rank, shape(i).rank());
  std::vector<Operand> in;
  for (int i = 0; i < inputs(); ++i) {
    const bool aligned = !batched(i) || shape(i).rank() == rank;
    in.emplace_back(aligned ? x(i) : record(Reshape{many(shape(i), rank)}, {x(i)}));
  }
  return tape_.record(info_, op_, in);
}

Tensor Vmap::run(Tape& tape, const OpInfo& info, const void* op, Index size, std::span<const Input> inputs) {
  Vmap v(tape, info, op, size, inputs);
  if (info.vmap != nullptr) {
    Tensor y;
    info.vmap(op, v, y);
    return y;
  }
  if (info.elementwise != nullptr) return v.elementwise();
  if (!info.leading_axes) return v.loop();
  std::vector<Operand> in;
  for (int i = 0; i < v.inputs(); ++i) in.emplace_back(v.all(i));
  return tape.record(info, op, in);
}

}  // namespace rw
