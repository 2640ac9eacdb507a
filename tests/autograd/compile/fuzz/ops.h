#pragma once

// The ops that random programs are made of. Each is an expression over named arguments: it is both run and printed.

#include <algorithm>
#include <string>
#include <vector>

#include <rewind/core/random.h>
#include <rewind/ops/ops.h>

namespace rw::fuzz {

/// The arguments that an op's expression may name; not every op uses all.
struct Arguments {
  Tape& tape;
  Tensor a, b;
  int axis = 0;
  Index start = 0, other = 0, length = 0;  // of slices; `other` in every second step
  Shape shape = {};
  bool flag = false;
  std::uint64_t seed = 0;
  Index t = 0;  // the step
};

/// How an op's inputs and numbers are chosen.
enum class Takes {
  one,        // a, of any shape
  pair,       // a and b that broadcast
  alike,      // a and b of one shape
  along,      // a with an axis, and a flag
  piece,      // a slice of one axis
  windows,    // a slice of the first axis that moves with the step
  matrix,     // a of two axes
  cube,       // a of three axes
  product,    // a [.., k] and b [k, n]
  product_t,  // a [m, k] and b [n, k]
  t_product,  // a [k, m] and b [k, n]
  batches,    // a [.., m, k] and b [.., k, n]
  stretch,    // a and a shape that it broadcasts to
  reshape,    // a and a shape of its size
  classes     // a of two axes or three, the last one the classes
};

struct Op {
  Takes takes;
  std::string text;
  Tensor (*run)(const Arguments&);
};

/// At least 0.3, smooth.
inline Tensor positive(Tensor x) { return square(x) + 0.3; }

/// Two gates from the halves of each row.
inline Tensor gated(Tensor z) {
  const auto [p, q] = split<2>(z);
  return sigmoid(p) * tanh(q);
}

/// Unequal parts of each row, the wider one first: what is written too wide stays to be seen.
inline Tensor uneven(Tensor z) {
  const Index n = z.size(-1), k = 1 + n / 3;
  const Tensor right = sigmoid(slice(z, -1, k, n - k)), left = tanh(slice(z, -1, 0, k));
  return concat({left, right}, -1);
}

/// Rows below each other that are columns of wider rows, the second ones of each, and some that are not.
inline Tensor columns_of_stack(Tensor a, Tensor b) {
  const Tensor wide = concat({concat({a, b}, -1), concat({b, a}, -1)}, 0);
  return concat({b, a}, 0) * concat({a, a}, 0) + mean(tanh(wide));
}

/// The same, where the wider rows are made of those.
inline Tensor stack_of_itself(Tensor a, Tensor b) {
  const Tensor narrow = concat({a, b}, 0), x = mean(narrow);
  return narrow * mean(concat({concat({a, b * x}, -1), concat({b, a * x}, -1)}, 0));
}

/// Two matrices with one gradient.
inline Tensor same_gradient(Tensor a, Tensor b, Tensor x) { return matmul(a, x) + matmul(b, x); }

/// A value that is read by two matrices and by something else: its gradient is a sum of products and the rest.
inline Tensor two_matrices(Tensor x, Tensor b, Tensor c) {
  return sum(tanh(matmul(x, b)), -1, true) + sum(tanh(matmul(x, c)), -1, true) + sum(square(x), -1, true);
}

/// A product over steps that follow each other, of which several are read at a time.
inline Tensor windows_of_product(Tensor a, Tensor b) {
  std::vector<Tensor> steps{tanh(a)};
  while (steps.size() < 6) steps.push_back(tanh(steps.back() * 1.1 + 0.1));
  const Tensor y = matmul(stack(steps), b);
  return slice(y, 0, 0, 2) * slice(y, 0, 1, 2) + slice(y, 0, 3, 1) * slice(y, 0, 4, 2);
}

/// Whole numbers in [0, bound).
inline Array random_indices(const Shape& shape, Index bound, std::uint64_t seed) {
  Rng rng(seed);
  Array out(shape, DType::i32);
  for (std::int32_t& i : out.span<std::int32_t>()) i = static_cast<std::int32_t>(rng.below(bound));
  return out;
}

// clang-format off: an expression is printed as it stands here.
#define REWIND_FUZZ_OP(takes, expression)                                                                      \
  Op {                                                                                                         \
    Takes::takes, #expression, [](const Arguments& arguments) -> Tensor {                                      \
      [[maybe_unused]] const auto& [tape, a, b, axis, start, other, length, shape, flag, seed, t] = arguments; \
      return expression;                                                                                       \
    }                                                                                                          \
  }

/// Every function of ops/, some of them in several forms. What gates, norms, attention and losses are made of stands
/// more than once: the table is drawn from evenly.
inline const std::vector<Op>& ops() {
  static const std::vector<Op> table{
      REWIND_FUZZ_OP(one, tanh(a)),
      REWIND_FUZZ_OP(one, sigmoid(a)),
      REWIND_FUZZ_OP(one, sigmoid(a) * 2),
      REWIND_FUZZ_OP(one, 1 - a),
      REWIND_FUZZ_OP(one, -a),
      REWIND_FUZZ_OP(one, square(a)),
      REWIND_FUZZ_OP(one, sqrt(positive(a))),
      REWIND_FUZZ_OP(one, exp(tanh(a))),
      REWIND_FUZZ_OP(one, log(positive(a))),
      REWIND_FUZZ_OP(one, abs(a)),
      REWIND_FUZZ_OP(one, pow(positive(a), 1.7)),
      REWIND_FUZZ_OP(one, sin(a)),
      REWIND_FUZZ_OP(one, cos(a)),
      REWIND_FUZZ_OP(one, clamp(a, -0.8, 0.9)),
      REWIND_FUZZ_OP(one, clip_gradient(a, 1e6)),
      REWIND_FUZZ_OP(one, relu(a)),
      REWIND_FUZZ_OP(one, leaky_relu(a, 0.1)),
      REWIND_FUZZ_OP(one, softplus(a)),
      REWIND_FUZZ_OP(one, gelu(a)),
      REWIND_FUZZ_OP(one, erf(a)),
      REWIND_FUZZ_OP(one, normal_pdf(a)),
      REWIND_FUZZ_OP(one, normal_cdf(a)),
      REWIND_FUZZ_OP(one, a * detach(a)),
      REWIND_FUZZ_OP(one, a + a),
      REWIND_FUZZ_OP(one, dropout(a, 0.3)),
      REWIND_FUZZ_OP(one, a * bernoulli_mask(tape, a.shape(), 0.4)),
      REWIND_FUZZ_OP(one, a * tape.constant(0.5) + 0.25),
      REWIND_FUZZ_OP(one, sum(a)),
      REWIND_FUZZ_OP(one, mean(a)),
      REWIND_FUZZ_OP(pair, a + b),
      REWIND_FUZZ_OP(pair, a + b),
      REWIND_FUZZ_OP(pair, a - b),
      REWIND_FUZZ_OP(pair, a * b),
      REWIND_FUZZ_OP(pair, a * b),
      REWIND_FUZZ_OP(pair, sigmoid(a) * b),
      REWIND_FUZZ_OP(pair, sigmoid(a) * b + (1 - sigmoid(a)) * tanh(b)),
      REWIND_FUZZ_OP(pair, gated(a + b)),
      REWIND_FUZZ_OP(pair, gated(tanh(a) * b)),
      REWIND_FUZZ_OP(pair, slice(concat({tanh(a), tanh(a) * 2}, -1), -1, a.size(-1), a.size(-1)) * b),
      REWIND_FUZZ_OP(pair, a / positive(b)),
      REWIND_FUZZ_OP(pair, pow(positive(a), tanh(b))),
      REWIND_FUZZ_OP(pair, maximum(a, b)),
      REWIND_FUZZ_OP(pair, minimum(a, b)),
      REWIND_FUZZ_OP(pair, equal(a, b) + a * b),
      REWIND_FUZZ_OP(pair, not_equal(a, b) * a + b),
      REWIND_FUZZ_OP(pair, (a < b) * a + b),
      REWIND_FUZZ_OP(pair, (a <= b) * a + b),
      REWIND_FUZZ_OP(pair, (a > b) * a + b),
      REWIND_FUZZ_OP(pair, (a >= b) * a + b),
      REWIND_FUZZ_OP(pair, where(a > 0.1, b, a * 2)),
      REWIND_FUZZ_OP(pair, where(a > 0, b, b * 0)),
      REWIND_FUZZ_OP(along, sum(a, axis, flag)),
      REWIND_FUZZ_OP(along, sum(a, -1, true)),
      REWIND_FUZZ_OP(along, mean(a, axis, flag)),
      REWIND_FUZZ_OP(along, a - mean(a, -1, true)),
      REWIND_FUZZ_OP(along, a / sqrt(mean(square(a), -1, true) + 0.1)),
      REWIND_FUZZ_OP(along, max(a, {axis}, flag)),
      REWIND_FUZZ_OP(along, max(a, {-1}, true)),
      REWIND_FUZZ_OP(along, min(a, {axis}, flag)),
      REWIND_FUZZ_OP(along, logsumexp(a, axis, flag)),
      REWIND_FUZZ_OP(along, softmax(a, axis)),
      REWIND_FUZZ_OP(along, log_softmax(a, axis)),
      REWIND_FUZZ_OP(along, tanh(a) / sqrt(mean(square(tanh(a)), -1, true) + 0.1)),
      REWIND_FUZZ_OP(along, tanh(a * 2) / (sum(square(tanh(a * 2) + 1), -1, true) + 0.1)),
      REWIND_FUZZ_OP(along, leaky_relu(-softmax(leaky_relu(-softmax(a, axis), 0.1), axis), 0.4)),
      REWIND_FUZZ_OP(along, flip(a, axis)),
      REWIND_FUZZ_OP(along, select(a, axis, flag ? -1 : 0)),
      REWIND_FUZZ_OP(along, select(a, 0, t % a.size(0))),
      REWIND_FUZZ_OP(along, select(a, 0, t % a.size(0))),
      REWIND_FUZZ_OP(along, select(a, 0, a.size(0) - 1 - t % a.size(0))),
      REWIND_FUZZ_OP(along, reshape(tanh(a + tanh(select(a, 0, 0))), a.shape().inserted(0, 1))),
      REWIND_FUZZ_OP(along, a * hardmax(a)),
      REWIND_FUZZ_OP(piece, slice(a, axis, start, length)),
      REWIND_FUZZ_OP(piece, slice(a, axis, t % 2 == 0 ? start : other, length)),
      REWIND_FUZZ_OP(piece, slice(a, axis, start, length) * slice(a, axis, other, length)),
      REWIND_FUZZ_OP(piece, concat({slice(a, axis, other, length), a, slice(a, axis, start, length)}, axis)),
      REWIND_FUZZ_OP(piece, slice(concat({tanh(a), a, a * 2}, axis), axis, a.size(axis) + start, length)),
      REWIND_FUZZ_OP(piece, slice(slice(a, axis, start, length), axis, length / 2, length - length / 2)),
      REWIND_FUZZ_OP(windows, slice(a, 0, std::min(t, a.size(0) - length), length)),
      REWIND_FUZZ_OP(reshape, reshape(a, shape)),
      REWIND_FUZZ_OP(stretch, broadcast_to(a, shape)),
      REWIND_FUZZ_OP(matrix, transpose(a)),
      REWIND_FUZZ_OP(cube, permute(a, {2, 0, 1})),
      REWIND_FUZZ_OP(cube, permute(a, {1, 0, 2})),
      REWIND_FUZZ_OP(alike, concat({a, b, a}, axis)),
      REWIND_FUZZ_OP(alike, concat({a, b}, -1)),
      REWIND_FUZZ_OP(alike, stack({a, b}, axis)),
      REWIND_FUZZ_OP(alike, columns_of_stack(a, b)),
      REWIND_FUZZ_OP(alike, stack_of_itself(a, b)),
      REWIND_FUZZ_OP(alike, same_gradient(a, b, one_hot(tape.constant(random_indices(Shape{a.size(-1)}, 3, seed)), 3))),
      REWIND_FUZZ_OP(product, matmul(a, b)),
      REWIND_FUZZ_OP(product, matmul(a, b)),
      REWIND_FUZZ_OP(product, tanh(matmul(a, b))),
      REWIND_FUZZ_OP(product, uneven(matmul(a, b))),
      REWIND_FUZZ_OP(product, windows_of_product(a, b)),
      REWIND_FUZZ_OP(product,
                     two_matrices(tanh(a), b, one_hot(tape.constant(random_indices(Shape{a.size(-1)}, 3, seed)), 3))),
      REWIND_FUZZ_OP(product, concat({matmul(a, b), tanh(matmul(a, b))}, -1)),
      REWIND_FUZZ_OP(product, matmul(a, slice(b, 1, 0, (b.size(1) + 1) / 2))),
      REWIND_FUZZ_OP(product_t, matmul(a, b, {.transpose_b = true})),
      REWIND_FUZZ_OP(t_product, matmul(a, b, {.transpose_a = true})),
      REWIND_FUZZ_OP(batches, matmul(a, b)),
      REWIND_FUZZ_OP(matrix, lookup(a, tape.constant(random_indices(Shape{3}, a.size(0), seed)))),
      REWIND_FUZZ_OP(classes,
                     pick(a, tape.constant(random_indices(a.shape().without(a.shape().rank() - 1), a.size(-1), seed)))),
      REWIND_FUZZ_OP(matrix,
                     a * one_hot(tape.constant(random_indices(Shape{a.size(0)}, a.size(1), seed)), a.size(1)) + a),
      REWIND_FUZZ_OP(classes, clear_padding(a, tape.constant(random_indices(Shape{a.size(1)}, a.size(0) + 1, seed)))),
      REWIND_FUZZ_OP(classes, cross_entropy(a, tape.constant(random_indices(a.shape().without(a.shape().rank() - 1),
                                                                            a.size(-1), seed)))),
      REWIND_FUZZ_OP(
          classes,
          nll(log_softmax(a), tape.constant(random_indices(a.shape().without(a.shape().rank() - 1), a.size(-1), seed)),
              {.reduction = Reduction::none})),
      REWIND_FUZZ_OP(alike, mse(a, b)),
      REWIND_FUZZ_OP(alike, l1(a, b + 0.07)),
      REWIND_FUZZ_OP(alike, huber(a, b, 0.5, {.reduction = Reduction::none})),
      REWIND_FUZZ_OP(alike, binary_cross_entropy_with_logits(a, sigmoid(b))),
  };
  return table;
}
// clang-format on

}  // namespace rw::fuzz
