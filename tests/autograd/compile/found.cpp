// What random programs have found, made small.
#include <doctest/doctest.h>

#include <rewind/core/threads.h>
#include <rewind/ops/ops.h>

#include "agree.h"
#include "hand_lstm.h"

namespace rw {
namespace {

using namespace rw::test;
using In = std::vector<Tensor>;

TEST_CASE("a row that is stretched does not take the shape of the whole") {
  const std::vector<Array> x{random_array(Shape{2, 8}, 1), random_array(Shape{8}, 2)};
  const auto f = [](Tape&, const In& in) { return In{reshape(tanh(in[0] + tanh(in[1])), {1, 2, 8})}; };
  CHECK(disagreement(f, x, {}) < 1e-6);
}

TEST_CASE("pieces without elements are joined") {
  const std::vector<Array> x{random_array(Shape{3, 0}, 1)};
  const auto f = [](Tape&, const In& in) {
    return In{stack({select(in[0], 0, 0), select(in[0], 0, 1)}),
              concat({slice(in[0], 0, 0, 2), slice(in[0], 0, 2, 1)})};
  };
  CHECK(disagreement(f, x, {}) == 0);
}

// The gradient of the gates lies over the gates, which must not move away with their memory then.
TEST_CASE("a buffer that another lies over stays") {
  const int before = threads();
  set_threads(3);  // the order of lanes makes it so
  Parameter p("p", random_array(Shape{2, 3, 65}, 2, 1, DType::f64));
  const std::vector<Array> x{
      random_array(Shape{3, 65}, 1, 1, DType::f64), random_array(Shape{65, 130}, 3, 0.2, DType::f64),
      random_array(Shape{65, 130}, 4, 0.2, DType::f64), random_array(Shape{130}, 5, 1, DType::f64)};
  const auto f = [&](Tape& tape, const In& in) {
    const Tensor steps = tape.leaf(p);
    Tensor h = in[0];
    In sums;
    for (Index t = 0; t < 2; ++t) {
      const Tensor z = (matmul(select(steps, 0, t), in[1]) + matmul(h, in[2])) * in[3];
      const Tensor a = slice(z, 1, 0, 65), b = slice(z, 1, 65, 65);
      h = sigmoid(a) * b + (1 - sigmoid(a)) * tanh(b);
      sums.push_back(sum(z, 1, true));
    }
    const Tensor y = stack(sums);
    const auto weighted = [&](Tensor v, std::uint64_t seed) {
      return sum(v * tape.constant(random_array(v.shape(), seed))) * (1.0 / static_cast<double>(v.size()));
    };
    const Tensor loss = tape.constant(0.0) + weighted(y, 90) + weighted(in[2], 91);
    backward(loss);
    return In{y, in[2], loss};
  };
  const Passes some = Passes::none() | Pass::batch | Pass::fuse | Pass::place | Pass::reuse | Pass::branch;
  for (const Passes passes : {some, Passes::all()})
    CHECK(disagreement(f, x, {&p}, {.passes = passes, .branch_from = 0}) < 1e-12);
  set_threads(before);
}

TEST_CASE("a kernel's operand with fewer leading axes than what it is combined into") {
  const std::vector<Array> x{random_array(Shape{2, 2}, 1, 1, DType::f64), random_array(Shape{2, 1}, 2, 1, DType::f64),
                             random_array(Shape{1, 2, 1}, 3, 1, DType::f64)};
  const auto f = [](Tape&, const In& in) { return In{(in[0] * in[1]) * in[2]}; };
  CHECK(disagreement(f, x, {}, {.passes = Passes::none() | Pass::fuse, .watch_memory = true}) == 0);
}

}  // namespace
}  // namespace rw
