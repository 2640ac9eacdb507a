// What a small op costs: a chain of 10,000 ops, tanh and mul in turn, on 16 numbers.

#include <rewind/autograd/compile/compile.h>
#include <rewind/rewind.h>

#include "comparisons.h"
#include "peers.h"

namespace rw::bench {

namespace {

constexpr Index length = 10000;

// The numbers are 1: with others the gradient decays to denormal numbers, and the processor's slow path for them would
// be what is measured.
class RewindChain : public Network {
 public:
  explicit RewindChain(bool with_backward) : backward_(with_backward), start_(full({16}, 1.0)) {}
  void run() override {
    tape_.clear();
    const Tensor x = tape_.variable(start_);
    Tensor y = x;
    for (Index i = 0; i < length / 2; ++i) y = tanh(y) * x;
    out_ = sum(y);
    if (backward_) backward(out_);
  }
  Result result() override {
    Result out{{"y", {out_.item()}}};
    if (backward_) out.push_back({"gradient of x", Array(tape_.grad(tape_.tensor(0))).to_vector<double>()});
    return out;
  }

 private:
  bool backward_;
  Array start_;
  Tape tape_;
  Tensor out_;
};

Contender contender(const char* name, std::shared_ptr<Network> network) {
  return {name, [network] { network->run(); }, [network] { return network->result(); }};
}

Comparison comparison(const char* name, const char* note, bool with_backward) {
  Comparison c;
  c.name = name, c.note = note, c.unit = "ns an op", c.scale = 1e9 / length, c.quick = true;
  c.make = [with_backward](const Setting&) {
    Field field;
    field.contenders.push_back(contender("Rewind eager", std::make_unique<RewindChain>(with_backward)));
    if (auto torch = torch_chain(length, with_backward))
      field.contenders.push_back(contender("libtorch", std::move(torch)));
    else
      field.absent.emplace_back("libtorch: it was not found");
    return field;
  };
  return c;
}

}  // namespace

std::vector<Comparison> overhead_comparisons() {
  return {comparison("overhead/forward", "10,000 ops on 16 numbers; Rewind records, libtorch does not", false),
          comparison("overhead/backward", "10,000 ops on 16 numbers, recorded by both, with their backward", true)};
}

}  // namespace rw::bench
