#include <algorithm>
#include <cmath>
#include <cstdint>

#include <doctest/doctest.h>

#include <rewind/autograd/backward.h>
#include <rewind/core/error.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/lookup.h>
#include <rewind/ops/reduce.h>
#include <rewind/tools/gradcheck/check_op.h>

using namespace rw;

namespace {

std::size_t at(Index i) { return static_cast<std::size_t>(i); }

Array rows_of(const Array& table, const Array& indices) {
  const Index cols = table.shape()[1];
  Array y(indices.shape().inserted(indices.shape().rank(), cols), DType::f64);
  for (Index i = 0; i < y.size(); ++i)
    y.span<double>()[at(i)] = table.span<double>()[at(indices.span<std::int32_t>()[at(i / cols)] * cols + i % cols)];
  return y;
}

Array picked(const Array& x, const Array& indices) {
  Array y(indices.shape(), DType::f64);
  for (Index i = 0; i < y.size(); ++i)
    y.span<double>()[at(i)] = x.span<double>()[at(i * x.shape().cols() + indices.span<std::int32_t>()[at(i)])];
  return y;
}

Array indices(std::initializer_list<std::int32_t> values) { return Array(std::vector<std::int32_t>(values)); }

bool nan_is_largest(double a, double b) { return a < b || (a == a && b != b); }

}  // namespace

TEST_CASE("lookup") {
  // Six indices of three rows: some row is taken twice, so that the gradient has to add.
  CHECK(check_op(
      "lookup", [](Tensor table, Tensor i) { return lookup(table, i); }, rows_of,
      {.shapes = {{{3, 2}, {6}}, {{3, 1}, {2, 3}}, {{3, 4}, {}}, {{3, 2}, {0}}, {{3, 0}, {2}}, {{3, 2}, {2, 0}}},
       .domains = {{}, {.classes = 3}},
       .bad = {{{3}, {2}}, {{2, 3, 4}, {2}}}}));
}

TEST_CASE("a row that is taken very often has an accurate gradient") {
  const Index times = 300000;
  Tape tape;
  const Tensor table = tape.variable(Array(Shape{2, 3}));
  const Tensor y = lookup(table, tape.constant(Array(Shape{times}, DType::i32)));
  const Array g = grad(sum(0.1 * y), table).array();
  CHECK(g.at({0, 1}) == doctest::Approx(static_cast<double>(times) * static_cast<double>(0.1f)).epsilon(260 * 0x1p-24));
  CHECK(g.at({1, 2}) == 0);
}

TEST_CASE("lookup adds rows in the order of the indices") {
  Tape tape;
  Parameter table("table", Array(Shape{2, 1}));
  const Tensor y = lookup(table, tape.constant(indices({1, 1, 1})));
  // 1e8 + 1 - 1e8 is 0 in f32, and 1e8 - 1e8 + 1 is 1.
  backward(sum(y * tape.constant(Array({1e8f, 1.0f, -1e8f}, Shape{3, 1}))));
  CHECK(table.grad().at({1, 0}) == 0);
  table.zero_grad();
  backward(sum(y * tape.constant(Array({1e8f, -1e8f, 1.0f}, Shape{3, 1}))));
  CHECK(table.grad().at({1, 0}) == 1);
  CHECK(table.grad().at({0, 0}) == 0);
}

TEST_CASE("pick") {
  CHECK(check_op("pick", [](Tensor x, Tensor i) { return pick(x, i); }, picked,
                 {.shapes = {{{2, 3}, {2}}, {{3}, {}}, {{2, 2, 3}, {2, 2}}, {{0, 3}, {0}}, {{1, 3}, {1}}},
                  .domains = {{}, {.classes = 3}},
                  .bad = {{{2, 3}, {3}}, {{2, 3}, {2, 1}}, {{}, {}}}}));
}

TEST_CASE("one_hot") {
  CHECK(check_op(
      "one_hot", [](Tensor i) { return one_hot(i, 3); },
      [](const Array& i) {
        Array y(i.shape().inserted(i.shape().rank(), 3), DType::f64);
        for (Index k = 0; k < i.size(); ++k) y.span<double>()[at(k * 3 + i.span<std::int32_t>()[at(k)])] = 1;
        return y;
      },
      {.shapes = {{{4}}, {{2, 2}}, {{}}, {{0}}}, .domains = {{.classes = 3}}, .gradient = false}));
}

TEST_CASE("hardmax") {
  CHECK(check_op(
      "hardmax", [](Tensor x) { return hardmax(x); },
      [](const Array& x) {
        Array y(x.shape(), DType::f64);
        const Index n = x.shape().cols();
        for (Index r = 0; n > 0 && r < x.shape().rows(); ++r) {
          const auto row = x.span<double>().subspan(at(r * n), at(n));
          y.span<double>()[at(r * n) + at(std::max_element(row.begin(), row.end(), nan_is_largest) - row.begin())] = 1;
        }
        return y;
      },
      {.shapes = {{{4, 3}}, {{5}}, {{2, 3, 1}}, {{0, 3}}, {{3, 0}}}, .bad = {{{}}}, .gradient = false}));
  Tape tape;
  const double nan = std::nan("");
  const Tensor x = tape.constant(Array({1.0, 2.0, 2.0, nan, 3.0, nan, 0.0, nan, 5.0}, Shape{3, 3}));
  CHECK(hardmax(x).array() == Array({0., 1., 0., 1., 0., 0., 0., 1., 0.}, {3, 3}).to(DType::f32));
}

TEST_CASE("an index out of range is named, and nothing is recorded") {
  Tape tape;
  const Tensor x = tape.constant(0, Shape{3, 5});
  const Tensor low = tape.constant(indices({2, -1, 0})), high = tape.constant(indices({0, 4, 5}));
  const NodeId before = tape.size();
  const Scope scope(tape, "embedding");
  CHECK_THROWS_WITH_AS(lookup(x, high), "[lookup] index 4 at position 1 of (3) is outside [0, 3), in embedding", Error);
  CHECK_THROWS_WITH_AS(pick(x, high), "[pick] index 5 at position 2 of (3) is outside [0, 5), in embedding", Error);
  CHECK_THROWS_WITH_AS(one_hot(low, 3), "[one_hot] index -1 at position 1 of (3) is outside [0, 3), in embedding",
                       Error);
  CHECK_THROWS_AS(lookup(x, low), Error);
  CHECK_THROWS_AS(lookup(tape.constant(0, Shape{0, 5}), low), Error);
  CHECK_THROWS_AS(one_hot(low, -1), Error);
  CHECK(tape.size() == before + 1);  // the constant of the last but one
}

TEST_CASE("reals are not indices") {
  Tape tape;
  const Tensor x = tape.constant(0, Shape{3, 5});
  CHECK_THROWS_WITH_AS(lookup(x, x), "[lookup] input 1 must be indices (i32), not f32 (3, 5)", Error);
  CHECK_THROWS_AS(one_hot(x, 3), Error);
}
