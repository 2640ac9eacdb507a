#include <algorithm>

#include <rewind/core/error.h>
#include <rewind/models/char_model.h>
#include <rewind/models/stack.h>
#include <rewind/ops/loss.h>
#include <rewind/ops/view.h>
#include <rewind/tools/cli/graph_model.h>

namespace rw::cli {
namespace {

Array random_array(const Shape& shape, Rng& rng) {
  Array a(shape);
  for (float& x : a.span<float>()) x = static_cast<float>(rng.normal());
  return a;
}

Array random_indices(const Shape& shape, Index below, Rng& rng) {
  Array a(shape, DType::i32);
  for (std::int32_t& x : a.span<std::int32_t>()) x = static_cast<std::int32_t>(rng.below(below));
  return a;
}

/// Layers of cells, there or there and back.
class Layers : public Module {
 public:
  Layers(const GraphModel& what, Rng& rng) : Module(what.cell), bidirectional_(what.bidirectional) {
    Index in = what.in;
    for (Index i = 0; i < what.layers; ++i) {
      const std::string name = "layer" + std::to_string(i);
      cells_.push_back(&child(name, make_cell(what.cell, in, what.hidden, rng)));
      if (bidirectional_) cells_.push_back(&child(name + "_back", make_cell(what.cell, in, what.hidden, rng)));
      in = out();
    }
  }

  Index out() const { return output_width(*cells_.back()) * (bidirectional_ ? 2 : 1); }

  /// x [T, N, in] -> the top layer's output after the last step, [N, out].
  Tensor operator()(Tensor x) const {
    const std::size_t directions = bidirectional_ ? 2 : 1;
    for (std::size_t i = 0;; i += directions) {
      std::vector<Tensor> there = run(*cells_[i], x, false), back;
      const bool last = i + directions == cells_.size();
      if (bidirectional_) back = run(*cells_[i + 1], x, true);
      if (last) return back.empty() ? there.back() : concat({there.back(), back.front()}, 1);
      for (std::size_t t = 0; t < back.size(); ++t) there[t] = concat({there[t], back[t]}, 1);
      x = stack_steps(there);
    }
  }

 private:
  /// The outputs, in the order of time.
  static std::vector<Tensor> run(const AnyCell& cell, Tensor x, bool reversed) {
    const Scope layer(x.tape(), cell.name());
    const Index steps = x.size(0);
    std::vector<Tensor> out(static_cast<std::size_t>(steps));
    AnyCell::State state = cell.zero_state(x.tape(), x.size(1));
    x = cell.project(x);
    for (Index i = 0; i < steps; ++i) {
      const Index t = reversed ? steps - 1 - i : i;
      const Scope step(x.tape(), "t", t);
      state = cell.step_projected(at_step(x, t), state);
      out[static_cast<std::size_t>(t)] = cell.output(state);
    }
    return out;
  }

  bool bidirectional_;
  std::vector<const AnyCell*> cells_;
};

void check_sizes(const GraphModel& what) {
  const std::pair<const char*, Index> sizes[] = {{"--steps", what.steps},
                                                 {"--layers", what.layers},
                                                 {"--in", what.in},
                                                 {"--hidden", what.hidden},
                                                 {"--batch", what.batch}};
  for (const auto& [name, n] : sizes)
    if (n < 1) throw Error(std::string(name) + " is " + std::to_string(n) + ": it must be 1 or more");
}

BuiltModel build_from_file(const GraphModel& what, Rng& rng) {
  auto model = std::make_unique<CharModel>(CharModel::load(what.file));
  model->eval();
  const auto characters = static_cast<Index>(model->vocabulary().size());
  const Shape shape{what.steps, what.batch};
  const Array x = random_indices(shape, characters, rng), y = random_indices(shape, characters, rng);
  const auto loss = [&model = *model, x, y](Tape& tape) {
    CharModel::State state = model.zero_state(tape, x.shape()[1]);
    return cross_entropy(model.logits(tape.constant(x), state), tape.constant(y));
  };
  return {std::move(model), loss};
}

BuiltModel build_layers(const GraphModel& what, Rng& rng) {
  auto layers = std::make_unique<Layers>(what, rng);
  const Array x = random_array({what.steps, what.batch, what.in}, rng);
  const Array y = random_array({what.batch, layers->out()}, rng);
  const auto loss = [&layers = *layers, x, y](Tape& tape) { return mse(layers(tape.variable(x)), tape.constant(y)); };
  return {std::move(layers), loss};
}

}  // namespace

std::string GraphModel::name() const {
  const std::string length = ", " + std::to_string(steps) + (steps == 1 ? " step" : " steps");
  if (!file.empty()) return file + length;
  const std::string what = cell + (bidirectional ? ", both directions" : "");
  return (layers == 1 ? what : std::to_string(layers) + " layers of " + what) + length;
}

BuiltModel build_model(const GraphModel& what) {
  check_sizes(what);
  Rng rng(what.seed);
  return what.file.empty() ? build_layers(what, rng) : build_from_file(what, rng);
}

RecordedModel record_model(const GraphModel& what) {
  BuiltModel built = build_model(what);
  RecordedModel out{.model = nullptr, .tape = Tape(), .loss = {}};
  out.loss = built.loss(out.tape);
  out.model = std::move(built.model);
  return out;
}

}  // namespace rw::cli
