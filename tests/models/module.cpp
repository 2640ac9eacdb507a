#include <doctest/doctest.h>

#include <rewind/autograd/backward.h>
#include <rewind/models/layers/embedding.h>
#include <rewind/models/layers/linear.h>
#include <rewind/models/module.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/reduce.h>

using namespace rw;

namespace {

std::string names_of(const std::vector<NamedParameter>& parameters) {
  std::string all;
  for (const NamedParameter& p : parameters) all += p.name + " ";
  return all;
}

class Model : public Module {
 public:
  explicit Model(Rng& rng)
      : Module("model"),
        embedding(child("embedding", Embedding(5, 3, rng))),
        out(child("out", Linear(3, 5, rng))),
        scale(param("scale", full({1}, 2))) {}
  Embedding& embedding;
  Linear& out;
  Parameter& scale;
};

struct Clash : Module {
  void parameter_twice() { param("a", zeros(1)), param("a", zeros(1)); }
  void child_like_parameter(Rng& rng) { param("a", zeros(1)), child("a", Linear(1, 1, rng)); }
  void dotted() { param("a.b", zeros(1)); }
  void empty() { param("", zeros(1)); }
};

class Tied : public Module {
 public:
  explicit Tied(Rng& rng) : a(child("a", Linear(3, 3, rng))), b(child("b", Linear(3, 3, rng))) {
    b.parameter("W").tie(a.parameter("W"));
  }
  Linear &a, &b;
};

}  // namespace

TEST_CASE("parameters have dotted names, own ones first") {
  Rng rng(1);
  const Model model(rng);
  CHECK(names_of(model.parameters()) == "scale embedding.W out.W out.b ");
  CHECK(model.parameter_count() == 1 + 15 + 15 + 5);
  CHECK(model.out.name() == "out");
  CHECK(&model.parameter("out.b") == model.parameters()[3].parameter);
  CHECK_THROWS_WITH_AS(model.parameter("out.c"),
                       "module 'model' has no parameter 'out.c'; it has: scale, embedding.W, out.W, out.b", Error);
}

TEST_CASE("names that would be ambiguous are refused") {
  Rng rng(1);
  CHECK_THROWS_AS(Clash().parameter_twice(), Error);
  CHECK_THROWS_AS(Clash().child_like_parameter(rng), Error);
  CHECK_THROWS_AS(Clash().dotted(), Error);
  CHECK_THROWS_AS(Clash().empty(), Error);
}

TEST_CASE("references to parameters and parts survive a move") {
  Rng rng(1);
  Model model(rng);
  Parameter& W = model.parameter("out.W");
  Linear& out = model.out;
  const Model moved(std::move(model));
  CHECK(&moved.parameter("out.W") == &W);
  CHECK(&moved.out == &out);
  Tape tape;
  CHECK(moved.out(tape.constant(zeros(2, 3))).shape() == Shape{2, 5});
}

TEST_CASE("a tied parameter counts once, and its gradient is the sum over both uses") {
  Rng rng(1);
  const Tied model(rng);
  CHECK(names_of(model.parameters()) == "a.W a.b b.b ");
  CHECK(names_of(model.named_parameters()) == "a.W a.b b.W b.b ");
  CHECK(model.parameter_count() == 15);
  Tape tape;
  const Tensor x = tape.constant(full({1, 3}, 1));
  backward(sum(model.a(x)) + sum(model.b(x)));
  CHECK(model.parameter("b.W").grad().at({0, 0}) == 2);
}

TEST_CASE("modes, freezing and types reach every part") {
  Rng rng(1);
  Model model(rng);
  CHECK(model.training());
  model.eval();
  CHECK_FALSE(model.out.training());
  model.train();
  CHECK(model.embedding.training());
  model.freeze();
  CHECK(model.parameter("out.W").frozen());
  model.freeze(false);
  CHECK_FALSE(model.parameter("out.W").frozen());
  model.parameter("out.W").grad().fill(1);
  model.to(DType::f64);
  CHECK(model.parameter("out.W").dtype() == DType::f64);
  CHECK(model.parameter("out.W").grad().at({0, 0}) == 1);
  CHECK_THROWS_AS(model.to(DType::i32), Error);
  model.zero_grad();
  CHECK(model.parameter("out.W").grad().at({0, 0}) == 0);
}

TEST_CASE("a tape keeps the storage of a parameter that changes its type") {
  Rng rng(1);
  const Linear linear(3, 3, rng);
  Tape tape;
  const Tensor W = tape.leaf(linear.parameter("W"));
  const Array before = W.array();
  linear.to(DType::f64);
  CHECK(W.array() == before);
}

TEST_CASE("clone has the same numbers and its own storage") {
  Rng rng(1);
  Linear linear(4, 2, rng);
  linear.to(DType::f64);
  linear.parameter("b").freeze();
  linear.set_name("head");
  linear.eval();
  const Linear copy = linear.clone();
  CHECK(copy.name() == "head");
  CHECK_FALSE(copy.training());
  CHECK(copy.parameter("W").value() == linear.parameter("W").value());
  CHECK(copy.parameter("b").frozen());
  linear.parameter("W").edit().as<double>()[0] += 1;
  CHECK_FALSE(copy.parameter("W").value() == linear.parameter("W").value());
  const Embedding embedding(3, 2, rng);
  CHECK(embedding.clone().parameter("W").value() == embedding.parameter("W").value());
}

TEST_CASE("copy_parameters lists everything that does not fit, and then changes nothing") {
  Rng rng(1);
  const Linear a(3, 2, rng), wide(3, 4, rng), plain(3, 2, rng, {.bias = false});
  CHECK_THROWS_WITH_AS(copy_parameters(wide, a),
                       "parameters of 'linear' do not fit 'linear'; 'W' is (3, 4), not (3, 2); 'b' is (4), not (2)",
                       Error);
  CHECK_THROWS_WITH_AS(copy_parameters(plain, a), "parameters of 'linear' do not fit 'linear'; 'b' is missing", Error);
  CHECK_THROWS_WITH_AS(copy_parameters(a, plain), "parameters of 'linear' do not fit 'linear'; 'b' is not expected",
                       Error);
  copy_parameters(Linear(3, 2, rng), a);
}

TEST_CASE("Linear and Embedding") {
  Rng rng(1);
  const Linear linear(2, 3, rng);
  linear.parameter("W").set(Array({1.f, 2.f, 3.f, 4.f, 5.f, 6.f}, {2, 3}));
  linear.parameter("b").set(Array({10.f, 20.f, 30.f}, {3}));
  Tape tape;
  const Tensor y = linear(tape.constant(Array({1.f, 1.f, 0.f, 2.f}, {2, 1, 2})));
  CHECK(y.array() == Array({15.f, 27.f, 39.f, 18.f, 30.f, 42.f}, {2, 1, 3}));
  CHECK_THROWS_AS(linear(tape.constant(zeros(2, 5))), Error);
  CHECK_THROWS_WITH_AS(Linear(0, 3, rng), "linear: input size must be at least 1, not 0", Error);

  const Embedding table(3, 2, rng);
  const Tensor rows = table(tape.constant(Array({2, 0, 2}, {3})));
  CHECK(rows.shape() == Shape{3, 2});
  CHECK(rows.array().at({0, 1}) == table.parameter("W").value().at({2, 1}));
  backward(sum(rows));
  CHECK(table.parameter("W").grad() == Array({1.f, 1.f, 0.f, 0.f, 2.f, 2.f}, {3, 2}));
  CHECK_THROWS_AS(table(tape.constant(Array({3}, {1}))), Error);
  CHECK_THROWS_AS(Embedding(3, -1, rng), Error);
}

TEST_CASE("zero_grad, freeze, conversion and copies take a tied parameter once") {
  Rng rng(1);
  const Tied from(rng), to(rng);
  from.parameter("b.W").grad().fill(2);
  from.zero_grad();
  CHECK(from.parameter("a.W").grad().at({0, 0}) == 0);
  from.to(DType::f64);
  from.freeze();
  CHECK(from.parameter("b.W").dtype() == DType::f64);
  CHECK(from.parameter("b.W").frozen());
  copy_parameters(from, to);
  CHECK(to.parameter("b.W").value() == from.parameter("a.W").value().to(DType::f32));
}

TEST_CASE("messages and graphs have the dotted name in the largest module") {
  Rng rng(1);
  struct Outer : Module {
    explicit Outer(Rng& r) : Module("outer"), model(child("model", Model(r))) {}
    Model& model;
  };
  const Model alone(rng);
  CHECK(alone.out.parameter("W").data()->name == "out.W");
  const Outer outer(rng);
  CHECK(outer.model.out.parameter("W").data()->name == "model.out.W");
  CHECK(outer.model.scale.data()->name == "model.scale");
  CHECK(outer.model.out.parameter("W").name() == "W");
  const Tied tied(rng);
  CHECK(tied.b.parameter("W").data()->name == "a.W");
}

TEST_CASE("buffers are constants that belong to the module") {
  struct Scaled : Module {
    Scaled() : Module("scaled"), w(param("w", full({2}, 3))), mean(buffer("mean", Array({1.f, 2.f}, {2}))) {}
    Tensor operator()(Tensor x) const { return (x - mean) * w; }
    Scaled clone() const { return cloned(Scaled(), *this); }
    Parameter &w, &mean;
  };
  struct Outer : Module {
    Outer() : Module("outer"), part(child("part", Scaled())) {}
    Scaled& part;
  };
  Outer m;
  CHECK(names_of(m.parameters()) == "part.w ");
  CHECK(names_of(m.buffers()) == "part.mean ");
  CHECK(m.parameter_count() == 2);
  m.freeze(false);  // parameters only
  Tape tape;
  const Tensor y = m.part(tape.constant(full({1, 2}, 5)));
  CHECK(y.array() == Array({12.f, 9.f}, {1, 2}));
  backward(sum(y));
  CHECK(m.part.mean.grad().at({0}) == 0);
  CHECK(m.part.w.grad().at({0}) == 4);
  m.part.mean.set(Array({7.f, 8.f}, {2}));
  m.to(DType::f64);
  const Scaled copy = m.part.clone();
  CHECK(copy.mean.value() == Array({7.0, 8.0}, {2}));
  CHECK(copy.mean.frozen());
  struct Twice : Scaled {
    void again() { buffer("mean", zeros(1)); }
    void as_parameter() { param("mean", zeros(1)); }
  };
  CHECK_THROWS_WITH_AS(Twice().again(), "module 'scaled' already has a buffer 'mean'", Error);
  CHECK_THROWS_AS(Twice().as_parameter(), Error);
}
