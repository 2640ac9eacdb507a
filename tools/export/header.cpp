#include <algorithm>
#include <cctype>
#include <ostream>

#include <fmt/format.h>

#include <rewind/core/error.h>
#include <rewind/core/shown.h>
#include <rewind/tools/export/header.h>
#include <rewind/tools/export/math_text.h>
#include <rewind/tools/export/plan.h>
#include <rewind/tools/export/statements.h>
#include <rewind/tools/export/weights.h>

namespace rw::detail {
namespace {

void check_name(const std::string& name) {
  const auto usual = [](unsigned char c) { return c < 128 && (std::isalnum(c) != 0 || c == '_'); };
  const bool is_name = !name.empty() && std::all_of(name.begin(), name.end(), usual) &&
                       std::isdigit(static_cast<unsigned char>(name[0])) == 0 && name[0] != '_' &&
                       name.find("__") == std::string::npos;
  if (!is_name || is_keyword(name))
    throw Error("export: the name must be one of C++, such as voice_2, not '" + shown(name) + "'");
}

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
    const std::string code = body_ + gradient_body_ + layout();
    fingerprint_ = hash_of(code);
    const std::string weights = options_.weights_in_header ? numbers() : view_of_bytes();
    const std::string inner = fmt::format("of_{:016x}", hash_of(code + weights));
    HeaderFile file;
    file.text = beginning() +
                "// By its contents, so that one program may hold several versions of this header, as plug-ins do.\n"
                "inline namespace " +
                inner + " {\n\n" + types() + functions() + weights + model() + trainer() + "\n}  // namespace " +
                inner + "\n}  // namespace " + options_.name + "\n";
    if (!options_.weights_in_header) file.weights = bytes_of_weights(members_, fingerprint_, real_);
    return file;
  }

 private:
  std::string real() const { return real_ == DType::f32 ? "float" : "double"; }
  Index inputs() const { return step_.x.size(); }
  Index outputs() const { return step_.y.size(); }
  static std::string type_of(DType dtype) { return dtype == DType::i32 ? "std::int32_t" : "Real"; }
  std::string x_type() const { return type_of(step_.x.dtype()); }

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

  std::string layout() const {
    std::string text = real();
    for (const Member& m : members_) text += fmt::format(" {} {} {}", m.type, m.name, m.room);
    return text;
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
// clang-format off
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace {0} {{

)",
        options_.name, bytes_text, step_.x.dtype() == DType::i32 ? "int32_t" : real(), inputs(), outputs(), weights,
        carried, local * static_cast<Index>(size_of(real_)), real());
  }

  std::string types() const {
    std::string text = fmt::format("using Real = {};\nconstexpr std::size_t inputs = {}, outputs = {};\n\n", real(),
                                   inputs(), outputs());
    if (!step_.characters.empty())
      text += fmt::format(
          "/// The characters that indices stand for, in Unicode.\nconstexpr std::uint32_t characters[{}] = {};\n\n",
          step_.characters.size(), listed(unicode(), "std::int32_t", real_));
    text += "/// What is carried from step to step. Arrays are as long as loops that are rounded up.\nstruct State {\n";
    for (std::size_t i = 0; i < step_.start.size(); ++i)
      text += fmt::format("  {} s{}[{}] = {{}};  // {}\n", type_of(step_.start[i].dtype()), i, room_of_state(i),
                          step_.start[i].shape().str());
    text += "};\n\nstruct Weights {\n";
    for (const Member& m : members_)
      text += fmt::format("  {}{} {}[{}];  // {}\n", m.alignment(real_) == 64 ? "alignas(64) " : "", m.type, m.name,
                          m.room, m.value.shape().str());
    return text + "};\n";
  }

  std::string functions() const {
    const std::string text = math_functions(body_ + gradient_body_, real_);
    return text.empty() ? "" : "\nnamespace math {\n\n" + text + "\n}  // namespace math\n";
  }

  Array unicode() const {
    Array all(Shape{static_cast<Index>(step_.characters.size())}, DType::i32);
    std::transform(step_.characters.begin(), step_.characters.end(), all.span<std::int32_t>().begin(),
                   [](char32_t c) { return static_cast<std::int32_t>(c); });
    return all;
  }

  std::string numbers() const {
    std::string all;
    for (const Member& m : members_) all += "    " + listed(m.value, m.type, real_) + ",  // " + m.name + "\n";
    return "\ninline constexpr Weights weights = {\n" + all + "};\n";
  }

  std::string view_of_bytes() const {
    return fmt::format(R"(
/// The weights in these bytes, which must stay where they are, aligned as Weights: null for other bytes than those that
/// were written with this header, whole.
inline const Weights* weights_in(const void* bytes, std::size_t size) {{
  const unsigned char* from = static_cast<const unsigned char*>(bytes);
  std::uint64_t begin[8];
  if (bytes == nullptr || size != sizeof begin + sizeof(Weights)) return nullptr;
  if (reinterpret_cast<std::uintptr_t>(bytes) % alignof(Weights) != 0) return nullptr;
  std::memcpy(begin, bytes, sizeof begin);
  std::uint64_t hash = 0xcbf29ce484222325u;
  for (std::size_t i = sizeof begin; i < size; ++i) hash = (hash ^ from[i]) * 0x100000001b3u;
  const bool fits = std::memcmp(bytes, "{}", 8) == 0 && begin[1] == 0x{:016x}u && begin[2] == sizeof(Weights);
  return fits && begin[3] == hash ? reinterpret_cast<const Weights*>(from + sizeof begin) : nullptr;
}}
)",
                       weights_magic, fingerprint_);
  }

  std::string model() const {
    std::string reset;
    for (std::size_t i = 0; i < step_.start.size(); ++i)
      if (has_numbers(step_.start[i]))
        reset += fmt::format("    std::memcpy(state.s{0}, weights_->start{0}, sizeof weights_->start{0});\n", i);
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
                       options_.weights_in_header ? " = weights" : "", reset, x_type(),
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
                       x_type(), type_of(training_.recorded->target.dtype()), gradient_body_);
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
    return fmt::format(R"(
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
                       training_.options.window, targets, is_adam() ? "  Weights mean = {}, square = {};\n" : "",
                       x_type(), type_of(training_.recorded->target.dtype()), literal(training_.options.rate, real_),
                       options_.weights_in_header ? " = ::" + options_.name + "::weights" : "", scales(),
                       is_adam() ? corrected : "", moves,
                       is_adam() ? "  double first = 1, second = 1;  // powers of the moments' decay\n" : "");
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
  std::uint64_t fingerprint_ = 0;
};

void check_options(const HeaderOptions& options) {
  check_name(options.name);
  if (options.pad < 1 || options.pad > 64)
    throw Error(fmt::format("export: loops are padded to a multiple of 1 to 64, not {}", options.pad));
}

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
