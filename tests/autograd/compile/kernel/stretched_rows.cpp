// Operands of kernels that are stretched along leading and middle axes: outer products, positions, fast weights.
#include <string>

#include <doctest/doctest.h>

#include <rewind/autograd/compile/kernel/kernel.h>
#include <rewind/ops/ops.h>

#include "all_passes.h"

namespace rw {
namespace {

using namespace rw::test;
using In = std::vector<Tensor>;

TEST_CASE("which rows a stretched operand has for the rows of a kernel") {
  const auto of = [](const Shape& in, const Shape& out) {
    ir::OperandKind kind{};
    ir::RowsOf rows;
    REQUIRE(ir::operand_kind(in, out, kind, rows));
    REQUIRE(kind == ir::OperandKind::rows);
    std::vector<Index> all;
    for (Index r = 0; r < out.rows(); ++r) all.push_back(rows.of(r));
    return all;
  };
  using Rows = std::vector<Index>;
  CHECK(of({2, 1, 5}, {2, 3, 5}) == Rows{0, 0, 0, 1, 1, 1});
  CHECK(of({3, 5}, {2, 3, 5}) == Rows{0, 1, 2, 0, 1, 2});
  CHECK(of({1, 3, 5}, {2, 3, 5}) == Rows{0, 1, 2, 0, 1, 2});
  CHECK(of({3, 1, 5}, {2, 3, 2, 5}) == Rows{0, 0, 1, 1, 2, 2, 0, 0, 1, 1, 2, 2});
  CHECK(of({1, 2, 1, 5}, {1, 2, 2, 5}) == Rows{0, 0, 1, 1});
  CHECK(of({2, 1, 1, 5}, {2, 2, 1, 5}) == Rows{0, 0, 1, 1});
  const auto none = [](const Shape& in, const Shape& out) {
    ir::OperandKind kind{};
    ir::RowsOf rows;
    return !ir::operand_kind(in, out, kind, rows);
  };
  CHECK(none({2, 1, 2, 5}, {2, 3, 2, 5}));  // rows that are not neighbours
  CHECK(none({2, 1, 1}, {2, 3, 1}));        // numbers of rows
  CHECK(none({2, 1, 1}, {2, 3, 5}));
}

TEST_CASE("rows that are stretched along a middle axis, a leading one and both") {
  for (const Index cols : {3, 17, 130}) {
    CAPTURE(cols);
    check_all_passes({{3, 1, cols}, {3, 4, cols}},
                     [](const In& in) { return sum(tanh(in[0]) * sigmoid(in[1] - in[0])); });
    check_all_passes({{4, cols}, {3, 4, cols}}, [](const In& in) { return sum(tanh(tanh(in[0]) * in[1] + in[0])); });
  }
  check_all_passes({{3, 1, 20}, {2, 3, 4, 20}, {2, 1, 1, 20}, {2, 3, 4, 1}},
                   [](const In& in) { return sum(tanh(in[0] * in[1] + in[2]) * in[3]); });
}

TEST_CASE("an outer product, and what is made of it, is one kernel") {
  for (const Index cols : {1, 2, 33}) {
    CAPTURE(cols);
    const auto step = [](const In& in) {  // fast weights (Ba et al., 2016)
      return in[0] * 0.9 + reshape(in[1], in[1].shape().inserted(2, 1)) * reshape(in[1], in[1].shape().inserted(1, 1));
    };
    check_all_passes({{3, cols, cols}, {3, cols}}, [&](const In& in) { return sum(tanh(step(in))); });
    if (cols == 1) continue;  // one number a row
    const std::vector<Array> x{random_array(Shape{3, cols, cols}, 1), random_array(Shape{3, cols}, 2)};
    const auto f = compile([&](Tape&, const In& in) { return tanh(step(in)); }, x);
    CHECK(f.kernels() == 1);
    CHECK(f.explain().find(" 0 other ops") != std::string::npos);
  }
}

TEST_CASE("rows that are stretched, of parts of a wider value, in a kernel with sums of rows") {
  for (const Index cols : {16, 40}) {
    CAPTURE(cols);
    check_all_passes({{3, 2 * cols}, {3, 4, cols}}, [](const In& in) {
      const auto [p, q] = split<2>(tanh(in[0]));
      const Index n = in[1].size(2);
      const Tensor a = in[1] * reshape(p, {3, 1, n}) + reshape(q, {3, 1, n});
      return sum(square(a / (sum(square(a), -1, true) + 1)) * reshape(p, {3, 1, n}));
    });
  }
}

}  // namespace
}  // namespace rw
