// Patterns found from the program, colours, and the Jacobians that come of them.
#include <cmath>
#include <functional>

#include <doctest/doctest.h>

#include <rewind/autograd/compile/compile.h>
#include <rewind/autograd/transform/sparse.h>
#include <rewind/ops/ops.h>

#include "../support.h"

using namespace rw;
using test::error_of;
using test::list;
using test::numbers;

namespace {

// The sparse one filled up with zeros, beside the dense one.
template <class F, class X>
void check_against_dense(F f, const X& x, Direction direction) {
  const SparseJacobian j = sparse_jacobian(f, x, std::nullopt, direction);
  const std::vector<double> dense = list(jacobian(f, x).value()), values = list(j.values.value());
  REQUIRE(values.size() == j.pattern.entries());
  std::size_t next = 0;
  for (Index r = 0; r < j.pattern.rows; ++r)
    for (Index c = 0; c < j.pattern.columns; ++c) {
      const double expected = dense[static_cast<std::size_t>(r * j.pattern.columns + c)];
      const double found = j.pattern.has(r, c) ? values[next++] : 0;
      CHECK(std::abs(found - expected) <= 1e-13 * (1 + std::abs(expected)));
    }
}

// Each number and its two neighbours.
Tensor banded(Tensor x) {
  const Index n = x.size();
  const Tensor zero = x.tape().constant(0, {1});
  return sin(x) * concat({zero, slice(x, 0, 0, n - 1)}) + concat({slice(x, 0, 1, n - 1), zero}) * x;
}

}  // namespace

TEST_CASE("a band of three needs three colours, however long it is") {
  Tape tape(DType::f64);
  for (const Index n : {4, 9, 30}) {
    const Tensor x = tape.constant(numbers({n}, 1, DType::f64));
    const SparsityPattern p = sparsity(banded, x);
    CHECK(p.entries() == static_cast<std::size_t>(3 * n - 2));
    for (const Direction d : {Direction::cheaper, Direction::rows, Direction::columns}) {
      const SparseJacobian j = sparse_jacobian(banded, x, std::nullopt, d);
      CHECK(j.colours == 3);
      if (d != Direction::cheaper) CHECK(j.direction == d);
      check_against_dense(banded, x, d);
    }
  }
}

TEST_CASE("products, sums, softmax, lookups and broadcasts: rows and columns that do not meet") {
  Tape tape(DType::f64);
  const Tensor x = tape.constant(numbers({3, 4}, 1, DType::f64)), w = tape.constant(numbers({4, 2}, 2, DType::f64));
  const Tensor rows = tape.constant(Array(std::vector<std::int32_t>{2, 0, 2, 1}));
  const auto colours = [&](auto f) {
    check_against_dense(f, x, Direction::cheaper);
    check_against_dense(f, x, Direction::columns);
    return sparse_jacobian(f, x).colours;
  };
  CHECK(colours([&](Tensor a) { return matmul(a, w); }) == 2);       // by rows: one for each column of w
  CHECK(colours([&](Tensor a) { return softmax(a); }) == 4);         // each row by itself
  CHECK(colours([&](Tensor a) { return sum(square(a), 0); }) == 1);  // by rows: they do not share a column
  CHECK(colours([&](Tensor a) { return square(lookup(a, rows)); }) == 1);
  CHECK(colours([&](Tensor a) { return transpose(a) * 2; }) == 1);
  CHECK(colours([&](Tensor a) { return flip(permute(reshape(a, {2, 2, 3}), {2, 0, 1}), 1); }) == 1);
  CHECK(colours([&](Tensor a) { return where(a > 0, a * a, detach(a)); }) == 1);
  CHECK(sparse_jacobian([&](Tensor a) { return record(test::Product{}, {a, a}); }, x).colours == 12);  // nothing known
}

TEST_CASE("several arguments, several results, and a pattern that is given") {
  Tape tape(DType::f64);
  const Tensor x = tape.constant(numbers({3}, 1, DType::f64)), y = tape.constant(numbers({3}, 2, DType::f64));
  const auto f = [](Tensor a, Tensor b) { return std::pair(a * b, exp(b)); };
  check_against_dense(f, std::tuple(x, y), Direction::columns);
  const SparseJacobian j = sparse_jacobian(f, std::tuple(x, y));
  CHECK(j.colours == 2);
  CHECK(j.pattern.of_row[1] == std::vector<std::uint32_t>{1, 4});
  CHECK(j.pattern.of_row[4] == std::vector<std::uint32_t>{4});
  const SparsityPattern wrong{2, 6, {{0}, {1}}};
  const NodeId before = tape.size();
  CHECK(error_of([&] { sparse_jacobian(f, std::tuple(x, y), wrong); }) ==
        "[sparse_jacobian] the pattern is 2 x 6, the Jacobian 6 x 6");
  const auto given = [&](const SparsityPattern& p) {
    return error_of([&] { sparse_jacobian([](Tensor a) { return a * a; }, x, p); });
  };
  CHECK(given({3, 3, {{0}, {1}, {7}}}) == "[sparsity] row 2 of the pattern has column 7, of 3");
  CHECK(given({3, 3, {{0}, {1, 1}, {2}}}) == "[sparsity] row 1 of the pattern is not sorted, or has a column twice");
  CHECK(given({3, 3, {{2, 0}, {1}, {2}}}) == "[sparsity] row 0 of the pattern is not sorted, or has a column twice");
  CHECK(given({3, 3, {{0}, {1}}}) == "[sparsity] a pattern of 3 x 3 lists 2 rows");
  CHECK(error_of([] { colour_columns({1, 3, {{5}}}); }) == "[sparsity] row 0 of the pattern has column 5, of 3");
  CHECK(error_of([] { colour_for_diagonal({1, 3, {{0, 2}}}); }) == "[sparsity] a pattern of 1 x 3 has no diagonal");
  CHECK_FALSE(wrong.has(2, 0));
  CHECK(tape.size() == before);
  // Within compile too, and differentiated again.
  const auto both = [&](Tape&, Tensor a, Tensor b) {
    const Tensor values = sparse_jacobian(f, std::tuple(a, b), j.pattern).values;
    const auto squares = [&](Tensor at) {
      return sum(square(sparse_jacobian(f, std::tuple(a, at), j.pattern).values));
    };
    return std::pair(values, value_and_grad(squares, b).second);
  };
  auto compiled = compile(both, {.dtype = DType::f64}, x, y);
  const auto [values, slope] = compiled(x, y);
  const auto [eager_values, eager_slope] = both(tape, x, y);
  for (std::size_t i = 0; i < 9; ++i)
    CHECK(list(values.value())[i] == doctest::Approx(list(eager_values.value())[i]).epsilon(1e-13));
  for (std::size_t i = 0; i < 3; ++i) {  // of y^2 + x^2 + e^(2y)
    const double at = list(y.value())[i];
    CHECK(list(slope.value())[i] == doctest::Approx(2 * at + 2 * std::exp(2 * at)).epsilon(1e-12));
    CHECK(list(eager_slope.value())[i] == doctest::Approx(list(slope.value())[i]).epsilon(1e-13));
  }
}

TEST_CASE("Hessians: sparse, and their diagonal by one product where that is all of it") {
  Tape tape(DType::f64);
  const Tensor x = tape.constant(numbers({8}, 1, DType::f64));
  const auto apart = [](Tensor a) { return sum(exp(a) * a); };
  const auto neighbours = [](Tensor a) { return sum(banded(a)); };
  for (const auto& f : {std::function<Tensor(Tensor)>(apart), std::function<Tensor(Tensor)>(neighbours)}) {
    const std::vector<double> h = list(hessian(f, x).value()), d = list(hessian_diagonal(f, x).value());
    for (std::size_t i = 0; i < 8; ++i) CHECK(d[i] == doctest::Approx(h[9 * i]).epsilon(1e-12));
  }
  CHECK(sparse_hessian(apart, x).colours == 1);
  CHECK(sparse_hessian(neighbours, x).colours == 3);
  const auto first = [](Tensor a) { return banded(a); };
  const std::vector<double> j = list(jacobian(first, x).value()), d = list(jacobian_diagonal(first, x).value());
  for (std::size_t i = 0; i < 8; ++i) CHECK(d[i] == doctest::Approx(j[9 * i]).epsilon(1e-12));
  CHECK(error_of([&] { jacobian_diagonal([](Tensor a) { return sum(a); }, x); }) ==
        "[jacobian_diagonal] the Jacobian is 1 x 8: it has no diagonal");
  CHECK(sparse_jacobian([](Tensor a) { return detach(a); }, x).colours == 0);
}
