#include <optional>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <rewind/models/models.h>
#include <rewind/ops/elementwise.h>
#include <rewind/ops/ops.h>

#include "exported.h"
#include "models.h"

namespace rw {
namespace {

using namespace rw::test;

constexpr Index T = 100, in = 3;

Array random_sequence(const Shape& shape, std::uint64_t seed = 7) {
  Rng rng(seed);
  Array x(shape);
  for (float& v : x.span<float>()) v = static_cast<float>(rng.uniform(-1, 1));
  return x;
}

/// A model, exported in f32 and f64, and what the tape makes of it.
struct Trial {
  std::string name;
  std::size_t f32 = 0;
  std::optional<std::size_t> f64;  // compiling takes most of the time: every third trial, unless all are asked for
  Array x{}, tape32{}, tape64{};
};

class Trials {
 public:
  /// Any cell, or whatever `record` records and `on_tape` runs.
  template <class C>
  void cell(const std::string& name, const C& cell, const Index width = in) {
    randomise(cell);
    add(
        name, random_sequence({T, width}), [&](DType real) { return record_step(cell, width, real); },
        [&](Tape& tape, Tensor x) {
          return outputs(cell, unroll(cell, reshape(x, {T, 1, width}), cell.zero_state(tape, 1)));
        });
  }
  template <class Record, class OnTape>
  void add(const std::string& name, const Array& x, const Record& record, const OnTape& on_tape) {
    const auto values = [&](DType real) {
      Tape tape(real);
      return on_tape(tape, tape.constant(x)).array();
    };
    Trial t{.name = name, .f32 = exports_.add(record(DType::f32)), .f64 = std::nullopt, .x = x};
    if (rw::test::full() || all_.size() % 3 == 0) t.f64 = exports_.add(record(DType::f64));
    t.tape32 = values(DType::f32);
    t.tape64 = values(DType::f64);
    all_.push_back(std::move(t));
  }

  void check() {
    exports_.load();
    for (const Trial& t : all_) {
      CAPTURE(t.name);
      const Array y32 = exports_.run(t.f32, t.x);
      const double most = largest(t.tape64);
      REQUIRE(most > 1e-3);
      CHECK(difference(y32, t.tape32) <= 2e-6 * most);
      if (t.f64) CHECK(difference(exports_.run(*t.f64, t.x), t.tape64) <= 1e-13 * most);
      CHECK(difference(y32, t.tape64) <= 2 * difference(t.tape32, t.tape64) + 4 * 6e-8 * most);
    }
  }

 private:
  Exports exports_;
  std::vector<Trial> all_;
};

TEST_CASE("every cell and option as a header gives what the tape gives, at every step") {
  Trials trials;
  Rng rng(5);
  for (const auto& [name, onnx] : exported_cells) {
    AnyCell cell = make_cell(name, in, 12, rng);
    cell.eval();
    trials.cell(name, cell);
  }
  for (const Index hidden : {1, 2, 7, 8, 9, 20, 33}) {
    trials.cell(fmt::format("lstm {}", hidden), LstmCell(in, hidden, rng));
    trials.cell(fmt::format("gru {}", hidden), GruCell(1, hidden, rng, {.bias = Bias::two}), 1);
  }
  trials.cell("lstm, two biases", LstmCell(in, 10, rng, {.bias = Bias::two}));
  trials.cell("limited gradients", Clipped(GruCell(in, 10, rng), 0.1));
  trials.check();
}

/// Minimal gated unit (Zhou et al., 2016), and an op of its own.
struct Swish {
  static constexpr std::string_view name = "test_swish";
  double slope = 1;
  auto f(auto x) const { return x * rw::sigmoid(static_cast<decltype(x)>(slope) * x); }
};

class OwnCell : public Module {
 public:
  struct State {
    Tensor h;
    std::vector<Tensor> delays;
  };
  explicit OwnCell(Rng& rng, bool swish)
      : Module("own"), W_(param("W", glorot(rng, in, 10))), U_(param("U", orthogonal(rng, 10))), swish_(swish) {}
  State empty_state() const { return {{}, std::vector<Tensor>(3)}; }
  State zero_state(Tape& tape, Index batch) const {
    State s{tape.constant(0, {batch, 10}), {}};
    for (int i = 0; i < 3; ++i) s.delays.push_back(tape.constant(0, {batch, in}));
    return s;
  }
  State step(Tensor x, State s) const {
    const Tensor past = s.delays[0] + s.delays[2] * 0.5;
    Tensor z = matmul(x + past, W_) + matmul(s.h, U_);
    if (swish_) z = record(Elementwise<Swish>{{1.5}}, z);
    const Tensor best = softmax(z), spread = sqrt(mean(square(z - mean(z, {-1}, true)), {-1}, true) + 0.1);
    s.h = tanh(concat({slice(z, -1, 5, 5), slice(best, -1, 0, 5)}, -1) / spread + max(best, {-1}, true));
    s.delays = {x, s.delays[0], s.delays[1]};
    return s;
  }

 private:
  Parameter &W_, &U_;
  bool swish_;
};

TEST_CASE("stacks, readouts, attention and cells of one's own as headers") {
  Trials trials;
  Rng rng(6);
  trials.cell("a stack", Stack({LstmCell(in, 9, rng), LstmCell(9, 6, rng)}));
  trials.cell("skips", Stack({GruCell(in, 6, rng), GruCell(9, 6, rng)}, {.skip_input = true, .skip_output = true}));
  trials.cell("residual", Stack({RnnCell(in, 6, rng), RnnCell(6, 6, rng), RnnCell(6, 6, rng)}, {.residual = true}));
  trials.cell("a cell of one's own", OwnCell(rng, false));

  const Readout<LstmCell> readout{LstmCell(1, 20, rng), Linear(20, 1, rng)};
  randomise(readout);
  trials.add(
      "readout", random_sequence({T, 1}), [&](DType real) { return record_step(readout, 1, real); },
      [&](Tape&, Tensor x) {
        return readout(reshape(x, {T, 1, 1}));
      });

  CharModel text(Vocabulary(U"abcdefg"), {.cell = "gru", .layers = 2, .hidden = 10, .embedding = 4}, rng);
  text.eval();
  randomise(text);
  Array characters(Shape{T}, DType::i32);
  for (std::int32_t& c : characters.span<std::int32_t>()) c = static_cast<std::int32_t>(rng.below(7));
  trials.add(
      "a character model", characters, [&](DType real) { return record_step(text, real); },
      [&](Tape& tape, Tensor x) {
        auto state = text.zero_state(tape, 1);
        return text.logits(reshape(x, {T, 1}), state);
      });

  const AttentionCell decoder(LstmCell(in + 4, 8, rng), AdditiveAttention(8, 4, 6, rng));
  randomise(decoder);
  const Array source = random_sequence({5, 1, 4}, 9);
  const auto start = [&](Tape& tape) {
    return decoder.start(decoder.cell().zero_state(tape, 1), decoder.attention().remember(tape.constant(source)));
  };
  trials.add(
      "attention", random_sequence({T, in}),
      [&](DType real) {
        return record_step({{1, in}}, real, start, [&](Tensor x, auto& state) {
          state = decoder.step(x, state);
          return output(decoder, state);
        });
      },
      [&](Tape& tape, Tensor x) {
        return outputs(decoder, unroll(decoder, reshape(x, {T, 1, in}), start(tape)));
      });
  trials.check();
}

/// x [1, 6] through what cells and random programs leave out.
Tensor many_ops(Tensor x) {
  const Tensor p = square(x) + 1, halves = reshape(x, {2, 3}), turned = permute(reshape(x, {1, 2, 3}), {2, 0, 1});
  const Tensor sign_of = x > 0.2, small = p < 1.3, sorted = sort(x), best = topk(x, 3);
  const Tensor back = grad(sum(sorted * p) + sum(best), x), least = min(halves, {1}, true);
  return concat({log1p(p),
                 expm1(x),
                 floor(3 * x),
                 sign(x),
                 mod(x, p - 1.3),
                 mod(x * 7, 0.3),
                 log_sigmoid(x),
                 leaky_relu(x, 0.2),
                 clamp(x, -0.3, 0.4),
                 minimum(x, 0.1),
                 pow(p, x),
                 pow(p, 2.5),
                 times0(x, p),
                 logical_and(sign_of, small),
                 logical_or(sign_of, small),
                 logical_xor(sign_of, small),
                 logical_not(sign_of),
                 sorted,
                 sort(x, -1, true),
                 best,
                 back,
                 cumsum(x, 1),
                 norm(x, {-1}, true),
                 reshape(cumsum(halves, 0), {1, 6}),
                 reshape(matmul(halves, halves, {.transpose_b = true}), {1, 4}),
                 reshape(matmul(halves, halves, {.transpose_a = true}), {1, 9}),
                 reshape(turned, {1, 6}),
                 reshape(least, {1, 2}),
                 reshape(halves - least, {1, 6}),
                 reshape(logsumexp(halves, 1), {1, 2}),
                 reshape(flip(halves, 1), {1, 6})},
                -1);
}

TEST_CASE("ops that cells and random programs leave out") {
  Trials trials;
  trials.add(
      "many ops", random_sequence({T, 6}),
      [&](DType real) {
        return record_step(
            {{1, 6}}, real, [](Tape& t) { return t.constant(0, {1}); }, [](Tensor x, Tensor&) { return many_ops(x); });
      },
      [&](Tape& tape, Tensor x) {
        std::vector<Tensor> rows;
        for (Index t = 0; t < T; ++t) rows.push_back(many_ops(tape.variable(slice(x, 0, t, 1).value())));
        return concat(rows, 0);
      });
  trials.check();
}

/// Whose parameters are named as the language, and the header, name other things.
class Names : public Module {
 public:
  struct State {
    Tensor h;
  };
  explicit Names(Rng& rng)
      : class_(param("class", glorot(rng, in, 4))),
        start_(param("start0", glorot(rng, 4, 4))),
        scale_(param("class_scale", uniform(rng, {4}, -1, 1))) {}
  State zero_state(Tape& tape, Index) const { return {tape.constant(0.25, {1, 4})}; }
  State step(Tensor x, State s) const { return {tanh(matmul(x, class_) + matmul(s.h, start_) + scale_)}; }

 private:
  Parameter &class_, &start_, &scale_;
};

TEST_CASE("parameters of any names as headers") {
  Rng rng(2);
  Trials trials;
  trials.cell("names", Names(rng));
  trials.check();
  Exports exports;
  exports.add(record_step(Names(rng), in), {.int8 = true});
  exports.load();
}

TEST_CASE("weights beside the header: the same numbers, and other bytes are refused") {
  Rng rng(8);
  const LstmCell cell(in, 9, rng);
  const LearnedStart begins(GruCell(in, 5, rng));
  randomise(cell);
  randomise(begins);
  Exports exports;
  const std::size_t inside = exports.add(record_step(cell, in));
  const std::size_t beside = exports.add(record_step(cell, in), {.weights_in_header = false});
  const std::size_t wide = exports.add(record_step(begins, in, DType::f64));
  const std::size_t wide_beside = exports.add(record_step(begins, in, DType::f64), {.weights_in_header = false});
  exports.load();
  const Array x = random_sequence({T, in});
  CHECK(difference(exports.run(inside, x), exports.run(beside, x)) == 0);
  CHECK(difference(exports.run(wide, x), exports.run(wide_beside, x)) == 0);
  const std::string right = exports.weights(beside);
  for (const std::size_t position :
       {std::size_t{0}, std::size_t{9}, std::size_t{17}, std::size_t{25}, std::size_t{64}, right.size() - 1}) {
    exports.weights(beside) = right;
    exports.weights(beside)[position] ^= 1;
    CHECK_THROWS_AS(exports.run(beside, x), Error);
  }
  exports.weights(beside) = right.substr(0, right.size() - 4);
  CHECK_THROWS_AS(exports.run(beside, x), Error);
  exports.weights(beside) = exports.weights(wide_beside);
  CHECK_THROWS_AS(exports.run(beside, x), Error);
}

TEST_CASE("weights in int8: an error that is reported, and the header's own") {
  Rng rng(8);
  const Readout<LstmCell> model{LstmCell(in, 12, rng), Linear(12, 2, rng)};
  CharModel text(Vocabulary(U"abcdefg"), {.cell = "gru", .layers = 1, .hidden = 10, .embedding = 4}, rng);
  text.eval();
  randomise(model);
  randomise(text);
  Array characters(Shape{T}, DType::i32);
  for (std::int32_t& c : characters.span<std::int32_t>()) c = static_cast<std::int32_t>(rng.below(7));
  Exports exports;
  const auto check = [&](const RecordedStep& step, const Array& x, std::size_t exact, std::size_t rounded) {
    const Int8Error error = int8_error(step, x);
    const Array y = exports.run(exact, x), z = exports.run(rounded, x);
    CHECK(error.largest > 1e-4);
    CHECK(error.largest < 0.05 * error.largest_output);
    CHECK(error.mean_square <= error.largest * error.largest);
    CHECK(difference(y, z) == doctest::Approx(error.largest).epsilon(1e-3));
    CHECK(largest(y) == doctest::Approx(error.largest_output).epsilon(1e-5));
  };
  for (const bool inside : {true, false}) {
    exports.add(record_step(model, in));
    exports.add(record_step(model, in), {.weights_in_header = inside, .int8 = true});
    exports.add(record_step(text));
    exports.add(record_step(text), {.weights_in_header = inside, .int8 = true});
  }
  exports.load();
  for (const std::size_t first : {0, 4}) {
    check(record_step(model, in), random_sequence({T, in}), first, first + 1);
    check(record_step(text), characters, first + 2, first + 3);
  }
  CHECK(exports.weights(5).size() < 0.4 * 4 * static_cast<double>(model.parameter_count()));
  CHECK_THROWS_AS(int8_error(record_step(model, in), random_sequence({2})), Error);
  CHECK_THROWS_AS(int8_error(record_step(model, in), Array(Shape{3}, DType::i32)), Error);

  Array broken = model.head().parameters()[0].parameter->value();
  broken.span<float>()[3] = NAN;
  model.head().parameters()[0].parameter->set(broken);
  CHECK(make_header(record_step(model, in)).text.find("Real(NAN)") != std::string::npos);
  try {
    make_header(record_step(model, in), {.int8 = true});
    CHECK(false);
  } catch (const Error& e) {
    CHECK(std::string(e.what()) == "export: head_W has the number nan, which int8 cannot be");
  }
}

TEST_CASE("an index outside of its range is nan and reads nothing") {
  Rng rng(8);
  CharModel text(Vocabulary(U"abc"), {.cell = "rnn", .layers = 1, .hidden = 4}, rng);
  text.eval();
  Exports exports;
  const std::size_t n = exports.add(record_step(text));
  exports.load();
  const Array y = exports.run(n, Array({0, 3, -2000000000}, {3}));
  CHECK(!std::isnan(y.to_vector<double>()[0]));
  CHECK(std::isnan(y.to_vector<double>()[3]));
  CHECK(std::isnan(y.to_vector<double>()[6]));
}

TEST_CASE("what has no form in a header is refused by name") {
  Rng rng(4);
  const auto message = [](const auto& f) -> std::string {
    try {
      f();
    } catch (const Error& e) {
      return e.what();
    }
    return "";
  };
  const OwnCell own(rng, true);
  CHECK(message([&] { make_header(record_step(own, in)); }).find("[test_swish] (1, 10)") == 0);
  const HeaderOptions with_swish{.expressions = {{"test_swish", "a / (1 + std::exp(-p0 * a))"}}};
  CHECK(make_header(record_step(own, in), with_swish).text.find("std::exp(-1.5f * ") != std::string::npos);

  const AnyCell dropping = make_cell("lstm+drop-h=0.5", in, 4, rng);
  CHECK(message([&] { make_header(record_step(dropping, in)); }).find("call eval()") != std::string::npos);
  for (const char* name : {"", "2nd", "a-b", "class", "_x", "a__b", "\xff"})
    CHECK(message([&] { make_header(record_step(LstmCell(in, 4, rng), in), {.name = name}); }).find("name") !=
          std::string::npos);
  CHECK_THROWS_AS(make_header(record_step(LstmCell(in, 4, rng), in), {.pad = 0}), Error);
  const auto grows = [](Tensor x, Tensor& s) { return s = concat({s, x}, -1); };
  CHECK(message([&] {
          record_step(
              {{1, 2}}, DType::f32,
              [](Tape& t) {
                return t.constant(0, {1, 2});
              },
              grows);
        }).find("(1, 2) before the step and (1, 4) after it") != std::string::npos);
  const auto looks = [](Tensor x, Tensor&) { return x * x.item(); };
  CHECK_THROWS_AS(record_step(
                      {{1, 1}}, DType::f32,
                      [](Tape& t) {
                        return t.constant(0, {1, 2});
                      },
                      looks),
                  Error);
}

}  // namespace
}  // namespace rw
