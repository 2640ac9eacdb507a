// Pictures of docs/lectures.md that no command draws. Prints what gnuplot or, for the topologies, Graphviz draws:
//
//     course markov | gnuplot > markov.svg
//     course delayed | dot -Tsvg > delayed.svg
#include <array>
#include <cmath>
#include <iostream>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include <rewind/rewind.h>

using namespace rw;

namespace {

/// Numbers by time, drawn as gnuplot's `style` says; a step has one number or, for an area, two. nan is left out.
struct Series {
  std::string style, title;
  std::vector<std::vector<double>> steps = {};
  double first = 0;  // the time of steps[0]
};

void print_plot(const std::string& title, const std::vector<Series>& all) {
  // #767676 can be read on white and on black; the paper stays transparent.
  std::cout
      << "set terminal svg size 800,400 font 'sans-serif,14'\n"
         "set title \""
      << title
      << "\" noenhanced textcolor '#767676'\n"
         "set xlabel 'time step t' textcolor '#767676'\n"
         "set border 3 linecolor '#767676'\n"
         "set xtics nomirror textcolor '#767676'\n"
         "set ytics nomirror textcolor '#767676'\n"
         "set key outside below center Left reverse horizontal maxcols 3 samplen 2 height 0.6 noenhanced textcolor "
         "'#767676'\n"
         "set offsets 0, 0, graph 0.05, graph 0.05\n"
         "set datafile missing 'nan'\n";
  std::string plot;
  constexpr std::array colours{"#767676", "#3b82d6", "#d9730d", "#2da44e", "#a371f7"};
  for (std::size_t i = 0; i < all.size(); ++i) {
    const std::string data = "$data" + std::to_string(i);
    std::cout << data << " << EOD\n";
    for (std::size_t t = 0; t < all[i].steps.size(); ++t) {
      std::cout << all[i].first + static_cast<double>(t);
      for (const double x : all[i].steps[t]) std::cout << ' ' << x;
      std::cout << '\n';
    }
    std::cout << "EOD\n";
    plot += (i == 0 ? "plot " : ", ") + data + " with " + all[i].style + " linecolor '" + colours[i % colours.size()] +
            "' title \"" + all[i].title + '"';
  }
  std::cout << plot << '\n';
}

const std::string line = "lines linewidth 2", dashes = "lines linewidth 1.5 dashtype 2",
                  points = "points pointtype 7 pointsize 0.4", area = "filledcurves fillstyle transparent solid 0.25";

/// A step for each number of a column [T, ...].
std::vector<std::vector<double>> column(const Array& numbers) {
  std::vector<std::vector<double>> steps;
  for (const double x : numbers.to_vector<double>()) steps.push_back({x});
  return steps;
}

// ---- Models without memory
// --------------------------------------------------------------------------------------------

/// An oscillation that noise drives: an autoregressive model goes on after what it has seen.
void autoregression() {
  constexpr Index seen = 300, shown = 80, after = 40;
  Rng rng(1);
  Array series({seen + after, 1}, DType::f64);
  for (Index t = 2; t < seen + after; ++t)
    series.set({t, 0}, 1.6 * series.at({t - 1, 0}) - 0.9 * series.at({t - 2, 0}) + 0.1 * rng.normal());
  Tape tape(DType::f64);
  const Tensor all = tape.constant(series.reshaped({seen + after, 1, 1})), known = slice(all, 0, 0, seen);
  const Index order = choose_order(reshape(known, Shape{seen, 1}).array(), 8, OrderCriterion::aic).order;
  AutoregressiveModel model(order);
  model.to(DType::f64);
  model.fit(known.array());
  print_plot("An autoregressive model of " + std::to_string(order) + " delay taps, chosen by AIC",
             {{line, "the series", column(slice(all, 0, seen - shown, shown + after).array()), -shown},
              {line, "one step ahead", column(slice(model(all), 0, seen - shown - order, shown).array()), -shown},
              {line, "going on by itself", column(model.forecast(known, after).array())}});
}

/// Moving averages end; recurrences do not.
void filters() {
  constexpr Index steps = 40;
  Tape tape(DType::f64);
  Array impulse({steps, 1, 1}, DType::f64);
  impulse.set({0, 0, 0}, 1);
  const Tensor x = tape.constant(impulse);
  const auto taps = [&](std::vector<double> values) { return tape.constant(Array(values)); };
  const std::string style = "linespoints linewidth 1.5 pointtype 7 pointsize 0.4";
  print_plot(
      "Responses to an impulse at t = 0",
      {{style, "FIR, 4 taps of 1/4", column(fir(x, taps({0.25, 0.25, 0.25, 0.25})).array())},
       {style, "IIR, y = 0.85 y(t-1) + 0.3 x", column(iir(x, taps({0.3}), taps({-0.85})).array())},
       {style, "IIR, y = 1.7 y(t-1) - 0.9 y(t-2) + 0.3 x", column(iir(x, taps({0.3}), taps({-1.7, 0.9})).array())}});
}

// ---- Hidden states
// ----------------------------------------------------------------------------------------------------

/// Two states, each with numbers around its mean: which one was it?
void markov() {
  constexpr Index steps = 150;
  Rng rng(3);
  Array x({steps, 1, 1}, DType::f64), state({steps}, DType::f64);
  double now = -1;
  for (Index t = 0; t < steps; ++t) {
    if (rng.uniform() < 0.05) now = -now;
    state.set({t}, now);
    x.set({t, 0, 0}, now + 0.9 * rng.normal());
  }
  GaussianHmm hmm(full({2}, 0.5), Array({0.8, 0.2, 0.2, 0.8}, {2, 2}), Array({-0.5, 0.5}, {2, 1}), full({2, 1}, 1));
  hmm.to(DType::f64);
  hmm.baum_welch(x, 50);
  Tape tape(DType::f64);
  const HmmScores scores = hmm.scores(tape.constant(x));
  const Tensor means = tape.leaf(hmm.parameter("mean"));
  const Array path = lookup(means, tape.constant(viterbi(scores).states)).array();
  print_plot("A hidden Markov model of two states, learnt by Baum and Welch's rounds",
             {{points, "seen", column(x)},
              {dashes, "the true state's mean", column(state)},
              {line, "Viterbi's path", column(path)},
              {line, "the posterior's mean", column(matmul(hmm_posterior(scores).states, means).array())}});
}

/// Position and speed, of which positions are seen, with noise and a gap.
void kalman() {
  constexpr Index steps = 80, gap_begin = 35, gap_end = 55;
  Rng rng(5);
  Array y({steps, 1, 1}, DType::f64), truth({steps}, DType::f64), observed = full({steps, 1}, 1, DType::f64);
  double position = 0, speed = 0.5;
  for (Index t = 0; t < steps; ++t) {
    truth.set({t}, position);
    const bool missing = t >= gap_begin && t < gap_end;
    y.set({t, 0, 0}, missing ? NAN : position + 2 * rng.normal());
    if (missing) observed.set({t, 0}, 0);
    position += speed;
    speed += 0.1 * rng.normal();
  }
  Tape tape(DType::f64);
  const auto constant = [&](std::vector<double> values, const Shape& shape) {
    return tape.constant(Array(values, shape));
  };
  const LinearSystem system{.F = constant({1, 1, 0, 1}, {2, 2}),
                            .H = constant({1, 0}, {1, 2}),
                            .Q = constant({0, 0, 0, 0.01}, {2, 2}),
                            .R = constant({4}, {1, 1}),
                            .m0 = constant({0, 0}, {2}),
                            .P0 = constant({4, 0, 0, 1}, {2, 2})};
  const KalmanFiltered filtered = kalman_filter(system, tape.constant(y), {.observed = tape.constant(observed)});
  const KalmanStates smoothed = kalman_smoother(system, filtered);
  const auto band = [&](const KalmanStates& s) {  // two deviations either way
    std::vector<std::vector<double>> steps_of;
    for (Index t = 0; t < steps; ++t) {
      const double mean = s.mean.array().at({t, 0, 0}), wide = 2 * std::sqrt(s.covariance.array().at({t, 0, 0, 0}));
      steps_of.push_back({mean - wide, mean + wide});
    }
    return steps_of;
  };
  print_plot("A position from noisy observations, with a gap: means and two deviations",
             {{points, "seen", column(y)},
              {area, "Kalman's filter", band(filtered.filtered)},
              {area, "smoother", band(smoothed)},
              {line, "the smoother's mean", column(select(smoothed.mean, 2, 0).array())},
              {dashes, "truth", column(truth)}});
}

// ---- Topologies: graphs, folded in time
// -------------------------------------------------------------------------------

constexpr Index in = 4, hidden = 8, out = 3, length = 6;

void draw(const Tape& tape, const std::string& title) {
  write_dot(std::cout, tape, {.fold_time = true, .title = title});
}

Tensor sequence(Tape& tape) { return tape.constant(Array({length, 1, in})); }

void one_to_many() {
  Rng rng(1);
  const Readout<RnnCell> network{RnnCell(in, hidden, rng), Linear(hidden, in, rng)};
  Tape tape;
  const auto states = feed_back(network.cell(), tape.constant(Array({1, in})), network.cell().zero_state(tape, 1),
                                length, network.head());
  network.head()(outputs(states));
  draw(tape, "One to many: each step reads what the one before it wrote");
}

void many_to_one() {
  Rng rng(1);
  const Readout<RnnCell> network{RnnCell(in, hidden, rng), Linear(hidden, out, rng), {.return_sequences = false}};
  Tape tape;
  network(sequence(tape));
  draw(tape, "Many to one: the last output is read");
}

void synced() {
  Rng rng(1);
  const Readout<RnnCell> network{RnnCell(in, hidden, rng), Linear(hidden, out, rng)};
  Tape tape;
  network(sequence(tape));
  draw(tape, "Many to many, synced: an output for every step");
}

void delayed() {
  Rng rng(1);
  RnnCell encoder(in, hidden, rng);
  encoder.set_name("encoder");
  const Readout<RnnCell> decoder{RnnCell(in, hidden, rng), Linear(hidden, in, rng)};
  Tape tape;
  const auto encoded = unroll(encoder, sequence(tape), encoder.zero_state(tape, 1));
  const auto states = feed_back(decoder.cell(), tape.constant(Array({1, in})), encoded.back(), length, decoder.head());
  decoder.head()(outputs(states));
  draw(tape, "Many to many, delayed: the decoder begins with the encoder's last state");
}

struct Picture {
  std::string_view name;
  void (*print)();
};
constexpr Picture pictures[] = {
    {"autoregression", autoregression}, {"filters", filters},         {"markov", markov}, {"kalman", kalman},
    {"one-to-many", one_to_many},       {"many-to-one", many_to_one}, {"synced", synced}, {"delayed", delayed}};

}  // namespace

int main(int argc, char** argv) {
  for (const Picture& picture : pictures)
    if (argc == 2 && argv[1] == picture.name) {
      picture.print();
      return std::cout.flush() ? 0 : 1;
    }
  std::cerr << "course: which picture? One of";
  for (const Picture& picture : pictures) std::cerr << ' ' << picture.name;
  std::cerr << '\n';
  return 2;
}
