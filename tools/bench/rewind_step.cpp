// The sampling loop: one step of an LSTM without gradients, the state carried from run to run.

#include <rewind/autograd/compile/compile.h>
#include <rewind/rewind.h>

#include "recurrent.h"

namespace rw::bench {

namespace {

LstmCell make_cell(const Problem& p, const Inputs& inputs) {
  Rng rng(1);
  LstmCell cell(p.I, p.H, rng, {.recurrent = Init::constant(0)});
  cell.parameter("W").set(inputs.layers[0].W);
  cell.parameter("R").set(inputs.layers[0].R);
  cell.parameter("b").set(inputs.layers[0].b);
  return cell;
}

Result result_of(const Tensor& h) {
  const Array a = h.array();
  return {{"h", sample(a.span<float>().data(), a.size())}};
}

class EagerStep : public Network {
 public:
  EagerStep(const Problem& p, const Inputs& inputs) : x_(inputs.x), cell_(make_cell(p, inputs)), carried_(cell_, p.N) {
    carried_.tape().set_recording_gradients(false);
  }
  void run() override { last_ = carried_.unroll(x_).back().h; }
  Result result() override { return result_of(last_); }

 private:
  Array x_;
  LstmCell cell_;
  TruncatedBptt<LstmCell> carried_;
  Tensor last_;
};

class CompiledStep : public Network {
 public:
  CompiledStep(const Problem& p, const Inputs& inputs)
      : x_(inputs.x.reshaped({p.N, p.I})), cell_(make_cell(p, inputs)), state_(cell_.zero_state(tape_, p.N)) {}
  void run() override { state_ = plan_(x_, state_); }
  Result result() override { return result_of(state_.h); }

 private:
  using State = LstmCell::State;
  struct Step {
    const LstmCell* cell;
    State operator()(Tape&, Tensor x, State s) const { return cell->step(x, s); }
  };
  Array x_;
  LstmCell cell_;
  Tape tape_;
  State state_;
  Compiled<Step, Array, State> plan_ = compile(Step{&cell_}, x_, state_);
};

}  // namespace

std::unique_ptr<Network> rewind_eager_step(const Problem& p, const Inputs& inputs) {
  return std::make_unique<EagerStep>(p, inputs);
}
std::unique_ptr<Network> rewind_compiled_step(const Problem& p, const Inputs& inputs) {
  return std::make_unique<CompiledStep>(p, inputs);
}

}  // namespace rw::bench
