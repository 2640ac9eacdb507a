// One million ops in a chain: nothing that walks a graph may recurse.
#include <optional>

#include <rewind/ops/arithmetic.h>

#include "support.h"

using namespace rw;

namespace {

constexpr int depth = 1'000'000;

Tensor chain(Tensor x) {
  Tensor y = x;
  for (int i = 0; i < depth; ++i) y = -y;
  return y;
}

}  // namespace

TEST_CASE("a million chained ops record, differentiate and free") {
  std::optional<Tape> tape(std::in_place);
  Parameter p("p", full(Shape{}, 3));
  const Tensor y = chain(tape->leaf(p));
  CHECK(y.item() == 3);
  tape->reset_peak();
  const std::size_t values = tape->memory().values;
  backward(y);
  CHECK(p.grad().item() == 1);
  CHECK(tape->memory().peak < values + 10000);  // two gradients at a time
  backward(y, {.release_values = true});
  CHECK(p.grad().item() == 2);
  tape->clear();
  CHECK(tape->size() == 0);
  CHECK(chain(tape->leaf(p)).item() == 3);
  CHECK(tape->memory().reserved < 400u << 20);
  tape.reset();
  CHECK_FALSE(y.valid());
}

TEST_CASE("a million chained ops have a recorded gradient, twice") {
  Tape tape;
  const Tensor x = tape.variable(full(Shape{}, 3));
  const Tensor y = chain(x) * x;
  const Tensor g = grad(y, x);
  CHECK(g.item() == 6);
  CHECK(tape.size() > 2 * depth);
  const Tensor second = grad(g, x);
  CHECK(second.item() == 2);
  backward(second * x);
  CHECK(test::list(tape.grad(x)) == std::vector<double>{2});
}

TEST_CASE("a hundred thousand consumers of one node, which are slices of it") {
  Tape tape;
  const Tensor x = tape.variable(full(Shape{1000}, 1));
  std::vector<Operand> terms;
  for (Index i = 0; i < 100'000; ++i) terms.emplace_back(record(Slice{0, i % 1000, 1}, {x}));
  const Tensor loss = record(Reshape{Shape{}}, {record(AddN{}, std::span<const Operand>(terms))});
  CHECK(loss.item() == 100'000);
  backward(loss);
  CHECK(Array(tape.grad(x)) == full(Shape{1000}, 100));
  CHECK(grad(loss, x).array() == full(Shape{1000}, 100));
}

TEST_CASE("a rule of very many ops is computed without recursion") {
  struct Long {
    static Tensor of(Tensor t) {
      for (int i = 0; i < 200'000; ++i) t = -t;
      return t;
    }
  };
  Tape tape;
  const Tensor x = tape.variable(full(Shape{}, 1));
  const TapeMark mark = tape.mark();
  CHECK(Long::of(x).item() == 1);
  tape.rewind(mark);
  CHECK(tape.size() == 1);
}
