#include <algorithm>
#include <fstream>
#include <iterator>
#include <string>

#include <doctest/doctest.h>

#include <rewind/models/cells/any_cell.h>

#include "../../paths.h"
#include "../sequence.h"

using namespace rw;
using namespace rw::test;

TEST_CASE("AnyCell is the cell it holds, under the same names") {
  Rng a(1), b(1);
  const LstmCell plain(I, H, a);
  const AnyCell any = make_cell("lstm", I, H, b);
  CHECK(any.name() == "lstm");
  CHECK(any.parameters()[0].name == "W");
  CHECK(any.parameter_count() == plain.parameter_count());
  Tape tape;
  const Tensor x = tape.constant(sequence());
  const Tensor y = outputs(plain, unroll(plain, x, plain.zero_state(tape, N)));
  const AnyCell copy = any.clone();
  for (const AnyCell* cell : {&any, &copy})
    CHECK(distance(outputs(*cell, unroll(*cell, x, cell->zero_state(tape, N))), y) == 0);
  const auto s = any.step(select(x, 0, 0), any.zero_state(tape, N));
  CHECK(distance(any.output(s), select(y, 0, 0)) < 1e-6);
}

TEST_CASE("AnyCell holds cells without a projection, and stacks") {
  Rng rng(1);
  const AnyCell own{UgrnnCell(I, H, rng)}, stack{two_layers(rng)};
  Tape tape;
  const Tensor x = tape.constant(sequence());
  CHECK(outputs(own, unroll(own, x, own.zero_state(tape, N))).shape() == Shape{T, N, H});
  CHECK(outputs(stack, unroll(stack, x, stack.zero_state(tape, N))).shape() == Shape{T, N, H + 1});
  CHECK_THROWS_AS(own.clone(), Error);
  std::vector<AnyCell> layers;
  layers.push_back(make_cell("gru", I, H, rng));
  layers.push_back(make_cell("rnn", H, H, rng));
  const Stack<AnyCell> mixed(std::move(layers));
  CHECK(outputs(mixed, unroll(mixed, x, mixed.zero_state(tape, N))).shape() == Shape{T, N, H});
  CHECK(mixed.parameters()[0].name == "layer0.W");
}

TEST_CASE("cells by name") {
  Rng rng(1);
  for (const std::string_view name : cell_names()) {
    CAPTURE(std::string(name));
    const AnyCell cell = make_cell(name, I, H, rng, {.bias = Bias::two});
    Tape tape;
    CHECK(outputs(cell, unroll(cell, tape.constant(sequence()), cell.zero_state(tape, N))).shape() == Shape{T, N, H});
    const auto has = [&](const std::string& parameter) {
      const auto all = cell.parameters();
      return std::any_of(all.begin(), all.end(), [&](const NamedParameter& p) { return p.name == parameter; });
    };
    if (has("R")) CHECK(cell.parameter("br").shape() == cell.parameter("b").shape());
  }
  CHECK_THROWS_WITH_AS(make_cell("lstm", I, 0, rng), "lstm: hidden size must be at least 1, not 0", Error);
}

TEST_CASE("the guide's table and the README name every cell") {
  const auto text_of = [](const char* page) {
    std::ifstream file(std::string(source_dir()) + page);
    return std::string(std::istreambuf_iterator<char>(file), {});
  };
  const std::string guide = text_of("/docs/guide.md"), readme = text_of("/README.md");
  const std::size_t row = readme.find("| cells | ");
  REQUIRE(row != std::string::npos);
  const std::string cells = readme.substr(row, readme.find('\n', row) - row);
  for (const std::string_view name : cell_names()) {
    CAPTURE(std::string(name));
    // "gru-before" and "rnn-relu" are options, "+before" and "+relu".
    const std::string own(name), option = "+" + own.substr(own.find('-') + 1);
    CHECK((guide.find('`' + own + '`') != std::string::npos || guide.find('`' + option + '`') != std::string::npos));
  }
  for (const char* name : {"LSTM",
                           "GRU",
                           "MGU",
                           "Elman",
                           "IRNN",
                           "Jordan",
                           "context bank",
                           "sLSTM",
                           "mLSTM",
                           "minGRU",
                           "minLSTM",
                           "LRU",
                           "SRU",
                           "QRNN",
                           "IndRNN",
                           "multiplicative",
                           "mogrifier",
                           "clockwork",
                           "GRU-ODE",
                           "fast weights",
                           "echo state",
                           "block-diagonal",
                           "adaptive computation time"})
    CHECK_MESSAGE(cells.find(name) != std::string::npos, name);
}

TEST_CASE("options of cells by name") {
  Rng rng(1);
  const auto made = [&](std::string_view name) { return make_cell(name, I, H, rng); };
  CHECK(made("lstm+peepholes+norm+projection=2").parameter("P").shape() == Shape{H, 2});
  CHECK(output_width(made("lstm+projection=2")) == 2);
  CHECK(output_width(made("context+decay=0.5")) == H);
  CHECK(made("lstm+1997").parameter("W").shape() == Shape{I, 3 * H});
  CHECK(made("lstm+coupled+all-peepholes+nobias").parameters().size() == 5);
  CHECK(made("irnn").parameter("R").value() == identity(H));
  CHECK(made("gru+learned+zoneout=0.1").parameter("start0").shape() == Shape{H});
  CHECK(made("lstm+zoneout=0.1/0.5+drop-x=0.2+drop-h=0.3").parameters().size() == 3);

  // The options reach the cell: each makes another one.
  const auto outputs_of = [&](std::string_view name) {
    Rng same(1);
    AnyCell cell = make_cell(name, I, H, same);
    for (const NamedParameter& p : cell.parameters())
      for (Index i = 0; i < p.parameter->size(); ++i) p.parameter->edit().as<float>()[i] = 0.1f + 0.3f * (i % 4);
    Tape tape;
    return outputs(cell, unroll(cell, tape.constant(sequence()), cell.zero_state(tape, N))).array();
  };
  for (const std::string name :
       {"lstm+1997", "lstm+coupled", "lstm+peepholes", "lstm+all-peepholes", "lstm+norm", "lstm+zoneout=0.5",
        "lstm+drop-x=0.5", "lstm+drop-h=0.5", "gru+before", "gru+takes", "gru+learned", "rnn+relu", "rnn+nobias",
        "jordan+tanh", "jordan+sigmoid", "context+decay=0.5", "echo-state+leak=0.5", "echo-state+scale=2",
        "echo-state+nobias"}) {
    CAPTURE(name);
    CHECK_FALSE(outputs_of(name) == outputs_of(name.substr(0, name.find('+'))));
  }
  CHECK(outputs_of("gru+before") == outputs_of("gru-before"));
  CHECK(outputs_of("rnn+relu") == outputs_of("rnn-relu"));
}

TEST_CASE("names and options that do not exist are refused with those that do") {
  Rng rng(1);
  const auto refused = [&](std::string_view name, const std::string& why) {
    CAPTURE(std::string(name));
    CHECK_THROWS_WITH_AS(make_cell(name, I, H, rng), why.c_str(), Error);
  };
  const std::string all =
      "lstm, gru, gru-before, mgu, rnn, rnn-relu, irnn, jordan, context, slstm, mlstm, min-gru, min-lstm, lru, sru, "
      "qrnn, indrnn, multiplicative-lstm, mogrifier, clockwork, gru-ode, fast-weights, echo-state";
  refused("elman", "no cell 'elman'; there are: " + all);
  refused("", "no cell ''; there are: " + all);
  const std::string common = ", and every cell nobias, drop-x=, drop-h=, zoneout=, learned, act=";
  refused("gru+act=0", "adaptive: 0 rounds: it must be 1 or more");
  refused("gru+act=1000000", "gru: act is 1000000: it must be at most 1000");
  refused("mogrifier+rounds=1001", "mogrifier: rounds is 1001: it must be at most 1000");
  refused("gru-ode+steps=0", "gru-ode: 0 steps of the solver: it must be 1 or more");
  refused("lstm+heads=2", "lstm: 2 heads do not divide a hidden size of 5");
  refused("gru+heads=0", "gru: 0 heads: there must be 1 or more");
  refused("lstm+projection=2+heads=5", "lstm: 5 heads do not divide what is fed back, 2 wide");
  refused("lru+heads=5", "cell 'lru+heads=5': there is no option 'heads=5'; of its own lru has none" + common);
  refused("echo-state+leak=0", "echo state: leak is 0: it must be in (0, 1]");
  refused("echo-state+density=1/2", "cell 'echo-state+density=1/2': density is one number, not 2");
  refused("clockwork+periods=1/1.5", "clockwork: a period of 1.5: it must be a whole number from 1 to 1000000");
  refused("gru+coupled",
          "cell 'gru+coupled': there is no option 'coupled'; of its own gru has before, takes, heads=" + common);
  refused("gru-before+before",
          "cell 'gru-before+before': there is no option 'before'; of its own gru-before has takes, heads=" + common);
  refused("mgu+", "cell 'mgu+': there is no option ''; of its own mgu has heads=" + common);
  refused("mgu+zoneout", "cell 'mgu+zoneout': there is no option 'zoneout'; of its own mgu has heads=" + common);
  refused("mgu+nobias=1", "cell 'mgu+nobias=1': there is no option 'nobias=1'; of its own mgu has heads=" + common);
  refused("mgu+zoneout=0.1+zoneout=0.2", "cell 'mgu+zoneout=0.1+zoneout=0.2': 'zoneout=' is there twice");
  refused("mgu+zoneout=much", "cell 'mgu+zoneout=much': 'much' is no number");
  refused("mgu+zoneout=0.1/", "cell 'mgu+zoneout=0.1/': '' is no number");
  refused("mgu+zoneout=0.1/0.2", "zoneout: 2 rates for a state of 1 tensors: give one for each, or one for all");
  refused("mgu+drop-x=1", "variational dropout: input is 1: it must be in [0, 1)");
  refused("mgu+drop-h=0.1/0.2", "cell 'mgu+drop-h=0.1/0.2': drop-h is one number, not 2");
  refused("context+decay=1", "context: decay is 1: it must be in [0, 1)");
  refused("lstm+projection=1.5", "cell 'lstm+projection=1.5': projection is a whole number, not 1.5");
  refused("lstm+projection=nan", "cell 'lstm+projection=nan': 'nan' is no number");
  refused("lstm+projection=5", "lstm: projection is 5: it must be below the hidden size, 5, or 0 for none");
  refused("lstm+1997+coupled",
          "lstm: coupled gates need a forget gate to couple to the input gate, and the cell of 1997 has none; give one "
          "of coupled = true and forget_gate = false");
  CHECK_THROWS_AS(check_cell_name("lstm+x"), Error);
  CHECK_NOTHROW(check_cell_name("lstm+1997+zoneout=0.1"));
}
