#include <doctest/doctest.h>

#include <rewind/autograd/backward.h>
#include <rewind/core/error.h>
#include <rewind/models/weights/torch.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/padding.h>
#include <rewind/ops/reduce.h>

#include "../../paths.h"
#include "../folder.h"
#include "golden_layers.h"

using namespace rw;
using namespace rw::test;

namespace {

const ArrayFile& golden() {
  static const ArrayFile file = load_arrays(source_dir() + "/tests/golden/torch_layers.safetensors");
  return file;
}

// What a layer is applied to, as parameters, so that it has gradients.
struct Inputs : Module {
  explicit Inputs(const std::string& name) : Module("inputs") {
    to(DType::f64);
    for (const char* key : {"x", "h0", "c0"})
      if (const Array* a = golden().find(name + "/" + key)) param(key, *a);
  }
};

// The sum of what was sent back in PyTorch, so that the gradients are those it has.
Tensor sent(const std::string& name, const std::string& key, Tensor t) {
  return sum(t * t.tape().constant(golden().at(name + "/d" + key)));
}

// PyTorch's names for the gradients: the weights' places take them for a moment.
void check_gradients(const std::string& name, const WeightMap& map, const std::vector<NamedParameter>& weights,
                     const Inputs& inputs) {
  for (const NamedParameter& p : inputs.parameters())
    check_close("d" + p.name, p.parameter->grad(), golden().at(name + "/grad/" + p.name), 1e-10);
  for (const NamedParameter& p : weights) p.parameter->set(Array(p.parameter->grad()));
  for (const NamedArray& a : map.get()) {
    const bool no_second = a.name.starts_with("bias_hh") && a.array == Array(a.array.shape(), DType::f64);
    if (!no_second) check_close("d" + a.name, a.array, golden().at(name + "/grad/" + a.name), 1e-10);
  }
}

std::vector<Tensor> initial(Tape& tape, const Inputs& inputs) {
  std::vector<Tensor> first;
  for (const NamedParameter& p : inputs.parameters())
    if (p.name != "x") first.push_back(tape.leaf(*p.parameter));
  return first;
}

// A layer with PyTorch's weights gives PyTorch's numbers, forward and backward.
template <class L>
void compare(const std::string& name, const L& layer, bool lengths = false) {
  CAPTURE(name);
  layer.to(DType::f64);
  const WeightMap map = torch_weights(layer);
  map.set(arrays_under(golden(), name + "/weight/"), name);
  const Inputs inputs(name);
  Tape tape(DType::f64);
  UnrollOptions options;
  if (lengths) options.lengths = tape.constant(Array({2, 4, 3}, {3}));
  Passed passed = run_layer(layer, tape.leaf(inputs.parameter("x")), initial(tape, inputs), options);
  if (lengths) passed.y = clear_padding(passed.y, *options.lengths);
  check_close("y", passed.y.value(), golden().at(name + "/y"), 1e-10);
  Tensor loss = sent(name, "y", passed.y);
  const char* const keys[] = {"hn", "cn"};
  for (std::size_t i = 0; i < passed.last.size(); ++i) {
    check_close(keys[i], passed.last[i].value(), golden().at(name + "/" + keys[i]), 1e-10);
    loss = loss + sent(name, keys[i], passed.last[i]);
  }
  backward(loss);
  check_gradients(name, map, layer.parameters(), inputs);
}

template <class C, class Options>
void compare_kind(const std::string& kind, const Options& own) {
  compare(kind + "_no_bias", stacked<C>({2}, 3, own, CellOptions{.bias = Bias::none}));
  const CellOptions two{.bias = Bias::two};
  compare(kind, stacked<C>({2}, 3, own, two));
  compare(kind + "_stacked", stacked<C>({2, 3}, 3, own, two));
  compare(kind + "_both_ways", stacked_both_ways<C>({2, 6}, 3, own, two));
  compare(kind + "_lengths", stacked_both_ways<C>({2}, 3, own, two), true);
}

std::string refusal(const WeightMap& map, const std::vector<NamedArray>& arrays) {
  try {
    map.set(arrays, "weights.safetensors");
  } catch (const Error& e) {
    return e.what();
  }
  return "accepted";
}

}  // namespace

TEST_CASE("PyTorch's RNN, LSTM and GRU: values and gradients of all weights, inputs and states") {
  compare_kind<RnnCell>("rnn_tanh", RnnOptions{});
  compare_kind<RnnCell>("rnn_relu", RnnOptions{.activation = RnnOptions::Activation::relu});
  compare_kind<LstmCell>("lstm", LstmOptions{});
  compare_kind<GruCell>("gru", GruOptions{});
  compare_kind<GruCell>("gru", GruOptions{.update = GruOptions::Update::takes});
}

TEST_CASE("so they are of cells chosen by name, and a cell that PyTorch does not have is refused") {
  Rng rng(1);
  const auto two = [&](const char* name) {
    std::vector<AnyCell> layers;
    for (const Index in : {2, 3}) layers.push_back(make_cell(name, in, 3, rng, {.bias = Bias::two}));
    return Stack<AnyCell>(std::move(layers));
  };
  compare("rnn_relu_stacked", two("rnn-relu"));
  compare("lstm_stacked", two("lstm"));
  compare("gru_stacked", two("gru+takes"));
  for (const char* name : {"mgu", "lstm+zoneout=0.1"})
    CHECK_THROWS_WITH_AS(torch_weights(make_cell(name, 2, 3, rng)),
                         doctest::Contains("torch_weights: PyTorch has rnn, lstm and gru, without zoneout"), Error);
}

TEST_CASE("PyTorch's LSTM with proj_size") {
  compare("lstm_projected", stacked<LstmCell>({2, 2}, 3, LstmOptions{.projection = 2}, CellOptions{.bias = Bias::two}));
}

TEST_CASE("a layer as a Recurrent, and one direction of it, have the same names") {
  Rng rng(1);
  const Recurrent layer(LstmCell(2, 3, rng));
  CHECK(torch_weights(layer).get()[1].name == "weight_hh_l0");
  CHECK(torch_weights(layer.cell(), {.layer = 3, .reverse = true}).get()[1].name == "weight_hh_l3_reverse");
}

TEST_CASE("PyTorch's two biases are summed into one, and saved as one and 0") {
  Rng rng(1);
  compare("lstm_both_ways", stacked_both_ways<LstmCell>({2, 6}, 3));
  compare("rnn_tanh", stacked<RnnCell>({2}, 3));

  LstmCell cell(2, 3, rng);
  cell.to(DType::f64);
  const auto weights = arrays_under(golden(), "lstm/weight/");
  torch_weights(cell).set(weights, "lstm");
  const ArrayFile saved{torch_weights(cell).get(), {}};
  const Array &ih = golden().at("lstm/weight/bias_ih_l0"), &hh = golden().at("lstm/weight/bias_hh_l0");
  for (Index i = 0; i < 12; ++i) CHECK(saved.at("bias_ih_l0").at({i}) == ih.at({i}) + hh.at({i}));
  CHECK(saved.at("bias_hh_l0") == Array(Shape{12}, DType::f64));
}

TEST_CASE("a GRU with one bias refuses what it has no place for") {
  Rng rng(1);
  GruCell cell(2, 3, rng);
  auto weights = arrays_under(golden(), "gru/weight/");
  CHECK(
      refusal(torch_weights(cell), weights) ==
      "weights.safetensors: 'bias_hh_l0': the candidate's recurrent bias is not 0, and the gru has none: make it with "
      "Bias::two");
  for (NamedArray& a : weights)
    if (a.name == "bias_hh_l0")
      for (Index i = 6; i < 9; ++i) a.array.span<double>()[static_cast<std::size_t>(i)] = 0;
  CHECK(refusal(torch_weights(cell), weights) == "accepted");
}

TEST_CASE("PyTorch's Linear and Embedding") {
  Rng rng(1);
  for (const bool bias : {true, false}) {
    const std::string name = bias ? "linear" : "linear_no_bias";
    Linear linear(2, 3, rng, {.bias = bias});
    linear.to(DType::f64);
    torch_weights(linear).set(arrays_under(golden(), name + "/weight/"), name);
    const Inputs inputs(name);
    Tape tape(DType::f64);
    const Tensor y = linear(tape.leaf(inputs.parameter("x")));
    check_close("y", y.value(), golden().at(name + "/y"), 1e-10);
    backward(sent(name, "y", y));
    check_gradients(name, torch_weights(linear), linear.parameters(), inputs);
  }
  Embedding embedding(5, 3, rng);
  embedding.to(DType::f64);
  torch_weights(embedding).set(arrays_under(golden(), "embedding/weight/"), "embedding");
  Tape tape(DType::f64);
  const Tensor y = embedding(tape.constant(golden().at("embedding/x")));
  check_close("y", y.value(), golden().at("embedding/y"), 1e-10);
  backward(sent("embedding", "y", y));
  check_close("dW", embedding.parameter("W").grad(), golden().at("embedding/grad/weight"), 1e-10);
}

TEST_CASE("a state dict of a whole model goes to a file and comes back to the same bits") {
  Rng rng(1);
  struct Model {
    Embedding embedding;
    Stack<GruCell> gru;
    Linear out;
    explicit Model(Rng& r, const CellOptions& options) : embedding(7, 4, r), gru(cells(r, options)), out(5, 7, r) {}
    static std::vector<GruCell> cells(Rng& r, const CellOptions& options) {
      std::vector<GruCell> all;
      all.emplace_back(4, 5, r, options);
      all.emplace_back(5, 5, r, options);
      return all;
    }
    WeightMap map() const {
      WeightMap all;
      all.add("embedding.", torch_weights(embedding)).add("gru.", torch_weights(gru)).add("out.", torch_weights(out));
      return all;
    }
  };
  const CellOptions options{.bias = Bias::two, .biases = Init::uniform(0.5)};
  const Model a(rng, options), b(rng, options);
  const Folder folder;
  a.map().save(folder / "model.safetensors", {{"note", "gru"}});
  CHECK(load_arrays(folder / "model.safetensors").find("gru.weight_hh_l1") != nullptr);
  CHECK(b.map().load(folder / "model.safetensors") == Metadata{{"note", "gru"}});
  for (const auto& [x, y] :
       {std::pair<const Module&, const Module&>(a.embedding, b.embedding), {a.gru, b.gru}, {a.out, b.out}})
    for (std::size_t i = 0; i < x.parameters().size(); ++i)
      CHECK(x.parameters()[i].parameter->value() == y.parameters()[i].parameter->value());
  CHECK_THROWS_WITH_AS(WeightMap(a.map()).add("out.", torch_weights(b.out)),
                       "a weight map has an array 'out.weight' already: give its parts prefixes", Error);
}

TEST_CASE("keys that are unknown, missing or of another shape are all listed, and nothing is changed") {
  Rng rng(1);
  LstmCell cell(2, 3, rng, {.bias = Bias::two});
  const Array before = cell.parameter("W").value();
  auto weights = arrays_under(golden(), "lstm_stacked/weight/");
  std::erase_if(weights, [](const NamedArray& a) { return a.name == "bias_hh_l0" || a.name == "weight_hh_l0"; });
  for (NamedArray& a : weights)
    if (a.name == "bias_ih_l0") a.array = Array(Shape{12}, DType::i32);
  weights.push_back({"weight_hh_l0", Array(Shape{3, 12})});
  CHECK(refusal(torch_weights(cell), weights) ==
        "weights.safetensors: it does not fit the model: missing: bias_hh_l0; not expected: bias_hh_l1, bias_ih_l1, "
        "weight_hh_l1, weight_ih_l1; of another shape: weight_hh_l0 (f32 (3, 12), not (12, 3)), bias_ih_l0 (i32 (12), "
        "not "
        "(12))");
  CHECK(cell.parameter("W").value() == before);
  CHECK_THROWS_WITH_AS(torch_weights(LstmCell(2, 3, rng, {.peepholes = LstmOptions::Peepholes::gates})),
                       "lstm: the other library's has nothing like the parameter 'pi'", Error);
  CHECK_THROWS_WITH_AS(torch_weights(LstmCell(2, 3, rng, {.coupled = true})),
                       "lstm: the other library's has 4 gates, this one W (2, 9)", Error);
  std::vector<LstmCell> layers;
  layers.emplace_back(3, 3, rng);
  CHECK_THROWS_WITH_AS(
      torch_weights(Stack<LstmCell>(std::move(layers), {.residual = true})),
      "torch_weights: the other library's stacks have no skips and no residuals: ask for the weights of "
      "each layer",
      Error);
  const Bidirectional<RnnCell> added(RnnCell(2, 3, rng), RnnCell(2, 3, rng),
                                     {.merge = BidirectionalOptions::Merge::sum});
  CHECK_THROWS_WITH_AS(
      torch_weights(added),
      "torch_weights: PyTorch gives both directions end to end, this layer adds them: use Merge::concat", Error);
  const GruCell other(2, 3, rng, {.reset = GruOptions::Reset::before});
  CHECK_THROWS_WITH_AS(torch_weights(other),
                       "torch_weights: PyTorch's GRU resets after the product, this one before: use Reset::after",
                       Error);
}

TEST_CASE("a module that is in a model twice must be given one value") {
  Rng rng(1);
  const Linear shared(2, 3, rng), other(2, 3, rng);
  WeightMap map;
  map.add("a.", torch_weights(shared)).add("b.", torch_weights(shared));
  std::vector<NamedArray> arrays = map.get();
  CHECK(refusal(map, arrays) == "accepted");
  CHECK(map.get()[0].array == arrays[0].array);
  arrays[0].array.fill(1);
  CHECK(refusal(map, arrays) == "weights.safetensors: the tied parameter 'W' is given two different values");
  CHECK(map.get()[0].array == map.get()[2].array);
}
