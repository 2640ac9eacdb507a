// Batches of random lengths, as a reader of sentences meets them: a function that was compiled once and has never seen
// them, beside plans that were made for every length before.

#include <functional>
#include <memory>
#include <vector>

#include <fmt/format.h>

#include <rewind/autograd/compile/compile.h>
#include <rewind/rewind.h>

#include "comparisons.h"
#include "peers.h"
#include "recurrent.h"

namespace rw::bench {

namespace {

constexpr Index shortest = 5, longest = 200;
constexpr Problem problem{.cell = Cell::lstm, .T = longest, .N = 16, .I = 64, .H = 64};

std::vector<Index> random_lengths(Index count) {
  Rng rng(7);
  std::vector<Index> out;
  for (Index i = 0; i < count; ++i) out.push_back(shortest + rng.below(longest - shortest + 1));
  return out;
}

class Lengths {
 public:
  Lengths(const Inputs& inputs, std::vector<Index> lengths)
      : cell_(problem.I, problem.H, rng_, {.recurrent = Init::constant(0)}), lengths_(std::move(lengths)) {
    cell_.parameter("W").set(inputs.layers[0].W);
    cell_.parameter("R").set(inputs.layers[0].R);
    cell_.parameter("b").set(inputs.layers[0].b);
    const std::span<const float> all = inputs.x.span<float>();
    for (Index t = 0; t <= longest; ++t)
      x_.emplace_back(all.first(static_cast<std::size_t>(t * problem.N * problem.I)), Shape{t, problem.N, problem.I});
  }
  /// A plan for each length, all made before they are needed.
  void prepare_every_length() {
    if (!steps_.empty()) return;
    for (Index t = shortest; t <= longest; ++t) call(*steps_.emplace_back(compiled()), t);
  }
  void run_prepared() {
    for (const Index t : lengths_) call(*steps_[static_cast<std::size_t>(t - shortest)], t);
  }
  /// One function, compiled anew, that meets every length for the first time.
  void run() {
    step_ = compiled();
    for (const Index t : lengths_) call(*step_, t);
  }
  void run_eagerly() {
    for (const Index t : lengths_) {
      tape_.clear();
      cell_.zero_grad();
      last_ = record(tape_, tape_.constant(x_[static_cast<std::size_t>(t)]));
    }
  }
  Result result() const {
    const auto picked = [](const Array& a) { return sample(a.span<float>().data(), a.size()); };
    Result out{{"h", picked(last_.array())}};
    for (const char* name : {"W", "R", "b"})
      out.push_back({std::string("gradient of ") + name, picked(cell_.parameter(name).grad())});
    return out;
  }

 private:
  using Step = Compiled<std::function<Tensor(Tape&, Tensor)>, Array>;

  std::unique_ptr<Step> compiled() {
    const std::function<Tensor(Tape&, Tensor)> f = [this](Tape& tape, Tensor x) { return record(tape, x); };
    // Results are compared with those of the others.
    return std::make_unique<Step>(compile(f, CompileOptions{.check = SelfCheck::off}, x_[longest]));
  }
  void call(Step& step, Index t) {
    cell_.zero_grad();
    last_ = step(x_[static_cast<std::size_t>(t)]);
  }
  Tensor record(Tape& tape, Tensor x) const {
    const Tensor h = outputs(unroll(cell_, x, cell_.zero_state(tape, problem.N)));
    backward(sum(h));
    return select(h, 0, -1);
  }

  Rng rng_{1};
  LstmCell cell_;
  std::vector<Index> lengths_;
  std::vector<Array> x_;                      // by length
  std::vector<std::unique_ptr<Step>> steps_;  // by length, from the shortest
  std::unique_ptr<Step> step_;
  Tape tape_;
  Tensor last_;
};

Field of_any_length(const Setting& setting) {
  const std::vector<Index> lengths = random_lengths(setting.quick ? 20 : 1000);
  const auto inputs = std::make_shared<Inputs>(problem);
  const auto make = [&] { return std::make_shared<Lengths>(*inputs, lengths); };
  Field field;
  const auto made = make(), fresh = make(), eager = make();
  field.contenders.push_back({"Rewind compiled, a plan a length made before", [made] { made->run_prepared(); },
                              [made] { return made->result(); }, [made] { made->prepare_every_length(); }});
  field.contenders.push_back(
      {"Rewind compiled, compiling included", [fresh] { fresh->run(); }, [fresh] { return fresh->result(); }});
  field.contenders.push_back({"Rewind eager", [eager] { eager->run_eagerly(); }, [eager] { return eager->result(); }});
  const std::shared_ptr<Network> torch = torch_lengths(problem, *inputs, lengths);
  if (torch != nullptr)
    field.contenders.push_back({"libtorch nn::LSTM", [torch] { torch->run(); }, [torch] { return torch->result(); }});
  else
    field.absent.push_back("libtorch was not found when this was built");
  return field;
}

}  // namespace

std::vector<Comparison> lengths_comparisons() {
  Comparison c;
  c.name = fmt::format("lengths/lstm/T{}-{} N{} I{} H{}", shortest, longest, problem.N, problem.I, problem.H);
  c.note = "training steps on 1,000 batches of random lengths";
  c.work = 500 * problem.work();
  c.seconds = 15;
  c.make = of_any_length;
  return {c};
}

}  // namespace rw::bench
