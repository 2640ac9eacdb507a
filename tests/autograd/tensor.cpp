#include <memory>
#include <optional>
#include <sstream>

#include <rewind/ops/activation.h>
#include <rewind/ops/arithmetic.h>

#include "support.h"

using namespace rw;
using test::error_of;
using test::numbers;

namespace {

const char* const rewound =
    "a stale Tensor: its tape was cleared or rewound since it was recorded; copy values out with array() before that, "
    "or record it anew";
const char* const destroyed = "a stale Tensor: its tape was destroyed; keep the tape, or copy values out with array()";
const char* const empty = "an empty Tensor: it was never recorded";

// Every way to use a handle says the same.
void check_unusable(Tensor t, const std::string& why) {
  CHECK_FALSE(t.valid());
  CHECK(error_of([&] { t.shape(); }) == why);
  CHECK(error_of([&] { t.dtype(); }) == why);
  CHECK(error_of([&] { t.size(); }) == why);
  CHECK(error_of([&] { t.size(0); }) == why);
  CHECK(error_of([&] { t.needs_grad(); }) == why);
  CHECK(error_of([&] { t.value(); }) == why);
  CHECK(error_of([&] { t.array(); }) == why);
  CHECK(error_of([&] { t.item(); }) == why);
  CHECK(error_of([&] { t.tape(); }) == why);
  CHECK(error_of([&] { backward(t); }) == why);
  CHECK(error_of([&] { grad(t, t); }) == why);
  CHECK(error_of([&] { tanh(t); }) == "[tanh] " + why);
  CHECK(error_of([&] { std::ostringstream() << t; }) == why);
  Tape other;
  const Tensor x = other.constant(zeros(2));
  CHECK(error_of([&] { x + t; }) == "[add] " + why);
  CHECK(error_of([&] { other.keep(t); }) == why);
  CHECK(error_of([&] { other.grad(t); }) == why);
}

}  // namespace

static_assert(sizeof(Tensor) == 16);
static_assert(std::is_trivially_copyable_v<Tensor>);

TEST_CASE("a handle reads what was recorded") {
  Tape tape;
  const Tensor x = tape.constant(Array({1.0f, 2.0f, 3.0f, 4.0f, 5.0f, 6.0f}, Shape{2, 3}));
  CHECK(x.shape() == Shape{2, 3});
  CHECK(x.size() == 6);
  CHECK(x.size(-1) == 3);
  CHECK(x.dtype() == DType::f32);
  CHECK_FALSE(x.needs_grad());
  CHECK(&x.tape() == &tape);
  CHECK(x.array().at({1, 2}) == 6);
  std::ostringstream out;
  out << x;
  CHECK(out.str() == "[[1, 2, 3],\n [4, 5, 6]]");
  CHECK(error_of([&] { x.item(); }) == "item() needs exactly one element; the shape is (2, 3)");
  CHECK(error_of([&] { x.size(2); }) == "no axis 2 in shape (2, 3)");
  CHECK(tape.constant(2.5).item() == 2.5);
}

TEST_CASE("same means the same node") {
  Tape tape;
  const Tensor x = tape.constant(1), y = tape.constant(1);
  CHECK(x.same(x));
  CHECK_FALSE(x.same(y));
  CHECK(Tensor().same(Tensor()));
}

TEST_CASE("an empty Tensor is an error wherever it is used") { check_unusable(Tensor(), empty); }

TEST_CASE("a handle is stale after clear") {
  Tape tape;
  const Tensor x = tape.constant(zeros(2));
  tape.clear();
  check_unusable(x, rewound);
  const Tensor anew = tape.constant(zeros(2));  // the same place on the tape
  CHECK(anew.index() == x.index());
  check_unusable(x, rewound);
  CHECK(anew.valid());
}

TEST_CASE("a handle is stale after rewind, also when the place is used anew") {
  Tape tape;
  const Tensor x = tape.constant(zeros(2));
  const TapeMark mark = tape.mark();
  const Tensor y = tanh(x);
  tape.rewind(mark);
  CHECK(x.valid());
  check_unusable(y, rewound);
  const Tensor z = tanh(x);
  CHECK(z.index() == y.index());
  check_unusable(y, rewound);
  CHECK(z.valid());
}

TEST_CASE("a handle is stale when its tape is gone") {
  std::optional<Tape> tape(std::in_place);
  const Tensor x = tape->constant(zeros(2));
  tape.reset();
  check_unusable(x, destroyed);
}

TEST_CASE("a new tape in a recycled slot does not revive old handles") {
  std::optional<Tape> first(std::in_place);
  const Tensor old = first->constant(zeros(2));
  first.reset();
  Tape second;
  for (int i = 0; i < 3; ++i) {
    const Tensor x = second.constant(zeros(2));
    CHECK(x.valid());
    CHECK_FALSE(old.valid());
  }
  CHECK_THROWS_AS(old.value(), Error);
}

TEST_CASE("a tape assigned over another leaves the other's handles stale") {
  Tape a, b;
  const Tensor x = a.constant(zeros(2)), y = b.constant(zeros(3));
  a = std::move(b);
  CHECK_FALSE(x.valid());
  CHECK(y.shape() == Shape{3});
  CHECK(&y.tape() == &a);
}

TEST_CASE("handles survive a move of their tape") {
  auto first = std::make_unique<Tape>();
  Parameter p("p", numbers(Shape{2}, 1));
  const Tensor x = first->leaf(p) * 2;
  Tape second = std::move(*first);
  first.reset();
  CHECK(x.valid());
  CHECK(&x.tape() == &second);
  std::vector<Tape> tapes;
  tapes.push_back(std::move(second));
  for (int i = 0; i < 5; ++i) tapes.emplace_back();  // the vector grows, and moves them all
  CHECK(&x.tape() == &tapes[0]);
  const Tensor y = x + p;
  CHECK(tapes[0].size() == 4);
  backward(test::project(y));
  CHECK(p.grad().at({0}) == doctest::Approx(3 * numbers(Shape{2}, 77).at({0})));
}

TEST_CASE("tensors of two tapes do not mix") {
  const char* const mixed = "tensors of two tapes are mixed: carry values over with tape.constant(t.array())";
  Tape a, b;
  const Tensor x = a.constant(zeros(2)), y = b.constant(zeros(2));
  const NodeId before = a.size();
  CHECK(error_of([&] { x + y; }) == std::string("[add] ") + mixed);
  CHECK(error_of([&] { y + x; }) == std::string("[add] ") + mixed);
  CHECK(error_of([&] { a.keep(y); }) == mixed);
  CHECK(error_of([&] { a.id(y); }) == mixed);
  CHECK(error_of([&] { a.record(AddN{}, {y}); }) == std::string("[add_n] ") + mixed);
  const Tensor v = a.variable(zeros(2)), w = b.variable(zeros(2));
  CHECK(error_of([&] { grad(test::project(v), w); }) == mixed);
  CHECK(a.size() > before);
  CHECK((x + a.constant(y.array())).shape() == Shape{2});
}

TEST_CASE("many tapes come and go, and every handle knows its own") {
  std::vector<std::unique_ptr<Tape>> tapes;
  std::vector<Tensor> handles;
  for (int i = 0; i < 3000; ++i) {
    tapes.push_back(std::make_unique<Tape>());
    handles.push_back(tapes.back()->constant(i));
  }
  for (std::size_t i = 0; i < tapes.size(); i += 2) tapes[i].reset();
  for (std::size_t i = 0; i < tapes.size(); ++i) {
    REQUIRE(handles[i].valid() == (i % 2 == 1));
    if (i % 2 == 1) REQUIRE(handles[i].item() == static_cast<double>(i));
  }
}
