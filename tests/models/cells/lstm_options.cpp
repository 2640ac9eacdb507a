#include <cmath>
#include <vector>

#include <doctest/doctest.h>

#include <rewind/models/cells/lstm.h>

#include "../../effort.h"
#include "checks.h"

using namespace rw;
using namespace rw::test;

namespace {

constexpr Index T = 3, N = 2, I = 2, H = 3;

Array sequence(Index steps = T) {
  Rng rng(7);
  return uniform(rng, {steps, N, I}, -1, 1).to(DType::f64);
}

enum class Forgetting { gate, none, coupled };

// Calls f for every combination of options that makes sense.
template <class F>
void for_all_options(F&& f) {
  using P = LstmOptions::Peepholes;
  for (const Bias bias : {Bias::none, Bias::one, Bias::two})
    for (const Forgetting forgetting : {Forgetting::gate, Forgetting::none, Forgetting::coupled})
      for (const P peepholes : {P::none, P::gates, P::all})
        for (const Index projection : {0, 2})
          for (const bool layer_norm : {false, true})
            f(LstmOptions{.forget_gate = forgetting != Forgetting::none,
                          .coupled = forgetting == Forgetting::coupled,
                          .peepholes = peepholes,
                          .projection = projection,
                          .layer_norm = layer_norm},
              CellOptions{.bias = bias});
}

std::string text(const LstmOptions& o, const CellOptions& shared) {
  return "bias " + std::to_string(static_cast<int>(shared.bias)) + (o.forget_gate ? "" : ", 1997") +
         (o.coupled ? ", coupled" : "") + ", peepholes " + std::to_string(static_cast<int>(o.peepholes)) +
         ", projection " + std::to_string(o.projection) + (o.layer_norm ? ", layer norm" : "");
}

// The cell in plain doubles, straight from the equations.
class Plain {
 public:
  explicit Plain(const LstmCell& cell) : cell_(cell), o_(cell.options()) {}

  void step(const double* x, std::vector<double>& h, std::vector<double>& c) const {
    const Index gates = o_.forget_gate && !o_.coupled ? 4 : 3;
    std::vector<double> a = product("W", x, I, gates * H);
    std::vector<double> r = product("R", h.data(), static_cast<Index>(h.size()), gates * H);
    if (o_.layer_norm) {
      a = normalised(a, "norm_x.gain", nullptr);
      r = normalised(r, "norm_h.gain", nullptr);
    }
    add(a, "b");
    add(a, "br");
    for (std::size_t k = 0; k < a.size(); ++k) a[k] += r[k];
    const Index g_at = gates == 4 ? 2 : 1;
    std::vector<double> o(H), squashed(H);
    for (Index k = 0; k < H; ++k) {
      const auto z = [&](Index gate, const char* peephole, double memory) {
        return a[static_cast<std::size_t>(gate * H + k)] + element(peephole, k) * memory;
      };
      double& ck = c[static_cast<std::size_t>(k)];
      const double i = logistic(z(0, "pi", ck)), zg = z(g_at, "pg", ck);
      const double f = !o_.forget_gate ? 1 : o_.coupled ? 1 - i : logistic(z(1, "pf", ck));
      ck = f * ck + i * (o_.forget_gate ? std::tanh(zg) : 4 * logistic(zg) - 2);
      o[static_cast<std::size_t>(k)] = logistic(z(gates - 1, "po", ck));
    }
    squashed = o_.layer_norm ? normalised(c, "norm_c.gain", "norm_c.shift") : c;
    for (std::size_t k = 0; k < squashed.size(); ++k)
      squashed[k] = o[k] * (o_.forget_gate ? std::tanh(squashed[k]) : 2 * logistic(squashed[k]) - 1);
    h = o_.projection > 0 ? product("P", squashed.data(), H, o_.projection) : squashed;
  }

 private:
  static double logistic(double a) { return 1 / (1 + std::exp(-a)); }
  const Array* find(const char* name) const {
    for (const NamedParameter& p : cell_.parameters())
      if (p.name == name) return &p.parameter->value();
    return nullptr;
  }
  double element(const char* name, Index k) const {
    const Array* values = find(name);
    return values == nullptr ? 0 : values->span<double>()[static_cast<std::size_t>(k)];
  }
  std::vector<double> product(const char* name, const double* x, Index rows, Index columns) const {
    std::vector<double> y(static_cast<std::size_t>(columns));
    for (Index k = 0; k < columns; ++k)
      for (Index i = 0; i < rows; ++i) y[static_cast<std::size_t>(k)] += x[i] * element(name, i * columns + k);
    return y;
  }
  void add(std::vector<double>& a, const char* name) const {
    for (std::size_t k = 0; k < a.size(); ++k) a[k] += element(name, static_cast<Index>(k));
  }
  std::vector<double> normalised(std::vector<double> x, const char* gain, const char* shift) const {
    const auto n = static_cast<double>(x.size());
    double mean = 0, variance = 0;
    for (double v : x) mean += v / n;
    for (double v : x) variance += (v - mean) * (v - mean) / n;
    for (std::size_t k = 0; k < x.size(); ++k) {
      const auto at = static_cast<Index>(k);
      x[k] =
          (x[k] - mean) / std::sqrt(variance + 1e-5) * element(gain, at) + (shift != nullptr ? element(shift, at) : 0);
    }
    return x;
  }

  const LstmCell& cell_;
  LstmOptions o_;
};

}  // namespace

TEST_CASE("LSTM: every combination of options computes its equations") {
  Rng rng(1);
  int combinations = 0;
  for_all_options([&](const LstmOptions& o, const CellOptions& shared) {
    CAPTURE(text(o, shared));
    const LstmCell cell(I, H, rng, o, shared);
    randomise(cell);
    const Plain plain(cell);
    const Array x = sequence();
    Tape tape(DType::f64);
    const auto states = unroll(cell, tape.constant(x), cell.zero_state(tape, N));
    for (Index n = 0; n < N; ++n) {
      std::vector<double> h(static_cast<std::size_t>(cell.out())), c(H);
      for (Index t = 0; t < T; ++t) {
        plain.step(x.span<double>().data() + (t * N + n) * I, h, c);
        const auto& s = states[static_cast<std::size_t>(t)];
        for (Index k = 0; k < cell.out(); ++k)
          CHECK(s.h.array().at({n, k}) == doctest::Approx(h[static_cast<std::size_t>(k)]).epsilon(1e-12));
        for (Index k = 0; k < H; ++k)
          CHECK(s.c.array().at({n, k}) == doctest::Approx(c[static_cast<std::size_t>(k)]).epsilon(1e-12));
      }
    }
    ++combinations;
  });
  CHECK(combinations == 108);
}

TEST_CASE("LSTM: every combination of options has right gradients, of both orders") {
  Rng rng(1);
  int number = 0;
  for_all_options([&](const LstmOptions& o, const CellOptions& shared) {
    if (number++ % (sanitized ? 5 : 1) != 0) return;
    CAPTURE(text(o, shared));
    check_gradients(LstmCell(I, H, rng, o, shared), sequence(2));
  });
}

TEST_CASE("LSTM: clones have the options") {
  Rng rng(1);
  for_all_options([&](const LstmOptions& o, const CellOptions& shared) {
    CAPTURE(text(o, shared));
    const LstmCell cell(I, H, rng, o, shared), copy = cell.clone();
    Tape tape;
    const Tensor x = tape.constant(sequence());
    CHECK(outputs(unroll(cell, x, cell.zero_state(tape, N))).array() ==
          outputs(unroll(copy, x, copy.zero_state(tape, N))).array());
  });
}

TEST_CASE("LSTM: names and shapes of what options bring") {
  Rng rng(1);
  const LstmCell all(I, H, rng, {.peepholes = LstmOptions::Peepholes::all, .projection = 2, .layer_norm = true}),
      few(I, H, rng, {.forget_gate = false, .peepholes = LstmOptions::Peepholes::gates}),
      coupled(I, H, rng, {.forget_bias = 3, .coupled = true});
  CHECK(all.parameter("R").shape() == Shape{2, 4 * H});
  CHECK(all.parameter("P").shape() == Shape{H, 2});
  for (const char* name : {"pi", "pf", "pg", "po", "norm_c.gain", "norm_c.shift"})
    CHECK(all.parameter(name).shape() == Shape{H});
  CHECK(all.parameter("norm_h.gain").shape() == Shape{4 * H});
  CHECK(all.parameters().size() == 12);
  CHECK(all.out() == 2);
  CHECK(few.parameter("W").shape() == Shape{I, 3 * H});
  CHECK(few.parameters().size() == 5);
  CHECK(few.out() == H);
  // An open forget gate is a closed input gate.
  CHECK(coupled.parameter("b").value().at({0}) == -3);
  CHECK(coupled.parameter("b").value().at({H}) == 0);
}

TEST_CASE("LSTM: options that make no sense say why") {
  Rng rng(1);
  const auto made = [&](const LstmOptions& o, Index hidden = H) { LstmCell(I, hidden, rng, o); };
  CHECK_THROWS_WITH_AS(made({.forget_gate = false, .coupled = true}),
                       "lstm: coupled gates need a forget gate to couple to the input gate, and the cell of 1997 has "
                       "none; give one of coupled = true and forget_gate = false",
                       Error);
  CHECK_THROWS_WITH_AS(made({.forget_bias = 2, .forget_gate = false}),
                       "lstm: forget_bias is 2, but the cell of 1997 has no forget gate; leave one of them out", Error);
  CHECK_THROWS_WITH_AS(made({.projection = 3}),
                       "lstm: projection is 3: it must be below the hidden size, 3, or 0 for none", Error);
  CHECK_THROWS_WITH_AS(made({.projection = -1}),
                       "lstm: projection is -1: it must be below the hidden size, 3, or 0 for none", Error);
  CHECK_THROWS_WITH_AS(made({.layer_norm = true}, 1),
                       "lstm: layer norm needs a hidden size of at least 2: a number less its own mean is 0", Error);
  CHECK_THROWS_WITH_AS(made({.layer_norm = true}, 0), "lstm: hidden size must be at least 1, not 0", Error);
}
