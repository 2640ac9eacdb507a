#pragma once

// Recurrent networks as every contender builds them: the work, and the numbers that all of them are given.

#include <memory>
#include <string>
#include <vector>

#include <rewind/core/array.h>

#include "comparison.h"

namespace rw::bench {

enum class Cell { lstm, gru, rnn, mgu, peephole, layer_norm };
const char* name_of(Cell cell);
/// Gates: the width of W is gates * H.
Index gates_of(Cell cell);

/// What is computed: T steps of N sequences of I features, all layers H wide, from a zero state; the loss is the sum of
/// all h of the last layer, of both directions. `train`: and the gradients of all weights; `gradient_of_x`: and of x.
struct Problem {
  Cell cell = Cell::lstm;
  Index T = 1, N = 1, I = 1, H = 1;
  Index layers = 1;
  bool both_ways = false, train = true, gradient_of_x = false;
  /// Products of numbers rounded to bf16: the compiled form and the primitive's LSTM, where the processor can.
  bool bf16 = false;
  /// The state after a run is the one before the next: the sampling loop.
  bool carry = false;

  std::string shape() const;
  /// FLOPs of its products.
  double work() const;
};

/// One layer, in one direction: W [in, gates*H], R [H, gates*H], b [gates*H]. Gates of an LSTM: i, f, g, o; of a GRU:
/// r, z, n, reset after the product; of an MGU: f, n. `extra`: peephole weights of i, f and o; for layer norm the gains
/// of x W and of h R, then gain and shift of c; end to end.
struct LayerWeights {
  Array W, R, b, extra;
};

/// The numbers that everybody is given: x [T, N, I], weights of each layer (of the reverse direction after it).
struct Inputs {
  Array x;
  std::vector<LayerWeights> layers;
  explicit Inputs(const Problem& problem);
};

/// A contender's network. It may keep references to the problem and the inputs.
class Network {
 public:
  virtual ~Network() = default;
  virtual void run() = 0;
  /// Of the last run: the last h; the gradients of W, R and b of the first layer, and of x, as `sample` picks them.
  virtual Result result() = 0;
  /// Where its time goes, as a text; empty for those who cannot say.
  virtual std::string profile() { return {}; }
};
using NetworkMaker = std::unique_ptr<Network> (*)(const Problem&, const Inputs&);

/// Numbers picked from all over an array of `n`.
std::vector<double> sample(const float* numbers, Index n);

// Null where a contender cannot do the problem.
std::unique_ptr<Network> rewind_eager(const Problem&, const Inputs&);
std::unique_ptr<Network> rewind_compiled(const Problem&, const Inputs&);
/// The same without threads of their own for branches: one kernel at a time, which all threads share.
std::unique_ptr<Network> rewind_one_at_a_time(const Problem&, const Inputs&);
/// For a problem that carries its state: one step.
std::unique_ptr<Network> rewind_eager_step(const Problem&, const Inputs&);
std::unique_ptr<Network> rewind_compiled_step(const Problem&, const Inputs&);
/// The same as an exported header; needs a compiler.
std::unique_ptr<Network> rewind_header_step(const Problem&, const Inputs&);
/// oneDNN's primitive: always computes the gradient of x; LSTM, GRU and tanh RNN.
std::unique_ptr<Network> dnnl_primitive(const Problem&, const Inputs&);
/// Loops in plain C++, the gradient by hand: one layer of LSTM, GRU or tanh RNN.
std::unique_ptr<Network> plain_loops(const Problem&, const Inputs&);

/// Plain loops beyond this many FLOPs are not waited for.
constexpr double most_plain_work = 2e10;

/// The contenders of a problem, each with its own copy of the inputs' shared numbers.
Field recurrent_field(const Problem& problem, const Setting& setting);

}  // namespace rw::bench
