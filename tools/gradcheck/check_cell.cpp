#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>
#include <ostream>
#include <unistd.h>

#include <fmt/format.h>

#include <rewind/autograd/backward.h>
#include <rewind/autograd/compile/compile.h>
#include <rewind/core/error.h>
#include <rewind/models/bptt/checkpointed.h>
#include <rewind/models/bptt/truncated.h>
#include <rewind/models/sequence/bidirectional.h>
#include <rewind/models/sequence/stack.h>
#include <rewind/models/weights/serialize.h>
#include <rewind/ops/ops.h>
#include <rewind/tools/flow/flow.h>
#include <rewind/tools/gradcheck/check_cell.h>
#include <rewind/tools/gradcheck/gradcheck.h>
#include <rewind/tools/graph/dot.h>

namespace rw {
namespace {

using State = AnyCell::State;
using States = std::vector<State>;

const std::vector<CellSizes> sizes_of_other_paths{{1, 1, 1, 1},    {2, 2, 3, 2},   {3, 3, 1, 3},   {7, 5, 2, 15},
                                                  {2, 16, 16, 16}, {3, 1, 17, 17}, {2, 2, 31, 31}, {2, 3, 32, 32},
                                                  {3, 16, 15, 33}, {2, 1, 3, 63},  {2, 5, 64, 64}, {1, 2, 65, 65},
                                                  {2, 3, 5, 200},  {40, 1, 3, 4},  {40, 3, 2, 32}, {1, 16, 200, 3}};

double gap(ConstView a, ConstView b) {
  if (!(a.shape == b.shape)) return std::numeric_limits<double>::infinity();
  const Array x = Array(a).to(DType::f64), y = Array(b).to(DType::f64);
  double most = 0, size = 1e-3;
  for (std::size_t i = 0; i < static_cast<std::size_t>(x.size()); ++i) {
    const double p = x.span<double>()[i], q = y.span<double>()[i];
    most = std::max(most, std::isfinite(p - q) ? std::fabs(p - q) : std::numeric_limits<double>::infinity());
    size = std::max(size, std::fabs(q));
  }
  return most / size;
}

/// All the checks of one cell.
class CellCase {
 public:
  CellCase(const CellMaker& make, const CellCheck& check) : make_(make), check_(check), small_(check.small) {}

  CellReport run() {
    Rng rng(check_.seed);
    report_.cell = "cell";
    attempt("making it", [&] { report_.cell = make_(small_.in, small_.hidden, rng).name(); });
    attempt("a step", [&] { check_step(); });
    if (!report_.failures.empty()) return report_;  // nothing else can be told
    attempt("gradients", [&] { check_gradients(); });
    for (const CellSizes& s : check_.sizes.empty() ? sizes_of_other_paths : check_.sizes)
      for (const DType dtype : {DType::f64, DType::f32})
        attempt(fmt::format("its plan, {} steps, batch {}, width {}, hidden {}, {}", s.steps, s.batch, s.in, s.hidden,
                            name_of(dtype)),
                [&] { check_plan(s, dtype); });
    attempt("lengths", [&] { check_lengths(); });
    attempt("rows", [&] { check_rows(); });
    attempt("both directions", [&] { check_directions(); });
    attempt("a stack", [&] { check_stack(); });
    attempt("truncated BPTT", [&] { check_truncated(); });
    attempt("checkpointed BPTT", [&] { check_checkpointed(); });
    attempt("gates", [&] { check_gates(); });
    attempt("save and load", [&] { check_file(); });
    attempt("clone", [&] { check_clone(); });
    attempt("f32 beside f64", [&] { check_f32(); });
    attempt("flow", [&] { check_flow(); });
    attempt("folding", [&] { check_folding(); });
    return report_;
  }

 private:
  template <class F>
  void attempt(const std::string& what, F&& f) {
    ++report_.checks;
    what_ = what;
    try {
      f();
    } catch (const std::exception& e) {
      fail(e.what());
    }
  }
  void fail(const std::string& why) { report_.failures.push_back(what_ + ": " + why); }
  void close(ConstView found, ConstView expected, const std::string& what, double tolerance = 1e-11) {
    if (const double apart = gap(found, expected); !(apart <= tolerance))
      fail(fmt::format("{} differs by {:.2g} of its largest element, where {:.2g} is allowed", what, apart, tolerance));
  }

  AnyCell made(const CellSizes& s, DType dtype = DType::f64, std::uint64_t seed = 0) const {
    Rng rng(check_.seed + seed);
    AnyCell cell = make_(s.in, s.hidden, rng);
    cell.to(DType::f64);
    if (check_.weights > 0)
      for (const NamedParameter& p : cell.parameters()) {
        const double most = std::min(check_.weights, 2 / std::sqrt(static_cast<double>(p.parameter->shape().rows())));
        for (Index i = 0; i < p.parameter->size(); ++i) p.parameter->edit().as<double>()[i] = rng.uniform(-most, most);
      }
    cell.to(DType::f32);  // numbers that both types have
    cell.to(dtype);
    return cell;
  }
  AnyCell evaluated(const CellSizes& s, DType dtype = DType::f64, std::uint64_t seed = 0) const {
    AnyCell cell = made(s, dtype, seed);
    cell.eval();
    return cell;
  }

  Array numbers(const Shape& shape, std::uint64_t stream, double most) const {
    Rng rng = Rng(check_.seed).split(stream);
    Array out(shape, DType::f64);
    for (double& x : out.span<double>()) x = rng.uniform(-most, most);
    return out.to(DType::f32).to(DType::f64);
  }
  Array sequence(const CellSizes& s) const { return numbers({s.steps, s.batch, s.in}, 1, 1.5); }

  template <class L>
  typename L::State start(const L& layer, Tape& tape, Index batch) const {
    std::uint64_t stream = 10;
    return map_state(layer.zero_state(tape, batch), [&](Tensor t) {
      return check_.start > 0 && is_real(t.dtype()) ? t + tape.constant(numbers(t.shape(), ++stream, check_.start)) : t;
    });
  }

  // A scalar in which every element of outputs and last state has another weight.
  Tensor projected(Tensor x, std::uint64_t stream) const {
    return sum(x * x.tape().constant(numbers(x.shape(), stream, 1)));
  }
  template <class L>
  Tensor loss_of(const L& layer, const std::vector<typename L::State>& states) const {
    Tensor total = projected(outputs(layer, states), 100);
    std::uint64_t stream = 100;
    for_each_tensor(states.back(), [&](const Tensor& t) {
      if (is_real(t.dtype()) && t.size() > 0) total = total + projected(t, ++stream);
    });
    return total;
  }

  void check_step();
  void check_gradients();
  void check_plan(const CellSizes& s, DType dtype);
  void check_lengths();
  void check_rows();
  void check_directions();
  void check_stack();
  void check_truncated();
  void check_checkpointed();
  void check_gates();
  void check_file();
  void check_clone();
  void check_f32();
  void check_flow();
  void check_folding();
  void same_row(const State& found, Index i, const State& expected, Index j, const std::string& what);
  Array outputs_of(const AnyCell& cell, DType dtype = DType::f64) const;

  const CellMaker& make_;
  const CellCheck& check_;
  CellSizes small_;
  CellReport report_;
  std::string what_;
};

void CellCase::check_step() {
  const AnyCell cell = made(small_);
  Tape tape(DType::f64);
  const State before = cell.zero_state(tape, small_.batch);
  const Tensor x = tape.constant(numbers({small_.batch, small_.in}, 1, 1));
  State last = before;
  for (int step = 1; step <= 3; ++step) {
    const State after = cell.step(x, last, step - 1);
    if (after.tensors.size() != before.tensors.size() || cell.empty_state().tensors.size() != before.tensors.size())
      throw Error(fmt::format("the state has {} tensors, empty_state() {}, and {} after a step", before.tensors.size(),
                              cell.empty_state().tensors.size(), after.tensors.size()));
    for (std::size_t i = 0; i < after.tensors.size(); ++i) {
      const Shape was = last.tensors[i].shape(), is = after.tensors[i].shape();
      if (!(step == 1 ? broadcasts_to(was, is) : was == is))
        throw Error(fmt::format("a step makes tensor {} of the state {}, which was {}: the shape must stay", i,
                                is.str(), was.str()));
    }
    last = after;
  }
  if (const Tensor y = cell.output(last); y.shape().rank() == 0 || y.size(0) != small_.batch)
    throw Error("the output is " + y.shape().str() + ": its first axis must be the batch, " +
                std::to_string(small_.batch));
}

void CellCase::check_gradients() {
  CellSizes s = small_;
  s.steps = std::min<Index>(s.steps, 2);
  const AnyCell cell = made(s);
  const Array x = sequence(s);
  const GradReport report = gradcheck(
      [&](Tape& tape) { return loss_of(cell, unroll(cell, tape.constant(x), start(cell, tape, s.batch))); },
      cell.parameters(), {.order = check_.second_order ? 2 : 1, .elements = 40, .directions = 1, .seed = check_.seed});
  if (!report.ok()) fail("gradcheck says\n" + report.str());
}

// A check at every call is what is wanted here: it compares results and gradients, and names the pass.
void CellCase::check_plan(const CellSizes& s, DType dtype) {
  const AnyCell cell = made(s, dtype);
  auto step = compile(
      [&](Tape& tape, Tensor x) {
        const States states = unroll(cell, x, start(cell, tape, s.batch));
        const Tensor loss = loss_of(cell, states);
        if (loss.needs_grad()) backward(loss);
        return std::tuple(loss, grad(loss, x), states.back());
      },
      CompileOptions{.dtype = dtype, .seed = 5, .verify = true, .check = SelfCheck::always}, sequence(s));
  step(sequence(s));
  const std::string said = step.explain();
  const std::size_t line = said.find("check: ");
  if (!said.substr(line).starts_with("check: checked")) fail(said.substr(line, said.find('\n', line) - line));
}

// Row i of one state beside row j of another, where tensors have rows.
void CellCase::same_row(const State& found, Index i, const State& expected, Index j, const std::string& what) {
  for (std::size_t k = 0; k < expected.tensors.size(); ++k) {
    const Tensor a = found.tensors[k], b = expected.tensors[k];
    if (a.shape().rank() < 2 || b.shape().rank() < 2 || a.size(0) <= i || b.size(0) <= j) continue;
    close(select(a, 0, i).value(), select(b, 0, j).value(), fmt::format("{}: tensor {} of the state", what, k));
  }
}

void CellCase::check_lengths() {
  const AnyCell cell = evaluated(small_);
  Tape tape(DType::f64);
  const Tensor x = tape.constant(sequence(small_));
  const State s0 = start(cell, tape, small_.batch);
  std::vector<std::int32_t> lengths;
  for (Index n = 0; n < small_.batch; ++n)
    lengths.push_back(static_cast<std::int32_t>((small_.steps + n) % (small_.steps + 1)));
  const States plain = unroll(cell, x, s0), padded = unroll(cell, x, s0, {.lengths = tape.constant(Array(lengths))}),
               turned = unroll(cell, flip(x, 0), s0, {.reverse = true});
  for (Index n = 0; n < small_.batch; ++n) {
    const Index length = lengths[static_cast<std::size_t>(n)];
    same_row(padded.back(), n, length == 0 ? s0 : plain[static_cast<std::size_t>(length - 1)], n,
             fmt::format("a sequence of {} steps in a batch of {}", length, small_.steps));
    same_row(turned.front(), n, plain.back(), n, "read from its end");
  }
}

void CellCase::check_rows() {
  const AnyCell cell = evaluated(small_);
  Tape tape(DType::f64);
  const Tensor x = tape.constant(sequence(small_));
  const State s0 = cell.zero_state(tape, small_.batch);
  const States all = unroll(cell, x, s0), one = unroll(cell, slice(x, 1, 0, 1), cell.zero_state(tape, 1));
  same_row(all.back(), 0, one.back(), 0, "the first sequence of a batch, beside the same alone");
}

void CellCase::check_directions() {
  Bidirectional<AnyCell> both(made(small_), made(small_, DType::f64, 1));
  both.eval();
  Tape tape(DType::f64);
  const Tensor x = tape.constant(sequence(small_));
  const auto s0 = start(both, tape, small_.batch);
  const auto states = unroll(both, x, s0);
  const States forward = unroll(both.forward(), x, s0.forward),
               backward = unroll(both.backward(), x, s0.backward, {.reverse = true});
  for (Index n = 0; n < small_.batch; ++n) {
    same_row(states.back().forward, n, forward.back(), n, "forward");
    same_row(states.front().backward, n, backward.front(), n, "backward");
  }
}

void CellCase::check_stack() {
  CellSizes above = small_;
  above.in = output_width(evaluated(small_));
  std::vector<AnyCell> layers;
  layers.push_back(made(small_));
  layers.push_back(made(above, DType::f64, 1));
  Stack<AnyCell> stack(std::move(layers));
  stack.eval();
  Tape tape(DType::f64);
  const Tensor x = tape.constant(sequence(small_));
  const auto zero = stack.zero_state(tape, small_.batch);
  const auto states = unroll(stack, x, zero);
  const Tensor middle = outputs(stack.layer(0), unroll(stack.layer(0), x, zero.layers[0]));
  const Tensor top = outputs(stack.layer(1), unroll(stack.layer(1), middle, zero.layers[1]));
  close(outputs(stack, states).value(), top.value(), "two layers, beside one after the other");
}

// Chunks of a sequence beside all of it: values of all, gradients of the last chunk from the state before it.
void CellCase::check_truncated() {
  const AnyCell cell = evaluated(small_);
  const Array x = sequence(small_);
  const Index first = small_.steps / 2;
  Tape tape(DType::f64);
  const Tensor whole = tape.constant(x);
  const States all = unroll(cell, whole, cell.zero_state(tape, small_.batch));
  const auto part = [&](Index from, Index count) { return slice(whole, 0, from, count).array(); };
  TruncatedBptt bptt(cell, small_.batch, TapeOptions{.dtype = DType::f64});
  if (first > 0) bptt.unroll(part(0, first));
  const States& chunk = bptt.unroll(part(first, small_.steps - first));
  for (Index n = 0; n < small_.batch; ++n) same_row(chunk.back(), n, all.back(), n, "in two chunks");
  Gradients found, expected;
  backward(loss_of(cell, chunk), found);
  const State from =
      first > 0 ? detach_state(all[static_cast<std::size_t>(first - 1)]) : cell.zero_state(tape, small_.batch);
  backward(loss_of(cell, unroll(cell, slice(whole, 0, first, small_.steps - first), from)), expected);
  for (const NamedParameter& p : cell.parameters())
    close(found.of(*p.parameter), expected.of(*p.parameter), "the gradient of '" + p.name + "'");
}

void CellCase::check_checkpointed() {
  const AnyCell cell = evaluated(small_);
  const Array x = sequence(small_);
  const auto last_loss = [&](const State& s) { return loss_of(cell, States{s}); };
  Tape tape(DType::f64);
  Gradients expected;
  const Tensor loss = last_loss(unroll(cell, tape.constant(x), cell.zero_state(tape, small_.batch)).back());
  backward(loss, expected);
  CheckpointedBptt bptt(cell, small_.batch, CheckpointOptions{.states = 2}, TapeOptions{.dtype = DType::f64});
  cell.zero_grad();
  const double found = bptt.backward(x, last_loss);
  if (std::fabs(found - loss.item()) > 1e-11 * std::max(1.0, std::fabs(loss.item())))
    fail(fmt::format("the loss is {}, and {} on one tape", found, loss.item()));
  for (const NamedParameter& p : cell.parameters())
    close(p.parameter->grad(), expected.of(*p.parameter), "the gradient of '" + p.name + "'");
}

void CellCase::check_gates() {
  const AnyCell cell = evaluated(small_);
  if (cell.gate_names().empty()) return;
  Tape tape(DType::f64);
  const State s0 = start(cell, tape, small_.batch);
  const Tensor x = tape.constant(numbers({small_.batch, small_.in}, 1, 1));
  const AnyCell::Step step = cell.step_gates(cell.project(x), s0);
  if (step.gates.tensors.size() != cell.gate_names().size())
    fail(fmt::format("{} names for {} gates", cell.gate_names().size(), step.gates.tensors.size()));
  const State plain = cell.step(x, s0, 0);
  for (Index n = 0; n < small_.batch; ++n) same_row(step.state, n, plain, n, "step_gates beside step");
}

Array CellCase::outputs_of(const AnyCell& cell, DType dtype) const {
  Tape tape(dtype);
  return outputs(cell, unroll(cell, tape.constant(sequence(small_)), cell.zero_state(tape, small_.batch))).array();
}

void CellCase::check_file() {
  static int files = 0;
  const auto path =
      std::filesystem::temp_directory_path() / fmt::format("rewind_check_cell_{}_{}.safetensors", getpid(), ++files);
  struct Removed {
    const std::filesystem::path& path;
    ~Removed() {
      std::error_code ignored;
      std::filesystem::remove(path, ignored);
    }
  } removed{path};
  const AnyCell cell = evaluated(small_), other = evaluated(small_, DType::f64, 1);
  save_model(path.string(), cell);
  load_model(path.string(), other);
  if (!(outputs_of(cell) == outputs_of(other))) fail("a cell that was loaded computes something else");
}

void CellCase::check_clone() {
  const AnyCell cell = evaluated(small_);
  try {
    const AnyCell copy = cell.clone();
    if (copy.training()) fail("a clone of a cell in eval() is in train()");
    if (!(outputs_of(copy) == outputs_of(cell))) fail("a clone computes something else");
  } catch (const Error& e) {
    if (std::string(e.what()).find("has no clone()") == std::string::npos) throw;  // it need not have one
  }
}

void CellCase::check_f32() {
  close(outputs_of(evaluated(small_, DType::f32), DType::f32), outputs_of(evaluated(small_)), "outputs in f32",
        check_.f32_tolerance);
}

void CellCase::check_flow() {
  const FlowReport report = flow(evaluated(small_), sequence(small_));
  for (const std::vector<double>* norms : {&report.loss_gradient, &report.carried, &report.step_jacobian})
    for (const double norm : *norms)
      if (!std::isfinite(norm)) return fail("a norm of a gradient is nan or infinite");
}

// The drawing of a longer run is as large.
void CellCase::check_folding() {
  const AnyCell cell = evaluated(small_);
  const auto drawn = [&](Index steps) {
    CellSizes s = small_;
    s.steps = steps;
    Tape tape(DType::f64);
    loss_of(cell, unroll(cell, tape.constant(sequence(s)), cell.zero_state(tape, s.batch)));
    return dot_view(tape, {.fold_time = true}).nodes.size();
  };
  if (const std::size_t few = drawn(12), many = drawn(20); few != many)
    fail(fmt::format("folded in time, 12 steps are {} nodes and 20 are {}: steps must record the same ops", few, many));
}

}  // namespace

std::string CellReport::message() const {
  std::string out = fmt::format("{}: {} checks, {}\n", cell, checks, failures.empty() ? "all right" : "WRONG");
  for (const std::string& failure : failures) out += "  " + failure + "\n";
  return out;
}
std::ostream& operator<<(std::ostream& out, const CellReport& report) { return out << report.message(); }

CellReport check_any_cell(const CellMaker& make, const CellCheck& check) { return CellCase(make, check).run(); }

}  // namespace rw
