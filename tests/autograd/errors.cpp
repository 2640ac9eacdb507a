// What an Error says: one line that names the op, the shapes, the scope and the way out.
#include <limits>

#include <rewind/ops/activation.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/elementwise.h>
#include <rewind/ops/matmul.h>

#include "support.h"

using namespace rw;
using test::error_of;

namespace {

struct BadSlices {
  static constexpr std::string_view name = "bad_slices";
  Shape infer(std::span<const Shape> in) const { return in[0]; }
  void eval(std::span<const ConstView> x, View y) const { copy(x[0], y); }
  void vjp(Vjp& g) const { g.add(0, record(Slice{3, 0, 1}, {g.dy()})); }
};

struct NoEval {
  static constexpr std::string_view name = "no_eval";
  Shape infer(std::span<const Shape> in) const { return in[0]; }
};

struct Same {
  static constexpr std::string_view name = "same";
  template <class T>
  T f(T x) const {
    return x;
  }
};

}  // namespace

// ---- record

TEST_CASE("a wrong number of inputs is an error") {
  Tape tape;
  const Tensor x = tape.constant(zeros(2));
  CHECK(error_of([&] { record(Elementwise<Same>{}, {x, x}); }) == "[same] takes 1 input, not 2");
  CHECK(error_of([&] { record(Elementwise<Same>{}, {x, x, x, x, x, x}); }) == "[same] takes 1 input, not 6");
  CHECK(error_of([&] { tape.record(AddN{}, {}); }) == "[add_n] needs at least one input");
  CHECK(error_of([&] { record(NoEval{}, {x}); }) == "[no_eval] has no eval, so it cannot be recorded");
}

TEST_CASE("errors name op, shapes and scope") {
  Tape tape;
  const Tensor a = tape.constant(zeros(32, 128)), b = tape.constant(zeros(64, 256));
  const Scope lstm(tape, "lstm"), t(tape, "t", 3);
  CHECK(error_of([&] { matmul(a, b); }) == "[matmul] inner dimensions differ: (32, 128) x (64, 256), in lstm/t=3");
  CHECK(error_of([&] { a + b; }) ==
        "[add] shapes do not broadcast: (32, 128) and (64, 256) (axes are aligned at the last; each pair must be equal "
        "or 1), in lstm/t=3");
}

// ---- check_finite

TEST_CASE("check_finite names the first value that is not, by op and scope") {
  Tape tape;
  const Tensor x = tape.variable(Array({1.0f, 0.0f}, Shape{2}));
  CHECK_NOTHROW(tape.check_finite());
  Tensor bad;
  {
    const Scope s(tape, "decoder");
    bad = log(x);
    tanh(bad);
  }
  const Tensor worse = bad - bad;
  CHECK(worse.valid());
  CHECK(error_of([&] { tape.check_finite(); }) ==
        "[log] (2) (node 1), in decoder: the first value that is nan or infinite");
}

TEST_CASE("check_finite names the first gradient that is not, in the order of the sweep") {
  Tape tape;
  const Tensor x = tape.variable(Array({1.0f, 0.0f}, Shape{2}));
  const Tensor root = sqrt(x);  // 0 at 0, with an infinite slope
  backward(test::project(root * 2), {.keep_grads = true});
  CHECK(error_of([&] { tape.check_finite(); }) ==
        "[variable] (2) (node 0): the first gradient that is nan or infinite");
}

TEST_CASE("check_finite looks at rows that are apart, and not between them") {
  Tape tape;
  const Tensor x = tape.constant(Array({1.0f, std::numeric_limits<float>::infinity(), 2.0f, 3.0f}, Shape{2, 2}));
  record(Slice{1, 0, 1}, {x});
  CHECK(error_of([&] { tape.check_finite(); }).find("[constant]") == 0);
}

// ---- Every message

TEST_CASE("messages are one line, and say where") {
  Tape tape;
  Parameter p("cell.W", zeros(2, 3));
  const Tensor x = tape.variable(zeros(4, 5)), ids = tape.constant(arange(3));
  const Scope s(tape, "lstm"), t(tape, "t", 3);
  const std::string messages[] = {
      error_of([&] { matmul(x, p); }),
      error_of([&] { x + p; }),
      error_of([&] { tanh(ids); }),
      error_of([&] {
        record(Slice{0, 3, 2}, {x});
      }),
      error_of([&] {
        record(Concat{0}, {x, p});
      }),
      error_of([&] { record(Reshape{Shape{7}}, {x}); }),
      error_of([&] { backward(x + 1); }),
  };
  for (const std::string& m : messages) {
    CAPTURE(m);
    CHECK(m.find('\n') == std::string::npos);
    CHECK(m[0] == '[');
    CHECK(m.find("in lstm/t=3") != std::string::npos);
    CHECK((m.find('(') != std::string::npos || m.find("i32") != std::string::npos));
  }
  CHECK(messages[0] == "[matmul] inner dimensions differ: (4, 5) x (2, 3), in lstm/t=3");
  CHECK(messages[2] == "[tanh] input 0 must be real, not i32 (3), in lstm/t=3");
  CHECK(tape.error("my_op", "wants more").what() == std::string("[my_op] wants more, in lstm/t=3"));
}

TEST_CASE("the error of a gradient rule says in which scope its op was recorded") {
  Tape tape;
  Tensor y;
  {
    const Scope s(tape, "decoder");
    y = record(BadSlices{}, {tape.variable(zeros(2))});
  }
  const Tensor loss = test::project(y);
  const Scope s(tape, "elsewhere");
  for (int i = 0; i < 2; ++i) {
    CHECK(error_of([&] { backward(loss); }) == "[slice] no axis 3 in shape (2), in decoder");
    CHECK(error_of([&] { grad(loss, tape.tensor(0)); }) == "[slice] no axis 3 in shape (2), in decoder");
  }
  CHECK(error_of([&] { tanh(tape.constant(arange(1))); }).find("in elsewhere") != std::string::npos);
}
