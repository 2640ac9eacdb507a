// Back-propagation through all of a long sequence in little memory: CheckpointedBptt with several budgets, beside plain
// back-propagation; loss on the last state.

#include <memory>
#include <stdexcept>

#include <fmt/format.h>

#include <rewind/rewind.h>

#include "comparisons.h"
#include "peak.h"
#include "recurrent.h"

namespace rw::bench {

namespace {

constexpr Index batch = 8, width = 128, steps = 10'000;
constexpr const char* plain = "Rewind eager";
constexpr Index budgets[] = {150, 50, 25, 15, 8, 5, 3};  // MB

std::string name_of(Index budget) { return fmt::format("in {} MB", budget); }

Tensor loss_of(const LstmCell::State& last) { return mean(square(last.h)); }

struct Model {
  Rng rng{1};
  LstmCell cell{width, width, rng, {.recurrent = Init::glorot()}};
  Array x;
  explicit Model(Index T) : x(uniform(rng, {T, batch, width}, -1, 1)) {}
};

class Plain : public Network {
 public:
  explicit Plain(std::shared_ptr<Model> model) : model_(std::move(model)) {}
  void run() override {
    tape_.clear();
    model_->cell.zero_grad();
    unroll(model_->cell, tape_.constant(model_->x), model_->cell.zero_state(tape_, batch), states_);
    const Tensor loss = loss_of(states_.back());
    backward(loss);
    loss_ = loss.item();
  }
  Result result() override {
    const Array grad = model_->cell.parameter("R").grad();
    return {{"loss", {loss_}}, {"gradient of R", sample(grad.span<float>().data(), grad.size())}};
  }

 protected:
  std::shared_ptr<Model> model_;
  double loss_ = 0;

 private:
  Tape tape_;
  std::vector<LstmCell::State> states_;
};

class Checkpointed : public Plain {
 public:
  Checkpointed(std::shared_ptr<Model> model, Index budget)
      : Plain(std::move(model)), bptt_(model_->cell, batch, {.bytes = static_cast<std::size_t>(budget) * 1'000'000}) {}
  void run() override {
    model_->cell.zero_grad();
    loss_ = bptt_.backward(model_->x, loss_of);
  }
  double forward_runs() const { return 1 + bptt_.plan().recomputed; }

 private:
  CheckpointedBptt<LstmCell> bptt_;
};

std::unique_ptr<Network> made(const std::string& contender, const std::shared_ptr<Model>& model) {
  for (Index budget : budgets)
    if (contender == name_of(budget)) return std::make_unique<Checkpointed>(model, budget);
  if (contender == plain) return std::make_unique<Plain>(model);
  throw std::runtime_error("there is no contender " + contender);
}

std::vector<std::string> contenders() {
  std::vector<std::string> out{plain};
  for (Index budget : budgets) out.push_back(name_of(budget));
  return out;
}

Field times(const Setting&) {
  const auto model = std::make_shared<Model>(steps);
  Field field;
  for (const std::string& name : contenders()) {
    const std::shared_ptr<Network> network = made(name, model);
    field.contenders.push_back({name, [network] { network->run(); }, [network] { return network->result(); }});
  }
  return field;
}

Field peaks(const Setting& setting) {
  Field field;
  for (const std::string& name : contenders()) {
    Contender one{name, {}};
    one.measure = [program = setting.program, name] { return peak_in_a_process(program, "checkpoint", name, steps); };
    field.contenders.push_back(std::move(one));
  }
  return field;
}

Field forward_runs(const Setting&) {
  const auto model = std::make_shared<Model>(steps);
  Field field;
  for (Index budget : budgets) {
    const auto network = std::make_shared<Checkpointed>(model, budget);
    Contender one{name_of(budget), {}};
    one.measure = [network, runs = std::make_shared<double>(0)] {
      if (*runs == 0) network->run(), *runs = network->forward_runs();
      return *runs;
    };
    field.contenders.push_back(std::move(one));
  }
  return field;
}

}  // namespace

double checkpoint_peak(const std::string& contender, Index T) {
  made(contender, std::make_shared<Model>(100))->run();  // loads code and starts pools
  const auto model = std::make_shared<Model>(T);
  std::unique_ptr<Network> network;
  return peak_of([&] { (network = made(contender, model))->run(); });
}

std::vector<Comparison> checkpoint_comparisons() {
  std::vector<Comparison> all(3);
  const char* groups[] = {"checkpoint", "checkpoint-memory", "checkpoint-runs"};
  const char* notes[] = {"back-propagation through all of a sequence in a budget of memory, loss on the last state",
                         "the most memory that it takes, beyond weights and inputs",
                         "how often the sequence is run forward"};
  Field (*makers[])(const Setting&) = {times, peaks, forward_runs};
  const char* units[] = {"ms", "MB", "runs"};
  const double work = Problem{.T = steps, .N = batch, .I = width, .H = width}.work();
  for (std::size_t i = 0; i < all.size(); ++i) {
    all[i].name = fmt::format("{}/lstm/T{} N{} I{} H{}", groups[i], steps, batch, width, width);
    all[i].note = notes[i], all[i].unit = units[i], all[i].make = makers[i];
    all[i].work = 2 * work, all[i].seconds = 5, all[i].tolerance = 1e-5;
  }
  return all;
}

}  // namespace rw::bench
