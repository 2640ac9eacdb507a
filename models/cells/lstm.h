#pragma once

#include <array>

#include <rewind/models/cells/cell.h>
#include <rewind/models/layers/layer_norm.h>

namespace rw {

/// What an LSTM may have beside CellOptions. All of it combines, but for what makes no sense: see LstmCell's
/// constructor.
struct LstmOptions {
  /// Start of the forget gate's bias (Gers, Schmidhuber and Cummins, 2000; 1 as Jozefowicz et al., 2015, advise). With
  /// coupled gates the input gate's bias starts at minus this, which is the same for 1 - i.
  double forget_bias = 1;
  /// Without it: the cell of 1997, a memory that nothing forgets.
  bool forget_gate = true;
  /// What is written takes the place of what is forgotten: f = 1 - i (Greff et al., 2017).
  bool coupled = false;
  /// Gates that see the memory, each element its own, through weights that start at 0: i, f and o (Gers and
  /// Schmidhuber, 2000), or the candidate g as well.
  enum class Peepholes { none, gates, all };
  Peepholes peepholes = Peepholes::none;
  /// Width of h, when the memory is wider than what the recurrence and the layer above are to see (Sak, Senior and
  /// Beaufays, 2014; PyTorch's proj_size). 0: as wide as the memory.
  Index projection = 0;
  /// Normalise x W, h R and c (Ba, Kiros and Hinton, 2016).
  bool layer_norm = false;
};

/// Long short-term memory (Hochreiter and Schmidhuber, 1997) with forget gate (Gers, Schmidhuber and Cummins, 2000):
///
///     i = sigmoid(x Wi + h(t-1) Ri + bi)              input gate
///     f = sigmoid(x Wf + h(t-1) Rf + bf)              forget gate
///     g = tanh   (x Wg + h(t-1) Rg + bg)              candidate (z in Greff et al.)
///     o = sigmoid(x Wo + h(t-1) Ro + bo)              output gate
///     c(t) = f * c(t-1) + i * g                       memory
///     h(t) = o * tanh(c(t))
///
/// W = [Wi Wf Wg Wo] side by side, and R and b alike: the gate order of PyTorch and cuDNN. What the options change:
///
///     forget_gate = false    the cell of 1997: a constant error carousel, whose self-loop has the weight 1, and other
///                            squashing functions. W = [Wi Wg Wo].
///                                c(t) = c(t-1) + i * g
///                                g = 4 sigmoid(x Wg + h(t-1) Rg + bg) - 2                in [-2, 2]
///                                h(t) = o * (2 sigmoid(c(t)) - 1)                        in [-1, 1]
///     coupled                f = 1 - i. W = [Wi Wg Wo].
///     peepholes              pi * c(t-1) is added in i, pf * c(t-1) in f, pg * c(t-1) in g (with Peepholes::all), and
///                            po * c(t), the NEW memory, in o. Parameters pi, pf, pg, po [H].
///     projection             h(t) = (o * tanh(c(t))) P. Parameter P [H, projection]; R is [projection, gates * H].
///     layer_norm             LN(x W) and LN(h R) in place of x W and h R, each over all gates of a row together, with
///                            a gain and no shift (b, and br, are the shifts), and tanh(LN(c(t))) in h, with gain and
///                            shift; the memory itself and what peepholes see stay as they are. Parameters
///                            norm_x.gain, norm_h.gain, norm_c.gain, norm_c.shift.
class LstmCell : public GatedCell, public Advancing<LstmCell> {
 public:
  struct State {
    Tensor h;  // [N, out]
    Tensor c;  // [N, H]
  };
  struct Gates {
    Tensor i, f, g, o;  // [N, H]; no f (an empty handle) in the cell of 1997
    static constexpr std::array<std::string_view, 4> names{"i", "f", "g", "o"};
  };
  using Step = StepWithGates<State, Gates>;

  /// Throws Error for sizes below 1, and for options that make no sense: coupled gates, or a forget bias, in the cell
  /// of 1997, which has no forget gate; a projection that is not below `hidden`; layer norm of a memory of 1 number.
  LstmCell(Index in, Index hidden, Rng& rng, const LstmOptions& own = {}, const CellOptions& shared = {});
  /// The same with the default LstmOptions.
  LstmCell(Index in, Index hidden, Rng& rng, const CellOptions& shared) : LstmCell(in, hidden, rng, {}, shared) {}

  /// Width of h.
  Index out() const { return options_.projection > 0 ? options_.projection : hidden_; }

  State zero_state(Tape& tape, Index batch) const;
  Tensor project(Tensor x) const;
  /// One step from the projected input; the products see `seen` in the place of h.
  Step advance(Tensor xw, const State& s, Tensor seen) const;

  /// What it was made with, beside shared_options().
  const LstmOptions& options() const { return options_; }
  LstmCell clone() const;

 private:
  void add_norms();
  void add_peepholes();
  void start_forgetting();
  Gates sliced(Tensor a) const;
  Tensor candidate(Tensor a) const;
  Tensor squashed(Tensor c) const;

  LstmOptions options_;
  Parameter *P_ = nullptr, *pi_ = nullptr, *pf_ = nullptr, *pg_ = nullptr, *po_ = nullptr;
  LayerNorm *norm_x_ = nullptr, *norm_h_ = nullptr, *norm_c_ = nullptr;
};

static_assert(ProjectedCell<LstmCell> && CellWithGates<LstmCell>);

}  // namespace rw
