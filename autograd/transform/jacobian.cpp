#include <rewind/autograd/detail/tape_data.h>
#include <rewind/autograd/permute.h>
#include <rewind/autograd/structural.h>
#include <rewind/autograd/transform/jacobian.h>
#include <rewind/autograd/transform/section.h>

namespace rw::detail {
namespace {

Index numbers_in(std::span<const Tensor> all) {
  Index n = 0;
  for (const Tensor& t : all) n += t.size();
  return n;
}

// The unit directions of all numbers of `of`, cut into its tensors: each [n, ...].
std::vector<Tensor> unit_directions(Tape& tape, std::span<const Tensor> of) {
  const Index n = numbers_in(of);
  std::vector<Tensor> out;
  Index at = 0;
  for (const Tensor& t : of) {
    Array part(Shape{n, t.size()}, DType::f64);
    for (Index i = 0; i < t.size(); ++i) part.span<double>()[static_cast<std::size_t>((at + i) * t.size() + i)] = 1;
    at += t.size();
    out.push_back(tape.constant(part.reshaped(t.shape().inserted(0, n))));
  }
  return out;
}

// [n, ...] side by side as [n, all numbers].
Tensor as_matrix(Tape& tape, Index n, std::span<const Tensor> parts) {
  std::vector<Operand> flat;
  for (const Tensor& t : parts) flat.emplace_back(record(Reshape{Shape{n, n == 0 ? 0 : t.size() / n}}, {t}));
  if (flat.empty()) return tape.constant(0, Shape{n, 0});
  return flat.size() == 1 ? tape.tensor(tape.data().resolve(flat[0]))
                          : record(Concat{1}, std::span<const Operand>(flat));
}

}  // namespace

Tensor along_units(Tape& tape, std::span<const Tensor> of,
                   const std::function<std::vector<Tensor>(std::span<const Tensor>)>& f) {
  const Index n = numbers_in(of);
  return as_matrix(tape, n, map_examples(tape, n, unit_directions(tape, of), f));
}

Tensor jacobian(Differentiation& work, std::span<const Tensor> of, std::span<const Tensor> by, Direction direction) {
  Tape& tape = *work.tape().owner;
  const std::vector<Tensor> y = real_ones(of), x = real_ones(by);
  const Index m = numbers_in(y), n = numbers_in(x);
  if (m == 0 || n == 0) return tape.constant(0, Shape{m, n});
  const bool by_rows = direction == Direction::rows || (direction == Direction::cheaper && m <= n);
  const Tensor j = along_units(tape, by_rows ? y : x, [&](std::span<const Tensor> unit) {
    return by_rows ? work.pullback(y, unit, x) : work.pushforward(y, x, unit);
  });
  return by_rows ? j : record(Permute{.rank = 2, .axes = {1, 0}}, {j});
}

}  // namespace rw::detail
