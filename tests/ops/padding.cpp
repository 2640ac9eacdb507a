#include <algorithm>
#include <cmath>
#include <cstdint>

#include <doctest/doctest.h>

#include <rewind/autograd/backward.h>
#include <rewind/autograd/compile/compile.h>
#include <rewind/core/error.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/loss.h>
#include <rewind/ops/padding.h>
#include <rewind/ops/reduce.h>
#include <rewind/tools/gradcheck/check_op.h>

using namespace rw;

namespace {

Array lengths_of(std::initializer_list<std::int32_t> values) { return Array(std::vector<std::int32_t>(values)); }

// Element i of [T, N, ...] is no padding.
bool inside(const Shape& shape, Index i, const Array& lengths) {
  const Index row = i / (shape.size() / (shape[0] * shape[1]));
  return row / shape[1] < lengths.span<std::int32_t>()[static_cast<std::size_t>(row % shape[1])];
}

Array cleared(const Array& x, const Array& lengths) {
  Array y = x;
  for (Index i = 0; i < y.size(); ++i)
    if (!inside(y.shape(), i, lengths)) y.span<double>()[static_cast<std::size_t>(i)] = 0;
  return y;
}

}  // namespace

TEST_CASE("sequence_mask") {
  CHECK(check_op(
      "sequence_mask", [](Tensor lengths) { return sequence_mask(lengths, 3); },
      [](const Array& lengths) {
        return cleared(full({3, lengths.size()}, 1, DType::f64), lengths);
      },
      {.shapes = {{{4}}, {{1}}, {{0}}}, .domains = {{.classes = 4}}, .bad = {{{}}, {{2, 2}}}, .gradient = false}));
  Tape tape;
  const Tensor lengths = tape.constant(lengths_of({2, 0, 3}));
  CHECK(sequence_mask(lengths, 3).array() == Array({1., 0., 1., 1., 0., 1., 0., 0., 1.}, {3, 3}).to(DType::f32));
  CHECK(sequence_mask(lengths, 3, 4).shape() == Shape{3, 3, 1, 1});
  CHECK_THROWS_AS(sequence_mask(lengths, 3, 1), Error);
  CHECK_THROWS_AS(sequence_mask(lengths, 3, 7), Error);
}

TEST_CASE("clear_padding") {
  CHECK(check_op("clear_padding", [](Tensor x, Tensor lengths) { return clear_padding(x, lengths); }, cleared,
                 {.shapes = {{{3, 2}, {2}}, {{3, 2, 4}, {2}}, {{3, 1, 2, 2}, {1}}, {{3, 0, 2}, {0}}},
                  .domains = {{}, {.classes = 4}},
                  .bad = {{{3, 2}, {3}}, {{3}, {3}}, {{3, 2}, {2, 1}}}}));
}

TEST_CASE("lengths_within") {
  CHECK(check_op(
      "lengths_within", [](Tensor lengths) { return sequence_mask(lengths_within(lengths, 5, 1, 3), 3); },
      [](const Array& lengths) {
        Array part = lengths;
        for (std::int32_t& n : part.span<std::int32_t>()) n = std::min(std::max(n - 1, 0), 3);
        return cleared(full({3, lengths.size()}, 1, DType::f64), part);
      },
      {.shapes = {{{6}}, {{1}}, {{0}}}, .domains = {{.classes = 6}}, .bad = {{{}}, {{2, 2}}}, .gradient = false}));
  Tape tape;
  const Tensor lengths = tape.constant(lengths_of({5, 0, 2}));
  CHECK(lengths_within(lengths, 5, 2, 3).array() == lengths_of({3, 0, 0}));
  CHECK_THROWS_WITH_AS(lengths_within(lengths, 4, 0, 2),
                       "[lengths_within] the length of sequence 0 is 5: it must be from 0 to 4, the number of steps",
                       Error);
  CHECK_THROWS_WITH_AS(lengths_within(lengths, 5, 3, 3), "[lengths_within] steps 3 to 6 are not a part of 5 steps",
                       Error);
  CHECK_THROWS_WITH_AS(lengths_within(tape.constant(full({3}, 1)), 5, 0, 3),
                       "[lengths_within] lengths must be indices (i32), not f32", Error);
}

TEST_CASE("padding may hold nan, and indices may hold anything") {
  Tape tape;
  const Tensor lengths = tape.constant(lengths_of({1, 2}));
  const Tensor x = tape.variable(Array({1.0, 2.0, std::nan(""), 4.0}, Shape{2, 2}));
  const Tensor y = clear_padding(x, lengths);
  CHECK(y.array() == Array({1.0, 2.0, 0.0, 4.0}, Shape{2, 2}).to(DType::f32));
  CHECK(grad(sum(square(y)), x).array() == Array({2.0, 4.0, 0.0, 8.0}, Shape{2, 2}).to(DType::f32));
  const Tensor indices = tape.constant(Array({1, 2, -100, 4}, {2, 2}));
  CHECK(clear_padding(indices, lengths).array() == Array({1, 2, 0, 4}, {2, 2}));
}

TEST_CASE("a length outside is named, also by a compiled function") {
  Tape tape;
  const Tensor x = tape.constant(0, Shape{3, 2});
  const auto refused = [&](std::int32_t length) { return tape.constant(lengths_of({1, length})); };
  CHECK_THROWS_WITH_AS(clear_padding(x, refused(4)),
                       "[clear_padding] the length of sequence 1 is 4: it must be from 0 to 3, the number of steps",
                       Error);
  CHECK_THROWS_WITH_AS(sequence_mask(refused(-1), 3),
                       "[sequence_mask] the length of sequence 1 is -1: it must be from 0 to 3, the number of steps",
                       Error);
  auto plan = compile([](Tape&, Tensor in, Tensor lengths) { return clear_padding(in, lengths); }, full({3, 2}, 1),
                      lengths_of({1, 3}));
  CHECK(sum(tape.constant(plan(full({3, 2}, 1), lengths_of({2, 0})).array())).item() == 2);
  CHECK_THROWS_WITH_AS(plan(full({3, 2}, 1), lengths_of({5, 0})), doctest::Contains("sequence 0 is 5"), Error);
  CHECK(plan(full({3, 2}, 1), lengths_of({2, 0})).array().at({1, 0}) == 1);
}

TEST_CASE("a masked loss is that of the sequences alone, whatever the padding holds") {
  const double nan = std::nan("");
  Tape tape(DType::f64);
  const Tensor lengths = tape.constant(lengths_of({2, 1})), mask = sequence_mask(lengths, 2);
  const Tensor x = tape.variable(Array({1.0, 2.0, 3.0, nan}, Shape{2, 2}));
  const Tensor target = tape.constant(Array({0.5, 0.25, 1.0, nan}, Shape{2, 2}));
  const Tensor xs = tape.variable(Array({1.0, 2.0, 3.0}, Shape{3}));
  const Tensor targets = tape.constant(Array({0.5, 0.25, 1.0}, Shape{3}));
  using Loss = Tensor (*)(Operand, Operand, const LossOptions&);
  for (const Loss loss : {Loss(mse), Loss(l1), Loss(binary_cross_entropy_with_logits),
                          Loss([](Operand a, Operand b, const LossOptions&o) { return huber(a, b, 1, o); })}) {
    const Tensor masked = loss(x, target, {.weights = mask}), alone = loss(xs, targets, {});
    CHECK(masked.item() == doctest::Approx(alone.item()).epsilon(1e-14));
    const Array g = grad(masked, x).array(), expected = grad(alone, xs).array();
    for (Index i = 0; i < 3; ++i) CHECK(g.at({i / 2, i % 2}) == doctest::Approx(expected.at({i})).epsilon(1e-14));
    CHECK(g.at({1, 1}) == 0);
  }
  const Tensor rows = tape.variable(Array({1.0, 2.0, 0.5, -1.0, 3.0, 1.0, nan, nan}, Shape{2, 2, 2}));
  for (const Loss loss : {Loss(cross_entropy), Loss(nll)}) {
    const Tensor classes = tape.constant(Array({0, 1, 1, 0}, {2, 2}));
    const Tensor masked = loss(rows, classes, {.weights = mask});
    const Tensor alone = loss(tape.constant(Array({1.0, 2.0, 0.5, -1.0, 3.0, 1.0}, Shape{3, 2})),
                              tape.constant(Array(std::vector<std::int32_t>{0, 1, 1})), {});
    CHECK(masked.item() == doctest::Approx(alone.item()).epsilon(1e-14));
    CHECK(grad(masked, rows).array().at({1, 1, 0}) == 0);
    CHECK(std::isfinite(sum(grad(masked, rows)).item()));
  }
}
