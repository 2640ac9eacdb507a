#include <algorithm>
#include <ostream>

#include <fmt/format.h>

#include <rewind/core/error.h>
#include <rewind/tools/export/header_frame.h>
#include <rewind/tools/export/plan.h>
#include <rewind/tools/export/statements.h>

namespace rw::detail {
namespace {

/// What trains a step: its plan is the second one.
struct Training {
  const RecordedGradient* recorded = nullptr;
  TrainerOptions options = {};
};

class HeaderWriter {
 public:
  HeaderWriter(const std::vector<Plan>& plans, const RecordedStep& step, const HeaderOptions& options,
               const Training& training = {})
      : plans_(plans),
        step_(step),
        options_(options),
        training_(training),
        real_(plans[0].graph().real),
        members_(members_of_weights(plans, step.start)) {}

  HeaderFile run() {
    body_ = step_body(plans_[0], options_.expressions);
    if (training_.recorded != nullptr) gradient_body_ = step_body(plans_[1], options_.expressions);
    HeaderFrame frame{
        .real = real_,
        .beginning = beginning(),
        .constants = fmt::format("constexpr std::size_t inputs = {}, outputs = {};\n", inputs(), outputs()),
        .statements = body_ + gradient_body_,
        .code = model() + trainer(),
        .start = step_.start,
        .rooms = {},
        .members = members_,
        .characters = step_.characters};
    for (std::size_t i = 0; i < step_.start.size(); ++i) frame.rooms.push_back(room_of_state(i));
    return header_file(frame, options_);
  }

 private:
  Index inputs() const { return step_.x.size(); }
  Index outputs() const { return step_.y.size(); }
  std::string x_type() const { return member_type(step_.x.dtype()); }

  static Index room(const Buffer& b) { return std::max<Index>(b.capacity, 1); }
  /// Of a tensor of State, in all programs and as what flows back through it.
  Index room_of_state(std::size_t i) const {
    Index room = std::max<Index>(step_.start[i].size(), 1);
    for (const Plan& plan : plans_)
      for (const Buffer& b : plan.buffers)
        if (b.kind == Buffer::Kind::state && b.name.ends_with(fmt::format(".s{}", i)))
          room = std::max(room, b.capacity);
    return room;
  }

  // ---- Parts of the file, from the top

  std::string beginning() const {
    Index weights = 0, carried = 0, local = 0;
    for (const Member& m : members_) weights += m.value.size();
    for (const Array& s : step_.start) carried += s.size();
    for (const Buffer& b : plans_[0].buffers)
      if (b.kind == Buffer::Kind::local) local += room(b);
    const std::string bytes_text =
        options_.weights_in_header ? "" : "(*" + options_.name + "::weights_in(bytes, size))";
    return fmt::format(
        R"(// One step of a recurrent model, written by Rewind: {5} weights, a state of {6} numbers, {7} bytes of locals.
// C++17; no heap, lock, exception, RTTI or global state.
//
//   {0}::State state;
//   {0}::Model model{1};
//   model.reset(state);                // as before the first step
//   model.step(x, state, y);           // {2} x[{3}] -> {8} y[{4}]
//   model.run(x, T, state, y);         // T steps: x[T * {3}] -> y[T * {4}]
//
// A model is looked at and never changed: any number of threads may share it, each with a state of its own.
)",
        options_.name, bytes_text, step_.x.dtype() == DType::i32 ? "int32_t" : plain_type(real_), inputs(), outputs(),
        weights, carried, local * static_cast<Index>(size_of(real_)), plain_type(real_));
  }

  std::string model() const {
    const bool one = inputs() == 1 && outputs() == 1;
    return fmt::format(R"(
class Model {{
 public:
  explicit Model(const Weights& w{}) : weights_(&w) {{}}

  /// The state before the first step.
  void reset(State& state) const {{
    state = State();
{}  }}

  /// One step: x [inputs] -> y [outputs], which may be x itself.
  void step(const {}* x, State& state, Real* y) const;
{}
  /// T steps, one after the other: x [T, inputs] -> y [T, outputs].
  void run(const {}* x, std::size_t T, State& state, Real* y) const {{
    for (std::size_t t = 0; t < T; ++t) step(x + t * inputs, state, y + t * outputs);
  }}

 private:
  const Weights* weights_;
}};

inline void Model::step([[maybe_unused]] const {}* x, [[maybe_unused]] State& state, Real* y) const {{
  [[maybe_unused]] const Weights& w = *weights_;
{}}}
)",
                       options_.weights_in_header ? " = weights" : "", reset_text(step_.start), x_type(),
                       one ? fmt::format("  Real step({} x, State& state) const {{\n    Real y;\n    step(&x, state, "
                                         "&y);\n    return y;\n  }}\n",
                                         x_type())
                           : "",
                       x_type(), x_type(), body_);
  }

  // ---- Training

  std::string trainer() const {
    if (training_.recorded == nullptr) return "";
    return gradient_function() + optimizer() + trainer_struct();
  }

  std::string gradient_function() const {
    return fmt::format(R"(
/// Adds the step's loss to `loss` and its gradient to `g`; `d` is what flows back into the state, after the step and
/// then before it.
inline void add_gradient(const {}* x, const {}* target, const State& state, State& d, const Weights& w, Weights& g,
                         Real* loss) {{
  static_cast<void>(x);
  static_cast<void>(target);
  static_cast<void>(state);
  static_cast<void>(w);
{}}}
)",
                       x_type(), member_type(training_.recorded->target.dtype()), gradient_body_);
  }

  bool is_adam() const { return training_.options.rule == TrainerOptions::Rule::adam; }

  std::string optimizer() const {
    if (!is_adam())
      return R"(
/// w -= rate g.
inline void move(Real* w, const Real* g, std::size_t n, Real rate) {
  for (std::size_t i = 0; i < n; ++i) w[i] -= rate * g[i];
}
)";
    return R"(
/// Adam (Kingma and Ba, 2015); `rate` and `root` are corrected for the moments' start.
inline void move(Real* w, const Real* g, Real* m, Real* v, std::size_t n, Real rate, Real root) {
  for (std::size_t i = 0; i < n; ++i) {
    m[i] = Real(0.9) * m[i] + Real(0.1) * g[i];
    v[i] = Real(0.999) * v[i] + Real(0.001) * (g[i] * g[i]);
    w[i] -= rate * m[i] / (std::sqrt(v[i]) * root + Real(1e-8));
  }
}
)";
  }

  std::string trainer_struct() const {
    std::string moves;
    for (const Member& m : members_)
      if (m.is_parameter)
        moves += is_adam()
                     ? fmt::format("    move(weights.{0}, gradient.{0}, mean.{0}, square.{0}, {1}, corrected, root);\n",
                                   m.name, m.value.size())
                     : fmt::format("    move(weights.{0}, gradient.{0}, {1}, rate);\n", m.name, m.value.size());
    const Index targets = training_.recorded->target.size();
    const std::string corrected = R"(    first *= 0.9;
    second *= 0.999;
    const Real corrected = Real(double(rate) / (1 - first)), root = Real(1 / std::sqrt(1 - second));
)";
    return fmt::format(
        R"(
/// What learns while it runs: weights of its own, and the steps since they last moved.
struct Trainer {{
  static constexpr std::size_t window = {0}, targets = {1};

  Weights weights, gradient = {{}};
{2}  State state, before[window] = {{}};
  {3} xs[window * inputs] = {{}};
  {4} wanted[window * targets] = {{}};
  std::size_t steps = 0;  // since weights moved
  Real rate = {5}, loss = 0;

  explicit Trainer(const Weights& w{6}) : weights(w) {{ Model(weights).reset(state); }}

  /// One step: x [inputs] -> y [outputs], which should be near target [targets]. Whether weights moved.
  bool step(const {3}* x, const {4}* target, Real* y) {{
    std::memcpy(xs + steps * inputs, x, inputs * sizeof *x);
    std::memcpy(wanted + steps * targets, target, targets * sizeof *target);
    before[steps] = state;
    Model(weights).step(x, state, y);
    if (++steps < window) return false;
    learn();
    return true;
  }}

  /// Moves weights by the gradient of the mean loss of the steps since they last moved, if there are any.
  void learn() {{
    if (steps == 0) return;
    gradient = Weights();
    State d;
    Real total = 0;
    for (std::size_t t = steps; t-- > 0;)
      add_gradient(xs + t * inputs, wanted + t * targets, before[t], d, weights, gradient, &total);
    loss = total / Real(steps);
    scale();
    update();
    steps = 0;
  }}

 private:
  void scale() {{
    const Real factor = 1 / Real(steps);
{7}  }}
  void update() {{
{8}{9}  }}
{10}}};
)",
        training_.options.window, targets, is_adam() ? "  Weights mean = {}, square = {};\n" : "", x_type(),
        member_type(training_.recorded->target.dtype()), literal(training_.options.rate, real_),
        options_.weights_in_header ? " = ::" + options_.name + "::weights" : "", scales(), is_adam() ? corrected : "",
        moves, is_adam() ? "  double first = 1, second = 1;  // powers of the moments' decay\n" : "");
  }
  std::string scales() const {
    std::string text;
    for (const Member& m : members_)
      if (m.is_parameter)
        text += fmt::format("    for (std::size_t i = 0; i < {1}; ++i) gradient.{0}[i] *= factor;\n", m.name,
                            m.value.size());
    return text;
  }

  const std::vector<Plan>& plans_;
  const RecordedStep& step_;
  const HeaderOptions& options_;
  Training training_;
  DType real_;
  std::vector<Member> members_;
  std::string body_, gradient_body_;
};

}  // namespace
}  // namespace rw::detail

namespace rw {

HeaderFile make_header(const RecordedStep& step, const HeaderOptions& options) {
  detail::check_options(options);
  std::vector<detail::Plan> plans;
  plans.push_back(detail::make_plan(detail::step_program(step), options.pad, options.int8));
  return detail::HeaderWriter(plans, step, options).run();
}

HeaderFile make_header(const RecordedTraining& training, const HeaderOptions& options, const TrainerOptions& trainer) {
  detail::check_options(options);
  if (options.int8) throw Error("export: weights in int8 cannot be trained");
  if (trainer.window < 1 || !(trainer.rate > 0))
    throw Error(fmt::format("export: a window of {} steps and a rate of {}: both must be above 0", trainer.window,
                            trainer.rate));
  std::vector<detail::Plan> plans;
  plans.push_back(detail::make_plan(detail::step_program(training.step, true), options.pad, false));
  plans.push_back(detail::make_plan(detail::gradient_program(training), options.pad, false));
  return detail::HeaderWriter(plans, training.step, options, {&training.gradient, trainer}).run();
}

void write_header(std::ostream& out, const RecordedStep& step, const HeaderOptions& options) {
  HeaderOptions all = options;
  all.weights_in_header = true;
  out << make_header(step, all).text;
}

}  // namespace rw
