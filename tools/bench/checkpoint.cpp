// Back-propagation through all of a long sequence in little memory: CheckpointedBptt with several budgets, beside plain
// back-propagation; loss on the last state. And compiled plans with several budgets, beside one without.

#include <functional>
#include <memory>
#include <optional>
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
  void run() final {
    const FlushSubnormals flush;  // gradients vanish long before they have come back to the first step
    model_->cell.zero_grad();
    update();
  }
  Result result() override {
    const Array grad = model_->cell.parameter("R").grad();
    return {{"loss", {loss_}}, {"gradient of R", sample(grad.span<float>().data(), grad.size())}};
  }

 protected:
  virtual void update() {
    tape_.clear();
    unroll(model_->cell, tape_.constant(model_->x), model_->cell.zero_state(tape_, batch), states_);
    const Tensor loss = loss_of(states_.back());
    backward(loss);
    loss_ = loss.item();
  }
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
  double forward_runs() const { return 1 + bptt_.plan().recomputed; }

 private:
  void update() override { loss_ = bptt_.backward(model_->x, loss_of); }

  CheckpointedBptt<LstmCell> bptt_;
};

/// A compiled step, within a budget in MB or without one.
class InPlan : public Plain {
 public:
  InPlan(std::shared_ptr<Model> model, std::optional<Index> budget)
      : Plain(std::move(model)), step_(compile(function(*model_), options(budget), model_->x)) {}
  double megabytes() const { return static_cast<double>(step_.memory()) / 1e6; }

 private:
  void update() override { loss_ = step_(model_->x).item(); }

  using Function = std::function<Tensor(Tape&, Tensor)>;
  static Function function(const Model& model) {
    return [&](Tape& tape, Tensor x) {
      const Tensor loss = loss_of(unroll(model.cell, x, model.cell.zero_state(tape, batch)).back());
      backward(loss);
      return loss;
    };
  }
  static CompileOptions options(std::optional<Index> budget) {
    CompileOptions options{.check = SelfCheck::off};
    if (budget.has_value()) options.memory = static_cast<std::size_t>(*budget) * 1'000'000;
    return options;
  }

  Compiled<Function, Array> step_;
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

constexpr std::optional<Index> plan_budgets[] = {std::nullopt, 15, 8, 5};  // MB

std::string plan_name(std::optional<Index> budget) {
  return budget.has_value() ? fmt::format("compiled, in {} MB", *budget) : "compiled";
}

template <Index T>
Field plan_times(const Setting&) {
  const auto model = std::make_shared<Model>(T);
  Field field;
  const auto add = [&](const std::string& name, const std::shared_ptr<Network>& network) {
    field.contenders.push_back({name, [network] { network->run(); }, [network] { return network->result(); }});
  };
  for (const auto& budget : plan_budgets) add(plan_name(budget), std::make_shared<InPlan>(model, budget));
  for (const Index budget : {15, 8, 5}) add("tape, " + name_of(budget), made(name_of(budget), model));
  return field;
}

template <Index T>
Field plan_memory(const Setting&) {
  const auto model = std::make_shared<Model>(T);
  Field field;
  for (const auto& budget : plan_budgets) {
    Contender one{plan_name(budget), {}};
    one.measure = [network = std::make_shared<InPlan>(model, budget)] { return network->megabytes(); };
    field.contenders.push_back(std::move(one));
  }
  return field;
}

std::vector<Comparison> plan_comparisons() {
  const auto named = [](const char* group, Index T) {
    Comparison out;
    out.name = fmt::format("{}/lstm/T{} N{} I{} H{}", group, T, batch, width, width);
    out.work = 2 * Problem{.T = T, .N = batch, .I = width, .H = width}.work();
    out.seconds = 5, out.tolerance = 1e-5;
    return out;
  };
  std::vector<Comparison> all;
  for (const Index T : {Index{1000}, steps}) {
    Comparison time = named("budget", T), memory = named("budget-memory", T);
    time.note = "compiled back-propagation within a budget of memory, and CheckpointedBptt on a tape";
    time.unit = "ms", time.make = T == steps ? plan_times<steps> : plan_times<1000>;
    memory.note = "the memory that these plans hold";
    memory.unit = "MB", memory.make = T == steps ? plan_memory<steps> : plan_memory<1000>;
    all.push_back(std::move(time));
    all.push_back(std::move(memory));
  }
  return all;
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
  for (Comparison& c : plan_comparisons()) all.push_back(std::move(c));
  return all;
}

}  // namespace rw::bench
