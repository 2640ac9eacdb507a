#include <doctest/doctest.h>

#include <rewind/core/error.h>
#include <rewind/models/weights/keras.h>

#include "../../paths.h"
#include "golden_layers.h"

using namespace rw;
using namespace rw::test;

namespace {

const ArrayFile& golden() {
  static const ArrayFile file = load_arrays(source_dir() + "/tests/golden/keras_layers.safetensors");
  return file;
}

template <class C, class Options>
void compare(const std::string& name, const Options& own) {
  Rng rng(1);
  const auto weights = arrays_under(golden(), name + "/weight/");
  for (const Bias bias : {Bias::one, Bias::two}) {
    if (bias == Bias::one && name == "gru_reset_after") continue;
    CAPTURE(name);
    const C cell(2, 3, rng, own, {.bias = bias});
    cell.to(DType::f64);
    const WeightMap map = keras_weights(cell);
    map.set(weights, name);
    Tape tape(DType::f64);
    const auto array = [&](const char* key) { return tape.constant(golden().at(name + "/" + key)); };
    std::vector<Tensor> first{array("h0"), array("c0")};
    first.resize(tensor_count(typename C::State()));
    const Passed passed = run_layer(cell, array("x"), first);
    check_close("y", passed.y.value(), golden().at(name + "/y"), 1e-10);
    if (passed.last.size() > 1) check_close("cn", passed.last[1].value(), golden().at(name + "/cn"), 1e-10);
    for (const NamedArray& a : map.get()) CHECK(a.array == golden().at(name + "/weight/" + a.name));
  }
}

}  // namespace

TEST_CASE("Keras' SimpleRNN, LSTM and GRU: values, with one bias and with two") {
  compare<RnnCell>("simple_rnn", RnnOptions{});
  compare<LstmCell>("lstm", LstmOptions{});
  for (const auto update : {GruOptions::Update::keeps, GruOptions::Update::takes}) {
    compare<GruCell>("gru_reset_after", GruOptions{.update = update});
    compare<GruCell>("gru", GruOptions{.reset = GruOptions::Reset::before, .update = update});
  }
}

TEST_CASE("two biases are saved as their sum where Keras has one") {
  Rng rng(1);
  LstmCell cell(2, 3, rng, {.bias = Bias::two});
  cell.parameter("b").edit().as<float>()[4] = 0.5f;
  cell.parameter("br").edit().as<float>()[4] = 0.25f;
  const ArrayFile saved{keras_weights(cell).get(), {}};
  CHECK(saved.at("bias").at({4}) == 0.75);
  CHECK(keras_weights(LstmCell(2, 3, rng, {.bias = Bias::none})).get().size() == 2);
}

TEST_CASE("Keras has no projection") {
  Rng rng(1);
  CHECK_THROWS_WITH_AS(keras_weights(LstmCell(2, 3, rng, {.projection = 2})),
                       "lstm: the other library's has nothing like the parameter 'P'", Error);
}

TEST_CASE("a GRU of one bias cannot take Keras' two unless they can be joined") {
  Rng rng(1);
  const GruCell cell(2, 3, rng);
  auto weights = arrays_under(golden(), "gru_reset_after/weight/");
  CHECK_THROWS_WITH_AS(
      keras_weights(cell).set(weights, "gru"),
      "gru: 'bias': the candidate's recurrent bias is not 0, and the gru has none: make it with Bias::two", Error);
  const GruCell before(2, 3, rng, {.reset = GruOptions::Reset::before});
  CHECK_THROWS_WITH_AS(keras_weights(before).set(weights, "gru"),
                       "gru: it does not fit the model: of another shape: bias (f64 (2, 9), not (9))", Error);
}

TEST_CASE("Keras' Dense and Embedding are ours by other names") {
  Rng rng(1);
  const Linear linear(2, 3, rng);
  const Embedding embedding(5, 3, rng);
  const ArrayFile dense{keras_weights(linear).get(), {}}, table{keras_weights(embedding).get(), {}};
  CHECK(dense.at("kernel") == linear.parameter("W").value());
  CHECK(dense.at("bias") == linear.parameter("b").value());
  CHECK(table.at("embeddings") == embedding.parameter("W").value());
}
