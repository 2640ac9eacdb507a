#pragma once

#include <functional>
#include <iosfwd>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <rewind/autograd/tape.h>
#include <rewind/models/cells/cell.h>

namespace rw {

/// A cell, its type erased: a state is its tensors, in their order.
struct FlowCell {
  using State = std::vector<Tensor>;
  std::string name;
  std::function<State(Tape&, Index batch)> zero_state;
  std::function<State(Tensor x, const State&, Index t)> step;
  std::function<Tensor(const State&)> output;
};

/// Any cell; it must outlive the result.
template <Cell C>
FlowCell flow_cell(const C& cell) {
  using S = typename C::State;
  const auto tensors = [](const S& s) {
    FlowCell::State out;
    for_each_tensor(s, [&](const Tensor& t) { out.push_back(t); });
    return out;
  };
  const auto like = std::make_shared<S>(empty_state(cell));  // its structure; the tensors in it are replaced
  const auto state = [like](const FlowCell::State& from) {
    std::size_t i = 0;
    for_each_tensor(*like, [&](Tensor& t) { t = from[i++]; });
    return *like;
  };
  return {.name = scope_name(cell),
          .zero_state =
              [&cell, tensors, like](Tape& tape, Index batch) {
                *like = cell.zero_state(tape, batch);
                return tensors(*like);
              },
          .step = [&cell, tensors, state](Tensor x, const FlowCell::State& s,
                                          Index t) { return tensors(step_at(cell, x, state(s), t)); },
          .output = [&cell, state](const FlowCell::State& s) { return output(cell, state(s)); }};
}

struct FlowOptions {
  /// The loss, a scalar, of the outputs of all steps. Without it: the last output's product with fixed random numbers.
  std::function<Tensor(std::span<const Tensor>)> loss = nullptr;
  /// Report the contributions to these only. Without: all that a step uses.
  std::vector<const Parameter*> parameters = {};
};

/// How gradients flow through a cell over T steps. Everything is computed in f64. "By step" means at index t - 1 for
/// step t = 1..T, and where it says so index 0 is the state before the first step. With several sequences, norms of
/// matrices are means over them.
struct FlowReport {
  std::string cell;
  Index steps = 0;

  /// ||dL/dh_t||: Frobenius norm of the gradient that flows into the output of a step from all later ones; 0..T.
  std::vector<double> loss_gradient;
  /// ||dh_T/dh_t||: spectral norm; 0..T, and the last is 1.
  std::vector<double> carried;
  /// Spectral norm of the Jacobian of a whole state to the one before; by step.
  std::vector<double> step_jacobian;
  /// Largest singular value of each matrix that multiplies the state.
  std::map<std::string, double> recurrent;
  /// Share of an activation's elements that are saturated low and high (below 0.1 and above 0.9 for a sigmoid, beyond
  /// 0.9 either way for tanh; Karpathy et al., 2015); "sigmoid 1" is the first of a step; by step.
  struct Saturation {
    std::vector<double> low, high;
  };
  std::map<std::string, Saturation> saturation;
  /// ||what step t adds to dL/dW||: Frobenius norm; by step.
  std::map<std::string, std::vector<double>> contributions;

  /// The factor by which `carried` grows (above 1) or shrinks per step back, its geometric mean over all steps.
  double rate() const;
  /// "vanishing" for a rate below 0.97, "exploding" above 1.03, else "carried".
  std::string verdict() const;
};

/// Runs the cell over x [T, N, in] and measures. Where the output is a tensor of the state that the next step uses, h_t
/// means that one; else the whole state. Throws Error for no steps, a loss that is no scalar or that needs no gradient,
/// and a parameter that the step does not use.
FlowReport flow(const FlowCell& cell, ConstView x, const FlowOptions& options = {});
template <Cell C>
FlowReport flow(const C& cell, ConstView x, const FlowOptions& options = {}) {
  return flow(flow_cell(cell), x, options);
}

/// Largest singular value of a real [m, n] matrix, to rounding (Lanczos, then bisection). Throws Error for another
/// rank.
double spectral_norm(ConstView matrix);

/// One line for each number: cell,quantity,name,t,value.
void write_flow_csv(std::ostream& out, std::span<const FlowReport> reports);

/// What gnuplot is told to draw: ||dh_T/dh_t|| of all cells over time, log scale, as SVG.
std::string flow_plot_script(std::span<const FlowReport> reports, const std::string& svg_path);

}  // namespace rw
