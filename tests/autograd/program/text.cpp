#include <array>
#include <limits>
#include <sstream>
#include <string>

#include <doctest/doctest.h>

#include <rewind/autograd/backward.h>
#include <rewind/autograd/compile/passes/passes.h>
#include <rewind/autograd/program/text.h>
#include <rewind/ops/ops.h>

#include "../../tools/gradcheck/random_graph.h"
#include "../support.h"

namespace rw {
namespace {

using namespace rw::test;

enum class Way : std::uint8_t { there, back };

/// Every kind of field.
struct ManyFields {
  static constexpr std::string_view name = "many_fields";
  static constexpr int arity = 1;
  struct Part {
    std::int8_t small = 0;
    float number = 0;
  };
  bool flag = false;
  Way way = Way::there;
  Index index = 0;
  double number = 0;
  Part part;
  Shape shape;
  std::array<double, 2> list{};
  Shape infer(std::span<const Shape> in) const { return in[0]; }
  void eval(std::span<const ConstView> x, View y) const { copy(x[0], y); }
};

/// What has no text: a C array.
struct WithArray {
  static constexpr std::string_view name = "with_array";
  static constexpr int arity = 1;
  int list[3] = {1, 2, 3};
  Shape infer(std::span<const Shape> in) const { return in[0]; }
  void eval(std::span<const ConstView> x, View y) const { copy(x[0], y); }
};

/// Fields that the compiler must not take for C arrays.
struct Nested {
  static constexpr std::string_view name = "nested_fields";
  static constexpr int arity = 1;
  struct Two {
    int a = 0, b = 0;
  };
  Two first, second;
  Shape infer(std::span<const Shape> in) const { return in[0]; }
  void eval(std::span<const ConstView> x, View y) const { copy(x[0], y); }
};

std::string with_lines(const std::string& begin, const std::string& line) { return begin + line + "\n"; }

const std::string begin_f32 = "program f32\nparameter 0 \"W\" : (4, 2)\nx = input 0 : (3, 4)\n";

/// What `parse` says of a program whose last line is this.
std::string error_in(const std::string& line) {
  return ::test::error_of([&] { ir::parse(with_lines(begin_f32, line)); });
}

void check_round_trip(const ir::Graph& g) {
  const std::string text = ir::dump(g, {.most_numbers = 1000});
  CAPTURE(text);
  const ir::Graph again = ir::parse(text);
  CHECK(ir::dump(again, {.most_numbers = 1000}) == text);
  ir::verify(again);
  REQUIRE(again.size() == g.size());
  for (NodeId i = 0; i < g.size(); ++i) {
    const ir::Node &a = g.nodes[i], &b = again.nodes[i];
    const bool same = a.info == b.info && a.shape == b.shape && a.dtype == b.dtype && a.role == b.role &&
                      a.backward == b.backward && a.kernel == b.kernel &&
                      g.scope_path(a.scope) == again.scope_path(b.scope) &&
                      (a.info->attribute_size == 0 || a.info->equal(a.op, b.op));
    CHECK_MESSAGE(same, g.describe(i));
  }
}

TEST_CASE("a program is the same text again") {
  const std::string text =
      "program f32\n"
      "parameter 0 \"cell.W\" : (5, 8)\n"
      "parameter 1 \"a \\\"b\\\"\" frozen : f64 (2)\n"
      "n0 = input 0 : (6, 3, 5)\n"
      "n1 = parameter 0 : (5, 8)\n"
      "n2 = slice(start=2, length=1) n0 : (1, 3, 5) @ lstm/t=2\n"
      "n3 = reshape(shape=(3, 5)) n2 : (3, 5) @ lstm/t=2\n"
      "n4 = matmul n3 n1 : (3, 8) @ \"a cell\"/t=2\n"
      "n5 = constant : () = 0.1\n"
      "n6 = constant : i32 (3) = 1 -2 3\n"
      "n7 = fill(value=0.5) : ()\n"
      "n8 = mul n4 n7 : (3, 8) kernel=0 lane=2/1\n"
      "n9 = lookup n4 n6 : (3, 8)\n"
      "n10 = matmul(tb=true) n8 n4 : (3, 3) backward kernel=3\n"
      "n11 = matmul(ta=true) n3 n4 : (5, 8) backward\n"
      "n12 = random_key : i32 (4)\n"
      "n13 = bernoulli_mask(shape=(3, 8), draw=1, rate=0.25, kept=1.3333333333333333) n12 : (3, 8)\n"
      "return n10 n9\n"
      "gradient 0 += n11\n";
  CHECK(ir::dump(ir::parse(text)) == text);
}

TEST_CASE("a program is written with names, without shapes, and with comments") {
  const ir::Graph g = ir::parse(
      "# A layer.\n\nprogram f64\nparameter 0 \"W\" : (4, 2)\n  x = input 0 : (3, 4)\nW = parameter 0\r\n"
      "y = matmul x W\nhalf = fill(value=0.5)\nz = mul y half\nreturn z\n");
  CHECK(ir::dump(g) ==
        "program f64\nparameter 0 \"W\" : (4, 2)\nn0 = input 0 : (3, 4)\nn1 = parameter 0 : (4, 2)\n"
        "n2 = matmul n0 n1 : (3, 2)\nn3 = fill(value=0.5) : ()\nn4 = mul n2 n3 : (3, 2)\nreturn n4\n");
  CHECK(ir::parse("program f32").size() == 0);
}

TEST_CASE("attributes of every kind are written and read, by their bits") {
  const double numbers[] = {0.0,
                            -0.0,
                            0.1,
                            1e300,
                            5e-324,
                            std::numeric_limits<double>::infinity(),
                            -std::numeric_limits<double>::infinity(),
                            std::numeric_limits<double>::quiet_NaN(),
                            std::bit_cast<double>(std::uint64_t{0xfff800000000beefull})};
  const OpInfo& info = op_info<ManyFields>();
  for (double number : numbers) {
    CAPTURE(number);
    const ManyFields op{true, Way::back, -7, number, {-3, static_cast<float>(number)}, Shape{2, 0}, {number, 1}};
    std::string text;
    info.write(&op, text);
    CAPTURE(text);
    ManyFields again;
    const std::string closed = text + ")";
    TextReader in(closed);
    info.read(in, &again);
    CHECK(in.take(")"));
    CHECK(in.done());
    CHECK(info.equal(&op, &again));
  }
  std::string text;
  const ManyFields op{true, Way::back, -7, 0.5, {-3, 0.1f}, Shape{2, 0}, {1, 2}};
  info.write(&op, text);
  CHECK(text == "true, 1, -7, 0.5, {-3, 0.1}, (2, 0), [1, 2]");
  text.clear();
  const Nested nested{{1, 2}, {3, 4}};
  op_info<Nested>().write(&nested, text);
  CHECK(text == "{1, 2}, {3, 4}");
}

TEST_CASE("an op whose attributes have no text is written, and refused when it is read") {
  Tape tape;
  const Tensor y = record(WithArray{}, {tape.constant(Array(Shape{2}))});
  const std::string text = ir::dump(ir::from_tape(tape, std::array{y}, {}));
  CHECK(text.find("n1 = with_array(?) n0 : (2)") != std::string::npos);
  CHECK(::test::error_of([&] { ir::parse(text); }) ==
        "parse: line 3: the attributes of with_array cannot be written as text");
}

TEST_CASE("what is no program is an error with its line and what was expected") {
  CHECK(::test::error_of([] { ir::parse(""); }) ==
        "parse: expected 'program f32' or 'program f64', and there is nothing");
  CHECK(::test::error_of([] { ir::parse("\n\nhello"); }) == "parse: line 3: expected 'program' at 'hello'");
  CHECK(::test::error_of([] { ir::parse("program i32"); }) == "parse: line 1: a program computes with f32 or f64");
  CHECK(::test::error_of([] { ir::parse("program f32 f32"); }) ==
        "parse: line 1: expected the end of the line at 'f32'");
  CHECK(error_in("y") == "parse: line 4: expected '=' at the end of the line");
  CHECK(error_in("y = ") == "parse: line 4: expected the name of an op at the end of the line");
  CHECK(error_in("y = tanhh x") == "parse: line 4: no op of this program is called 'tanhh'");
  CHECK(error_in("y = tanh z") == "parse: line 4: no node above is called 'z'");
  CHECK(error_in("y = tanh x x") == "parse: line 4: [tanh] takes 1 input, not 2");
  CHECK(error_in("y = add x") == "parse: line 4: [add] takes 2 inputs, not 1");
  CHECK(error_in("x = tanh x") == "parse: line 4: two nodes are called 'x'");
  CHECK(error_in("y = tanh x : (3, 5)") == "parse: line 4: the shape is (3, 4), not (3, 5)");
  CHECK(error_in("y = tanh x : f64 (3, 4)") == "parse: line 4: the type is f32, not f64");
  CHECK(error_in("y = tanh x : (3, 4") == "parse: line 4: expected ',' at the end of the line");
  CHECK(error_in("y = tanh x : (3, -4)").find("line 4") != std::string::npos);
  CHECK(error_in("y = tanh x : (1, 1, 1, 1, 1, 1, 1)") == "parse: line 4: expected at most 6 axes at '1)'");
  CHECK(error_in("y = matmul x x") == "parse: line 4: [matmul] inner dimensions differ: (3, 4) x (3, 4)");
  CHECK(error_in("y = slice(axis=2, length=1) x") == "parse: line 4: [slice] no axis 2 in shape (3, 4)");
  CHECK(error_in("y = slice(start=1, axis=0) x") ==
        "parse: line 4: expected ')' or, in this order, axis, start, length at 'axis=0) x'");
  CHECK(error_in("y = slice(axis=a) x") == "parse: line 4: expected an integer at 'a) x'");
  CHECK(error_in("y = clamp(1) x") == "parse: line 4: expected a number at ') x'");
  CHECK(error_in("y = clamp x").find("line 4: expected a number") != std::string::npos);
  CHECK(error_in("y = lookup x x") == "parse: line 4: [lookup] input 1 must be i32, not f32");
  CHECK(error_in("y = logsumexp s") == "parse: line 4: no node above is called 's'");
  CHECK(error_in("y = input 0 : (5)") == "parse: line 4: the shape is (5), not (3, 4)");
  CHECK(error_in("y = input 1") == "parse: line 4: expected ':' and a shape at the end of the line");
  CHECK(error_in("y = parameter 1") == "parse: line 4: there are 1 parameters above, and none has the number 1");
  CHECK(error_in("y = variable : (3)") == "parse: line 4: variable is a leaf that a program does not have");
  CHECK(error_in("y = constant : (2) = 1") ==
        "parse: line 4: expected a number that an f32 can hold at the end of the line");
  CHECK(error_in("y = constant : (2) = 1 2 3") == "parse: line 4: expected the end of the line at '3'");
  CHECK(error_in("y = constant : (9) = 1 ... 8 more") ==
        "parse: line 4: numbers of the constant were left out when this was written");
  CHECK(error_in("y = constant : i32 (1) = 3000000000") ==
        "parse: line 4: expected a number of 32 bits at '3000000000'");
  CHECK(error_in("y = constant : (100000, 100000) = 1").find("more than 4194304 numbers") != std::string::npos);
  CHECK(error_in("parameter 7 \"V\" : (2)") == "parse: line 4: the next parameter has the number 1, not 7");
  CHECK(error_in("parameter 1 \"V : (2)") == "parse: line 4: expected the closing double quote of at '\"V : (2)'");
  CHECK(error_in("gradient 0 += x") == "parse: line 4: the gradient of parameter 0 is (4, 2), not (3, 4)");
  CHECK(error_in("return y") == "parse: line 4: no node above is called 'y'");
  CHECK(error_in("return x\nreturn x") == "parse: line 5: a second return");
  CHECK(error_in("y = tanh x @") == "parse: line 4: expected the name of a scope at the end of the line");
  CHECK(error_in("y = tanh x kernel=-1").find("expected a number from 0") != std::string::npos);
  for (const char* lane : {"0/1", "1/0", "0/0"})
    CHECK(error_in(std::string("y = tanh x lane=") + lane).find("counted from 1") != std::string::npos);
  CHECK(error_in("y = tanh x lane=17").find("expected '/'") != std::string::npos);
}

TEST_CASE("shapes that an op cannot take are errors, and nothing else") {
  const std::string begin = "program f32\ns = fill(value=1)\nx = fill(shape=(3, 4))\n";
  const auto error = [&](const std::string& line) {
    return ::test::error_of([&] { ir::parse(with_lines(begin, line)); });
  };
  CHECK(error("y = logsumexp s") == "parse: line 4: [logsumexp] needs rows, [..., C], not ()");
  CHECK(error("y = flip(axis=7) x") == "parse: line 4: [flip] no axis 7 in shape (3, 4)");
  CHECK(error("y = permute(9, [0, 1, 2, 3, 4, 5]) x") == "parse: line 4: [permute] an order of 9 axes for (3, 4)");
  CHECK(error("y = permute(2, [1, 1, 0, 0, 0, 0]) x") ==
        "parse: line 4: [permute] axes 1 1 is no order of the axes of (3, 4)");
  CHECK(error("y = max(shape=(7)) x") == "parse: line 4: [max] cannot reduce (3, 4) to (7)");
  CHECK(error("y = add_n") == "parse: line 4: [add_n] needs at least one input");
}

TEST_CASE("every op, forward and backward, is the same program again") {
  for (std::uint64_t seed = 0; seed < 150; ++seed) {
    CAPTURE(seed);
    const RandomGraph random(seed, 12);
    Tape tape(DType::f64);
    const Tensor loss = random(tape);
    std::vector<Tensor> out{loss};
    std::vector<Operand> leaves;
    for (const auto& p : random.parameters()) leaves.emplace_back(*p.parameter);
    for (const Tensor& g : grad(loss, leaves)) out.push_back(g);
    const ir::Graph g = ir::from_tape(tape, out, {});
    for (const ir::Node& n : g.nodes)
      if (n.info->attribute_size > 0) CHECK_MESSAGE((n.info->read != nullptr), n.info->name);
    check_round_trip(g);
    ir::Notes notes;
    check_round_trip(ir::optimise(g, {}, notes));
  }
}

// Bytes of a program changed, left out and doubled at random: an error or another program, nothing else.
TEST_CASE("texts that went wrong never do more than throw an error") {
  const RandomGraph random(3, 15);
  Tape tape(DType::f64);
  const Tensor loss = random(tape);
  const std::string text = ir::dump(ir::from_tape(tape, std::array{loss}, {}));
  Rng rng(11);
  int refused = 0, taken = 0;
  for (int k = 0; k < 3000; ++k) {
    std::string wrong = text;
    for (Index edits = 1 + rng.below(3); edits > 0; --edits) {
      const auto at = static_cast<std::size_t>(rng.below(static_cast<Index>(wrong.size())));
      const auto length = static_cast<std::size_t>(1 + rng.below(8));
      switch (rng.below(5)) {
        case 0: wrong[at] = static_cast<char>(rng.below(256)); break;
        case 1: wrong.erase(at, length); break;
        case 2: wrong.insert(at, wrong.substr(at, length)); break;
        case 3: wrong[at] = "0123456789(),= \n-"[rng.below(17)]; break;
        default:
          wrong.insert(at, wrong.substr(static_cast<std::size_t>(rng.below(static_cast<Index>(wrong.size()))), 12));
      }
      if (wrong.empty()) wrong = "x";
    }
    try {
      ir::verify(ir::parse(wrong));
      ++taken;
    } catch (const Error& e) {
      ++refused;
      CHECK(std::string(e.what()).find('\n') == std::string::npos);
    }
  }
  CHECK(refused > 1000);
  CHECK(taken > 10);
}

}  // namespace
}  // namespace rw
