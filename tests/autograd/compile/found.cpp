// What random programs have found, made small.
#include <doctest/doctest.h>

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

}  // namespace
}  // namespace rw
