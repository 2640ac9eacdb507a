#include <algorithm>
#include <cmath>
#include <fstream>
#include <sstream>

#include <doctest/doctest.h>

#include <rewind/autograd/backward.h>
#include <rewind/autograd/compile/compile.h>
#include <rewind/autograd/structural.h>
#include <rewind/core/error.h>
#include <rewind/core/random.h>
#include <rewind/models/layers/linear.h>
#include <rewind/ops/activation.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/matmul.h>
#include <rewind/ops/reduce.h>
#include <rewind/ops/view.h>
#include <rewind/tools/graph/dot.h>
#include <rewind/tools/graph/dot_text.h>

namespace {

using namespace rw;

std::string dot_of(const Tape& tape, const DotOptions& options = {}) {
  std::ostringstream out;
  write_dot(out, tape, options);
  return out.str();
}

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t n = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + part.size())) ++n;
  return n;
}

/// tanh(x W + b) squared, in scopes.
Tensor record_layer(Tape& tape, Parameter& W, Parameter& b) {
  const Scope layer(tape, "layer");
  const Tensor x = tape.constant(full({1, 2}, 0.5));
  const Scope step(tape, "t", 0);
  const Tensor y = tanh(matmul(x, W) + b);
  return matmul(y, tape.constant(full({3, 1}, 1)));
}

}  // namespace

TEST_CASE("a drawing has every node once, with role, shape and scope") {
  Tape tape;
  Parameter W("W", full({2, 3}, 0.1)), b("b", zeros(3));
  record_layer(tape, W, b);
  const GraphView view = graph_view(tape, GraphViewOptions{.statistics = true});
  REQUIRE(view.nodes.size() == tape.size());
  CHECK(view.edges() == 7);
  const auto& W_node = *std::find_if(view.nodes.begin(), view.nodes.end(), [](auto& n) { return n.name == "layer.W"; });
  CHECK(W_node.role == GraphRole::parameter);
  CHECK(W_node.shape == Shape{2, 3});
  CHECK(W_node.value.norm == doctest::Approx(std::sqrt(0.06)));
  CHECK(view.nodes.back().role == GraphRole::loss);
  CHECK(view.scope_path(view.nodes.back().scope) == "layer/t=0");

  const std::string dot = dot_of(tape);
  CHECK(count(dot, "fillcolor") == tape.size() + 1);  // and the default
  CHECK(count(dot, "->") == 7);
  CHECK(count(dot, "subgraph") == 2);
  CHECK(count(dot, "peripheries=2") == 1);
  CHECK(dot.find("label=\"layer.W\\n2 x 3\"") != std::string::npos);
}

TEST_CASE("two exports of the same program are the same, and ids survive a change elsewhere") {
  const auto draw = [](bool more) {
    Tape tape;
    Parameter W("W", full({2, 3}, 0.1)), b("b", zeros(3));
    if (more) {
      const Scope s(tape, "before");
      tanh(tape.constant(1.5) * 2);
    }
    record_layer(tape, W, b);
    return graph_view(tape);
  };
  const GraphView one = draw(false), two = draw(false), more = draw(true);
  REQUIRE(one.nodes.size() == two.nodes.size());
  for (std::size_t i = 0; i < one.nodes.size(); ++i) {
    CHECK(one.nodes[i].id == two.nodes[i].id);
    CHECK(one.nodes[i].id == more.nodes[i + 4].id);
  }
}

TEST_CASE("labels are escaped") {
  CHECK(detail::dot_escape("a\"b\\c\nd<e>&") == "a\\\"b\\\\c\\nd<e>&amp;");
  CHECK(detail::dot_escape("h\xc3\xa9\xe2\x82\xac") == "h\xc3\xa9\xe2\x82\xac");
  CHECK(detail::dot_escape(std::string_view("\x00\x1b\xff\xc3", 4)) ==
        "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
  CHECK(detail::clean_utf8("\xed\xa0\x80\xc0\x80") == "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
  Tape tape;
  Parameter odd("a\"b\\\n<\xc3\xa9>\xff", full({1}, 1)), nameless("", full({1}, 1));
  {
    const Scope s(tape, "sc\"ope\\");
    const Scope empty(tape, "");
    tanh(tape.leaf(odd) * nameless);
  }
  const std::string dot = dot_of(tape);
  CHECK(dot.find("a\\\"b\\\\\\n<\xc3\xa9>\xef\xbf\xbd\\n1\"") != std::string::npos);
  CHECK(dot.find("(unnamed)") != std::string::npos);
  CHECK(dot.find("label=\"sc\\\"ope\\\\\"") != std::string::npos);
  for (const GraphNode& n : graph_view(tape).nodes)
    CHECK(n.id.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") ==
          std::string::npos);
}

TEST_CASE("a recorded gradient stands beside the forward graph") {
  Tape tape;
  Parameter W("W", full({2, 3}, 0.1)), b("b", zeros(3));
  const Tensor y = record_layer(tape, W, b);
  grad(y, W);
  const GraphView view = graph_view(tape);
  CHECK(std::count_if(view.nodes.begin(), view.nodes.end(), [](auto& n) { return n.backward; }) > 3);
  CHECK(view.nodes[tape.id(y)].role == GraphRole::loss);
  const std::string dot = dot_of(tape);
  CHECK(dot.find("label=\"forward\"") != std::string::npos);
  CHECK(dot.find("label=\"backward\"") != std::string::npos);
  CHECK(dot_of(tape, {.backward = false}).find("backward") == std::string::npos);
}

TEST_CASE("overlays colour by size and show nan and inf in red") {
  Tape tape;
  Parameter p("p", Array({1.0f, -2.0f}, {2}));
  const Tensor l = log(tape.leaf(p));
  const Tensor loss = matmul(record(Reshape{Shape{1, 2}}, {l}), tape.constant(full({2, 1}, 1)));
  backward(loss, {.keep_grads = true});
  const std::string values = dot_of(tape, {.overlay = Overlay::value_norm});
  CHECK(count(values, "#cf222e") == 3);
  CHECK(values.find("1 nan") != std::string::npos);
  CHECK(dot_of(tape, {.overlay = Overlay::gradient_norm}).find("|dx|") != std::string::npos);
  CHECK(dot_of(tape, {.overlay = Overlay::bytes}).find("8 B") != std::string::npos);
}

TEST_CASE("a compiled function is drawn as it was optimised") {
  Parameter W("W", full({4, 4}, 0.1)), V("V", full({4, 4}, 0.1));
  auto step = compile(
      [&](Tape&, Tensor x) {
        Tensor h = matmul(slice(x, 0, 0, 1), V);
        for (Index t = 1; t < 20; ++t) h = tanh(matmul(h, W) + slice(x, 0, t, 1));
        const Tensor loss = sum(square(h));
        backward(loss);
        return loss;
      },
      full({20, 4}, 0.1));
  std::ostringstream whole, folded;
  write_dot(whole, step);
  write_dot(folded, step, {.fold_time = true});
  CHECK(whole.str().find("backward") != std::string::npos);
  CHECK(whole.str().find("label=\"W\\n4 x 4\"") != std::string::npos);
  CHECK(count(folded.str(), " [id=") < count(whole.str(), " [id=") / 2);
  CHECK(folded.str().find("z^-1") != std::string::npos);
}

TEST_CASE("what cannot be drawn is said in one clear line") {
  Tape tape;
  CHECK_THROWS_WITH_AS(dot_of(tape), doctest::Contains("the tape is empty"), Error);
  const Tensor x = tanh(tape.constant(1.5));
  CHECK_THROWS_AS(dot_of(tape, {.loss = Tensor()}), Error);
  Tape other;
  CHECK_THROWS_AS(dot_of(tape, {.loss = other.constant(1)}), Error);
  tape.clear();
  CHECK_THROWS_WITH_AS(dot_of(tape), doctest::Contains("the tape is empty"), Error);
  tape.constant(1);
  CHECK_THROWS_AS(dot_of(tape, {.loss = x}), Error);
  std::ofstream nowhere("/no/such/folder/graph.dot");
  CHECK_THROWS_WITH_AS(write_dot(nowhere, tape), doctest::Contains("cannot be written"), Error);
}

TEST_CASE("a chain of 100,000 ops is drawn without recursion") {
  Tape tape;
  Tensor x = tape.constant(full({4}, 0.5));
  for (int i = 0; i < 100000; ++i) {
    const Scope s(tape, "t", i / 10);
    x = tanh(x);
  }
  const std::string dot = dot_of(tape);
  CHECK(count(dot, "->") == 100000);
}

TEST_CASE("parameters have the dotted names that files have, and no two the same") {
  struct Net : Module {
    explicit Net(Rng& rng)
        : Module("net"), first(child("first", Linear(2, 3, rng))), second(child("second", Linear(3, 2, rng))) {}
    Linear &first, &second;
  };
  Rng rng(1);
  const Net net(rng);
  const Linear loose(2, 2, rng), other(2, 2, rng);
  Tape tape;
  other(loose(net.second(net.first(tape.constant(full({1, 2}, 0.5))))));
  const std::string dot = dot_of(tape);
  for (const char* name : {"first.W", "first.b", "second.W", "second.b", "W", "b", "W#2", "b#2"})
    CHECK(count(dot, std::string("label=\"") + name + "\\n") == 1);
}
