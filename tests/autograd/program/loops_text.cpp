// Programs with loops as text: written, read again, and the same whatever the length.
#include <fstream>
#include <memory>
#include <regex>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <rewind/autograd/backward.h>
#include <rewind/autograd/program/program.h>
#include <rewind/autograd/program/rewrite.h>
#include <rewind/autograd/program/text.h>
#include <rewind/models/models.h>
#include <rewind/ops/ops.h>

#include "../../paths.h"
#include "../compile/fuzz/generate.h"
#include "../support.h"

namespace rw {
namespace {

using ir::Graph;
using ::test::error_of;

constexpr ir::DumpOptions whole{.most_numbers = 1 << 20};

Graph leaves_first(const Graph& g) {
  ir::Rewriter rewriter(g);
  for (const bool leaves : {true, false})
    for (NodeId i = 0; i < g.size(); ++i)
      if (ir::computes(*g.nodes[i].info) != leaves) rewriter.copy(i);
  return rewriter.done_in_order();
}

std::string without_scopes(const std::string& text) {
  static const std::regex scope(" @ [^ \n]*");
  return std::regex_replace(text, scope, "");
}

// Whether a program's text is read as the program, and written as the same text. Layers that became a loop have lost
// their names.
bool comes_back(const Graph& g, bool scopes = true) {
  const std::string text = ir::dump(ir::fold(g), whole);
  const Graph again = ir::parse(text);
  const std::string was = ir::dump(leaves_first(g), whole), now = ir::dump(again, whole);
  return (scopes ? was == now : without_scopes(was) == without_scopes(now)) && ir::dump(ir::fold(again), whole) == text;
}

template <class F>
Graph traced(F&& f, const Shape& shape) {
  Tape tape(TapeOptions{.trace = true});
  const Tensor x = tape.input(shape, DType::f32), y = f(tape, x);
  backward(mean(square(y)));
  return ir::from_tape(tape, {{y}}, {{x}});
}

// The lines of the loops alone, without how often they run.
std::string loops_of(const std::string& text) {
  std::string out;
  int depth = 0;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = text.find('\n', at), first = text.find_first_not_of(' ', at);
    const std::string line = text.substr(first, end - first);
    if (line.starts_with("loop ")) ++depth;
    if (depth > 0) out += (line.starts_with("loop ") ? line.substr(0, 6) : line) + "\n";
    if (line == "end") --depth;
    at = end + 1;
  }
  return out;
}

}  // namespace

TEST_CASE("a loop as text: what a step reads, carries and leaves") {
  const std::string flat =
      "program f32\nparameter 0 \"W\" : (3, 3)\nx = input 0 : (4, 3)\nW = parameter 0 : (3, 3)\n"
      "h = fill(shape=(1, 3)) : (1, 3)\n"
      "a0 = slice(length=1) x @ t=0\nb0 = matmul h W @ t=0\nc0 = add a0 b0 @ t=0\nd0 = tanh c0 @ t=0\n"
      "a1 = slice(start=1, length=1) x @ t=1\nb1 = matmul d0 W @ t=1\nc1 = add a1 b1 @ t=1\nd1 = tanh c1 @ t=1\n"
      "a2 = slice(start=2, length=1) x @ t=2\nb2 = matmul d1 W @ t=2\nc2 = add a2 b2 @ t=2\nd2 = tanh c2 @ t=2\n"
      "a3 = slice(start=3, length=1) x @ t=3\nb3 = matmul d2 W @ t=3\nc3 = add a3 b3 @ t=3\nd3 = tanh c3 @ t=3\n"
      "all = concat d0 d1 d2 d3\nlast = exp d3\nreturn all last\n";
  const std::string folded =
      "program f32\n"
      "parameter 0 \"W\" : (3, 3)\n"
      "n0 = input 0 : (4, 3)\n"
      "n1 = parameter 0 : (3, 3)\n"
      "n2 = fill(shape=(1, 3)) : (1, 3)\n"
      "loop t 4\n"
      "  n3 = slice(start=0+1*t, length=1) n0 : (1, 3) @ t=0+1*t\n"
      "  n4 = matmul n6[t-1]|t=0:n2 n1 : (1, 3) @ t=0+1*t\n"
      "  n5 = add n3 n4 : (1, 3) @ t=0+1*t\n"
      "  n6 = tanh n5 : (1, 3) @ t=0+1*t\n"
      "end\n"
      "n7 = concat n6[0..-1] : (4, 3)\n"
      "n8 = exp n6[-1] : (1, 3)\n"
      "return n7 n8\n";
  const Graph g = ir::parse(flat);
  CHECK(ir::dump(ir::fold(g)) == folded);
  CHECK(ir::dump(ir::parse(folded)) == ir::dump(g));
}

TEST_CASE("loops written by hand: nested, backwards, every second step") {
  const Graph g = ir::parse(
      "program f64\n"
      "x = input 0 : (12, 3)\n"
      "h = fill(shape=(1, 3)) : (1, 3)\n"
      "loop t 3\n"
      "  loop u 2\n"
      "    a = slice(start=1+4*~t+2*u, length=1) x\n"
      "    s = add a s[t, u-1]|u=0:(s[t-1, -1]|t=0:h)\n"
      "  end\n"
      "  m = exp s[t, -1]\n"
      "end\n"
      "all = concat s[-1, 0..-1] m[-1..0] {h x}[0]\n"
      "return all\n");
  const Graph flat = ir::parse(
      "program f64\nx = input 0 : (12, 3)\nh = fill(shape=(1, 3)) : (1, 3)\n"
      "a0 = slice(start=9, length=1) x\ns0 = add a0 h\na1 = slice(start=11, length=1) x\ns1 = add a1 s0\nm0 = exp s1\n"
      "a2 = slice(start=5, length=1) x\ns2 = add a2 s1\na3 = slice(start=7, length=1) x\ns3 = add a3 s2\nm1 = exp s3\n"
      "a4 = slice(start=1, length=1) x\ns4 = add a4 s3\na5 = slice(start=3, length=1) x\ns5 = add a5 s4\nm2 = exp s5\n"
      "all = concat s4 s5 m2 m1 m0 h\nreturn all\n");
  CHECK(ir::dump(g) == ir::dump(flat));
  CHECK(comes_back(g));
}

TEST_CASE("the loop of docs/compiler.md is one") {
  std::ifstream page(source_dir() + "/docs/compiler.md");
  std::string text, line;
  while (std::getline(page, line) && line != "### Loops") {
  }
  while (std::getline(page, line) && line != "```program") {
  }
  while (std::getline(page, line) && line != "```") text += line + "\n";
  const Graph g = ir::parse(text);
  CHECK(g.size() == 3 + 4 * 50 + 2);
  CHECK(comes_back(g));
  CHECK(ir::dump(ir::fold(g)).find("loop t 50\n") != std::string::npos);
}

TEST_CASE("a step that reads a part of another loop") {
  const Graph g = ir::parse(
      "program f32\nx = input 0 : (2)\nloop t 48\n  y = tanh x\nend\nloop t 24\n  z = concat y[1+2*t..0+2*t]\nend\n"
      "all = concat z[-1..0]\nreturn all\n");
  CHECK(g.size() == 74);
  CHECK(ir::dump(ir::fold(g)).find("concat n1[1+2*t..0+2*t]") != std::string::npos);
  CHECK(comes_back(g));
}

TEST_CASE("loops that read backwards to the first row, and forwards from it, of few steps and of many") {
  for (const Index steps : {2, 3, 4, 50}) {
    CAPTURE(steps);
    const Graph g = traced(
        [&](Tape&, Tensor x) {
          Tensor h = slice(x, 0, 0, 1);
          for (Index t = 0; t < steps; ++t)
            h = tanh(slice(x, 0, steps - 1 - t, 1) * h + slice(x, 0, t, 1)) * 0.5 + sigmoid(h);
          return h;
        },
        {steps, 3});
    CHECK(comes_back(g));
  }
}

TEST_CASE("the loops of an LSTM over 50 and over 51 steps are the same text") {
  Rng rng(1);
  const LstmCell cell(3, 4, rng);
  const auto text = [&](Index steps) {
    return ir::dump(
        ir::fold(traced([&](Tape& tape, Tensor x) { return outputs(cell, unroll(cell, x, cell.zero_state(tape, 2))); },
                        {steps, 2, 3})));
  };
  const std::string fifty = loops_of(text(50));
  CHECK(fifty.size() > 2000);
  CHECK(fifty == loops_of(text(51)));
  CHECK(fifty == loops_of(text(7)));
  CHECK(fifty.find('{') == std::string::npos);
}

TEST_CASE("texts of cells, stacks and random programs are read as what they are") {
  Rng rng(1);
  for (const std::string_view name : cell_names()) {
    CAPTURE(name);
    const AnyCell cell = make_cell(name, 3, 4, rng);
    CHECK(comes_back(traced(
        [&](Tape& tape, Tensor x) { return outputs(cell, unroll(cell, x, cell.zero_state(tape, 2))); }, {9, 2, 3})));
  }
  const Stack<GruCell> stack({GruCell(4, 4, rng), GruCell(4, 4, rng), GruCell(4, 4, rng)});
  CHECK(comes_back(
      traced([&](Tape& tape, Tensor x) { return outputs(stack, unroll(stack, x, stack.zero_state(tape, 2))); },
             {9, 2, 4}),
      false));
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    CAPTURE(seed);
    const fuzz::Program program = fuzz::random_program(seed);
    Tape tape(TapeOptions{.dtype = DType::f32, .trace = true});
    std::vector<Tensor> leaves;
    for (const fuzz::Leaf& leaf : program.leaves) leaves.push_back(tape.input(leaf.shape, DType::f32));
    fuzz::Program without_parameters = program;
    if (program.gradient == fuzz::Gradient::plain) without_parameters.gradient = fuzz::Gradient::recorded;
    const std::vector<Tensor> results = fuzz::Run(without_parameters, tape)(leaves);
    CHECK(comes_back(ir::from_tape(tape, results, leaves)));
  }
}

TEST_CASE("what is no loop says so, with its line") {
  const auto error = [](const std::string& body) {
    return error_of([&] { ir::parse("program f32\nx = input 0 : (2)\n" + body); });
  };
  CHECK(error("loop t 3\ny = tanh x\n") == "parse: line 3: the loop has no 'end'");
  CHECK(error("loop 3\nend\n").find("parse: line 3: expected a letter that counts the steps") == 0);
  CHECK(error("loop t 3\nloop t 3\nend\nend\n") == "parse: line 4: a loop around counts 't' already");
  CHECK(error("loop t 3\ny = tanh y[t-1]\nend\n") == "parse: line 4: no node above is called 'y'");
  CHECK(error("loop t 3\ny = tanh y[t-1]|t=0:x\nz = tanh y[t-2]|t=0:x\nend\n") ==
        "parse: line 5: 'y' has 3 steps, and none is -1");
  CHECK(error("loop t 3\ny = tanh y[t]|t=0:x\nend\n") == "parse: line 4: 'y' has not come to that step yet");
  CHECK(error("loop t 3\ny = tanh x\nend\nz = tanh y\n") ==
        "parse: line 6: 'y' stands within 1 loop: say at which step, as in y[-1]");
  CHECK(error("loop t 3\ny = tanh x\nend\nz = tanh y[3]\n") == "parse: line 6: 'y' has 3 steps, and none is 3");
  CHECK(error("loop t 3\ny = tanh x|u=0:x\nend\n") == "parse: line 4: no loop around counts 'u'");
  CHECK(error("loop t 3\ny = tanh {x x}[t]\nend\n") == "parse: line 4: a list of 2 values has none at 2");
  CHECK(error("loop t 3\ny = tanh x\nend\ny = tanh x\n") == "parse: line 6: two nodes are called 'y'");
  CHECK(error("loop t 100000\nloop u 100000\nend\nend\n").find("a program of more than 131072 lines") !=
        std::string::npos);
  CHECK(error("loop t 3000\ny = tanh x\nend\nloop t 3000\nz = add_n y[0..-1]\nend\n") ==
        "parse: line 7: a program that reads more than 4194304 values");
  CHECK(error("y = tanh {" + std::string(100, '(') + "x\n") == "parse: line 3: parentheses nested too deep");
  CHECK(ir::parse("program f32\nloop = input 0 : (2)\nend = tanh loop\nreturn end\n").size() == 2);
  CHECK(ir::parse("program f32\nloop t 0\ny = tanh nothing\nend\n").size() == 0);
}

}  // namespace rw
