#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <rewind/models/models.h>
#include <rewind/ops/ops.h>

#include "exported.h"

namespace rw {
namespace {

using namespace rw::test;

constexpr Index in = 3, out = 2, window = 8, windows = 6, T = window * windows;

Tensor squares(Tensor y, Tensor target) { return mse(y, target); }

Array random_sequence(const Shape& shape, std::uint64_t seed) {
  Rng rng(seed);
  Array x(shape);
  for (float& v : x.span<float>()) v = static_cast<float>(rng.uniform(-1, 1));
  return x;
}

/// Outputs, then the losses of windows.
struct Learned {
  std::vector<double> outputs, losses;
};

/// What the library makes of it: a step at a time, the state carried from window to window.
template <class M, class Loss>
Learned on_tape(M model, const Array& x, const Array& target, const Loss& loss, const TrainerOptions& options,
                DType real) {
  model.to(real);
  std::unique_ptr<Optimizer> optimizer;
  if (options.rule == TrainerOptions::Rule::adam)
    optimizer = std::make_unique<Adam>(model.parameters(), AdamOptions{.rate = options.rate});
  else
    optimizer = std::make_unique<Sgd>(model.parameters(), SgdOptions{.rate = options.rate});
  Learned learned;
  Tape tape(real);
  auto state = model.cell().zero_state(tape, 1);
  SavedState saved = save_state(state);
  for (Index w = 0; w < windows; ++w) {
    tape.clear();
    state = restore_state(tape, saved, model.cell().zero_state(tape, 1));
    Tensor total = tape.constant(0.0);
    for (Index t = 0; t < window; ++t) {
      const auto row = [&](const Array& all) {
        return reshape(slice(tape.constant(all), 0, w * window + t, 1), {1, all.shape()[1]});
      };
      state = model.cell().step(row(x), state);
      const Tensor y = model.head()(output(model.cell(), state));
      for (const double v : y.array().template to_vector<double>()) learned.outputs.push_back(v);
      total = total + loss(y, row(target));
    }
    const Tensor mean = total / static_cast<double>(window);
    learned.losses.push_back(mean.item());
    backward(mean);
    optimizer->step();
    saved = save_state(state);
  }
  return learned;
}

/// The same of the header, compiled as a program of its own would be.
class Trainers {
 public:
  /// A step of the header may be several of the sequence's.
  void add(const RecordedTraining& training, TrainerOptions options, const Array& x, const Array& target,
           const Learned& expected, double tolerance, Index at_once = 1) {
    const std::string name = fmt::format("t{}", trials_.size());
    options.window = window / at_once;
    write_file(exports_.file(name + ".h"), make_header(training, {.name = name}, options).text);
    source_ += fmt::format(R"(#include "{0}.h"
extern "C" void run{0}(const double* x, const double* target, double* y, double* losses);
extern "C" void run{0}(const double* x, const double* target, double* y, double* losses) {{
  static {0}::Trainer trainer;
  for (std::size_t t = 0; t < {1}; ++t) {{
    {0}::Real from[{0}::inputs], to[{0}::Trainer::targets], out[{0}::outputs];
    for (std::size_t i = 0; i < {0}::inputs; ++i) from[i] = {0}::Real(x[t * {0}::inputs + i]);
    for (std::size_t i = 0; i < {0}::Trainer::targets; ++i) to[i] = {0}::Real(target[t * {0}::Trainer::targets + i]);
    if (trainer.step(from, to, out)) *losses++ = double(trainer.loss);
    for (std::size_t i = 0; i < {0}::outputs; ++i) *y++ = double(out[i]);
  }}
}}
)",
                           name, T / at_once);
    trials_.push_back({x.to_vector<double>(), target.to_vector<double>(), expected, tolerance});
  }

  void check(const std::string& compiler) {
    write_file(exports_.file("trainers.cpp"), source_);
    REQUIRE(exports_.run(compiler + " " + strict_flags() + "-Wshadow -O1 -shared -fPIC trainers.cpp -o trainers.so"));
    void* library = dlopen(exports_.file("trainers.so").c_str(), RTLD_NOW);
    REQUIRE_MESSAGE(library != nullptr, dlerror());
    for (std::size_t n = 0; n < trials_.size(); ++n) {
      const Trial& t = trials_[n];
      std::vector<double> y(T * out), losses(windows);
      using Run = void (*)(const double* x, const double* target, double* y, double* losses);
      reinterpret_cast<Run>(dlsym(library, fmt::format("runt{}", n).c_str()))(t.x.data(), t.target.data(), y.data(),
                                                                              losses.data());
      CAPTURE(n);
      CHECK(difference(Array(y), Array(t.expected.outputs)) <= t.tolerance);
      CHECK(difference(Array(losses), Array(t.expected.losses)) <= t.tolerance);
      CHECK(losses.back() != losses.front());
    }
    dlclose(library);
  }

 private:
  struct Trial {
    std::vector<double> x, target;
    Learned expected;
    double tolerance;
  };
  Exports exports_;
  std::string source_;
  std::vector<Trial> trials_;
};

TEST_CASE("a header that trains learns what the library does, step by step") {
  Rng rng(4);
  Trainers trainers;
  const Array x = random_sequence({T, in}, 1), target = random_sequence({T, out}, 2);
  using Rule = TrainerOptions::Rule;
  const auto add = [&]<class C>(const C& cell, Rule rule, DType real) {
    const Readout<C> model{cell.clone(), Linear(output_width(cell), out, rng)};
    const TrainerOptions options{.rule = rule, .rate = rule == Rule::adam ? 0.01 : 0.1};
    const Learned expected = on_tape(model.clone(), x, target, squares, options, real);
    trainers.add(record_training(model, in, squares, real), options, x, target, expected,
                 real == DType::f64 ? 1e-11 : 3e-5);
  };
  add(LstmCell(in, 12, rng), Rule::adam, DType::f32);
  add(LstmCell(in, 12, rng, {.peepholes = LstmOptions::Peepholes::gates, .layer_norm = true}), Rule::adam, DType::f64);
  add(GruCell(in, 7, rng), Rule::sgd, DType::f64);
  add(GruCell(in, 9, rng, {.reset = GruOptions::Reset::before}), Rule::sgd, DType::f32);
  add(Stack({RnnCell(in, 8, rng), RnnCell(8, 5, rng)}), Rule::adam, DType::f64);
  trainers.check("g++");
}

using Tagger = Readout<Bidirectional<LstmCell>>;

/// Each window by itself, in both directions.
Learned on_tape(const Tagger& model, const Array& x, const Array& target, const TrainerOptions& options) {
  Adam optimizer(model.parameters(), {.rate = options.rate});
  Learned learned;
  Tape tape(DType::f64);
  for (Index w = 0; w < windows; ++w) {
    tape.clear();
    const auto part = [&](const Array& all, Index width) {
      return reshape(slice(tape.constant(all), 0, w * window, window), {window, 1, width});
    };
    const Tensor y = model(part(x, in)), loss = squares(y, part(target, out));
    for (const double v : y.array().to_vector<double>()) learned.outputs.push_back(v);
    learned.losses.push_back(loss.item());
    backward(loss);
    optimizer.step();
  }
  return learned;
}

TEST_CASE("what looks at a whole sequence is trained where a step is a window of it") {
  Rng rng(4);
  const Array x = random_sequence({T, in}, 1), target = random_sequence({T, out}, 2);
  const Tagger model{Bidirectional(LstmCell(in, 5, rng), LstmCell(in, 4, rng)), Linear(9, out, rng)};
  Tagger learner = model.clone();
  learner.to(DType::f64);
  const TrainerOptions options{.rate = 0.01};
  const RecordedTraining training = record_training(
      {{window, 1, in}}, {{window, 1, out}}, DType::f64, [](Tape& tape) { return tape.constant(0, {1}); },
      [&](Tensor part, Tensor&) { return model(part); }, squares, model.parameters());
  Trainers trainers;
  trainers.add(training, options, x, target, on_tape(learner, x, target, options), 1e-11, window);
  trainers.check("g++");
}

/// Whose parameters are named as the header names other things, or, in C++, alike.
class Names : public Module {
 public:
  struct State {
    Tensor h;
  };
  Names(Rng& rng, const char* second)
      : Module("names"), W_(param("start_W", glorot(rng, in, 4))), R_(param(second, glorot(rng, 4, 4))) {}
  State zero_state(Tape& tape, Index batch) const { return {tape.constant(0, {batch, 4})}; }
  State step(Tensor x, State s) const { return {tanh(matmul(x, W_) + matmul(s.h, R_))}; }

 private:
  Parameter &W_, &R_;
};

RecordedTraining training_of(const Names& cell) {
  return record_training(
      {{1, in}}, {{1, 4}}, DType::f32, [&](Tape& tape) { return cell.zero_state(tape, 1); },
      [&](Tensor x, Names::State& state) { return (state = cell.step(x, state)).h; }, squares, cell.parameters());
}

TEST_CASE("parameters of any names are trained") {
  Rng rng(4);
  const std::string text = make_header(training_of(Names(rng, "W_scale")), {.name = "names"}).text;
  for (const char* words : {"g.start_W_[j] +=", "g.W_scale_[j] +=", "move(weights.start_W_,", "move(weights.W_scale_,"})
    CHECK(text.find(words) != std::string::npos);
  CHECK_THROWS_WITH_AS(make_header(training_of(Names(rng, "start-W"))),
                       "export: two parameters are named start_W_ in C++: give one of them another name", Error);
}

TEST_CASE("what cannot be trained is refused") {
  Rng rng(4);
  const Readout<LstmCell> model{LstmCell(in, 4, rng), Linear(4, out, rng)};
  const RecordedTraining training = record_training(model, in, squares);
  CHECK_THROWS_AS(make_header(training, {.int8 = true}), Error);
  CHECK_THROWS_AS(make_header(training, {}, {.window = 0}), Error);
  CHECK_THROWS_AS(make_header(training, {}, {.rate = -1}), Error);
  CHECK_THROWS_AS(make_header(training, {.name = "3"}), Error);
  const auto rows = [](Tensor y, Tensor t) { return square(y - t); };
  CHECK_THROWS_WITH_AS(record_training(model, in, rows), "export: a loss is one number, not (1, 2)", Error);
  model.freeze();
  CHECK_THROWS_WITH_AS(record_training(model, in, squares), "export: there is no parameter to train", Error);
}

}  // namespace
}  // namespace rw
