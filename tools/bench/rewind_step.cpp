// The sampling loop: one step of an LSTM without gradients, the state carried from run to run.

#include <dlfcn.h>

#include <rewind/autograd/compile/compile.h>
#include <rewind/models/weights/file.h>
#include <rewind/rewind.h>
#include <rewind/tools/export/header.h>
#include <rewind/tools/process.h>

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

/// The cell as a header of plain C++, compiled here and now for this processor.
class HeaderStep : public Network {
 public:
  HeaderStep(const Problem& p, const Inputs& inputs)
      : x_(inputs.x), y_(Shape{p.H}), recorded_(record_step(make_cell(p, inputs), p.I)) {}
  ~HeaderStep() override {
    if (library_ != nullptr) dlclose(library_);
  }
  HeaderStep(const HeaderStep&) = delete;
  HeaderStep& operator=(const HeaderStep&) = delete;

  /// Whether there is a compiler.
  bool compile() {
    const std::string source = folder_.path() + "/step.cpp", library = folder_.path() + "/step.so";
    write_file(source, make_header(recorded_, {.name = "exported"}).text + R"(
static const exported::Model model;
static exported::State state;
extern "C" void step(const float* x, float* y);
extern "C" void step(const float* x, float* y) { model.step(x, state, y); }
)");
    if (detail::run_program(
            {"c++", "-std=c++17", "-O3", "-march=native", "-w", "-shared", "-fPIC", source, "-o", library}) != 0)
      return false;
    library_ = dlopen(library.c_str(), RTLD_NOW);
    if (library_ == nullptr) return false;
    step_ = reinterpret_cast<Step>(dlsym(library_, "step"));
    return step_ != nullptr;
  }
  void run() override { step_(x_.span<float>().data(), y_.span<float>().data()); }
  Result result() override { return {{"h", sample(y_.span<float>().data(), y_.size())}}; }

 private:
  using Step = void (*)(const float* x, float* y);
  Array x_, y_;
  RecordedStep recorded_;
  detail::ScratchFolder folder_;
  void* library_ = nullptr;
  Step step_ = nullptr;
};

}  // namespace

std::unique_ptr<Network> rewind_header_step(const Problem& p, const Inputs& inputs) {
  auto step = std::make_unique<HeaderStep>(p, inputs);
  return step->compile() ? std::move(step) : nullptr;
}
std::unique_ptr<Network> rewind_eager_step(const Problem& p, const Inputs& inputs) {
  return std::make_unique<EagerStep>(p, inputs);
}
std::unique_ptr<Network> rewind_compiled_step(const Problem& p, const Inputs& inputs) {
  return std::make_unique<CompiledStep>(p, inputs);
}

}  // namespace rw::bench
