#include <algorithm>
#include <cstdio>

#include <rewind/autograd/compile/compile.h>
#include <rewind/autograd/compile/passes/passes.h>
#include <rewind/autograd/compile/plan/plan.h>
#include <rewind/autograd/compile/plan/report.h>
#include <rewind/autograd/detail/tape_data.h>
#include <rewind/core/error.h>
#include <rewind/core/gemm/bf16.h>

namespace rw {
namespace detail {
namespace {

constexpr std::size_t most_plans = 16;

struct Leaf {
  Shape shape;
  DType dtype;
};

struct Entry {
  std::vector<Leaf> leaves;
  std::vector<std::uint64_t> numbers;
  std::unique_ptr<ir::Plan> plan;
  ir::Notes notes;
  std::uint64_t id = 0, used = 0;

  bool fits(const std::vector<ConstView>& views, const std::vector<std::uint64_t>& given) const {
    if (views.size() != leaves.size() || given != numbers) return false;
    for (std::size_t i = 0; i < views.size(); ++i)
      if (!(views[i].shape == leaves[i].shape) || views[i].dtype != leaves[i].dtype) return false;
    for (const ir::ParameterUse& p : plan->graph().store->parameters)
      if (p.data->frozen != p.frozen || p.data->value.dtype() != p.dtype) return false;
    return true;
  }
};

}  // namespace

struct CompiledCore::State {
  CompileOptions options;
  std::vector<std::unique_ptr<Entry>> plans;
  Entry* current = nullptr;
  const Entry* shown = nullptr;  // whose results may be looked at
  std::uint64_t clock = 0, seed = 0, step = 0, made = 0;
  bool warned = false;
  std::unique_ptr<Tape> results;

  const ir::Plan& plan() const {
    if (current == nullptr) throw Error("compile: nothing is compiled yet");
    return *current->plan;
  }
  DType real_of(const std::vector<ConstView>& views) const {
    if (options.dtype.has_value()) return *options.dtype;
    for (const ConstView& v : views)
      if (is_real(v.dtype)) return v.dtype;
    return DType::f32;
  }
  void make_room();
  void show_results();
};

CompiledCore::CompiledCore(const CompileOptions& options) : state_(std::make_unique<State>()) {
  state_->options = options;
  state_->seed = options.seed;
}
CompiledCore::~CompiledCore() = default;
CompiledCore::CompiledCore(CompiledCore&&) noexcept = default;
CompiledCore& CompiledCore::operator=(CompiledCore&&) noexcept = default;

void CompiledCore::begin() {
  views_.clear();
  numbers_.clear();
}

bool CompiledCore::known() {
  State& s = *state_;
  if (s.current == nullptr || !s.current->fits(views_, numbers_)) {
    const auto found =
        std::find_if(s.plans.begin(), s.plans.end(), [&](const auto& entry) { return entry->fits(views_, numbers_); });
    if (found == s.plans.end()) return false;
    s.current = found->get();
  }
  s.current->used = ++s.clock;
  return true;
}

void CompiledCore::State::make_room() {
  if (plans.size() < most_plans) return;
  if (!warned)
    std::fputs(
        "rewind: compile: more than 16 different shapes were used, so plans are made again and again: pad to "
        "rw::bucket lengths with rw::padded\n",
        stderr);
  warned = true;
  const auto age = [&](const std::unique_ptr<Entry>& e) { return std::pair(e.get() == shown, e->used); };
  const auto oldest =
      std::min_element(plans.begin(), plans.end(), [&](const auto& a, const auto& b) { return age(a) < age(b); });
  if (oldest->get() == current) current = nullptr;
  plans.erase(oldest);
}

void CompiledCore::compile(const Trace& trace) {
  State& s = *state_;
  const DType real = s.real_of(views_);
  ir::check_precision(s.options, real, has_bf16());
  auto entry = std::make_unique<Entry>();
  for (const ConstView& v : views_) entry->leaves.push_back({v.shape, v.dtype});
  entry->numbers = numbers_;
  ir::Graph graph;
  {
    Tape tape(TapeOptions{.dtype = real, .seed = s.seed, .trace = true});
    std::vector<Tensor> inputs, results;
    for (const ConstView& v : views_) inputs.push_back(tape.input(v.shape, is_real(v.dtype) ? real : v.dtype));
    trace(tape, inputs, results);
    graph = ir::from_tape(tape, results, inputs);
  }
  entry->plan = std::make_unique<ir::Plan>(ir::optimise(std::move(graph), s.options, entry->notes), s.options);
  entry->id = ++s.made;
  entry->used = ++s.clock;
  s.make_room();
  s.plans.push_back(std::move(entry));
  s.current = s.plans.back().get();
}

void CompiledCore::replay() {
  if (state_->results == nullptr) state_->show_results();  // its memory is there before gradients are added
  state_->current->plan->replay(views_, state_->seed, state_->step);
  state_->show_results();
}

// Handles to the results: constants of a tape that look at the plan's memory.
void CompiledCore::State::show_results() {
  const ir::Plan& p = *current->plan;
  shown = current;
  if (results == nullptr || results->dtype() != p.graph().real) results = std::make_unique<Tape>(p.graph().real);
  results->clear();
  TapeData& d = results->data();
  for (std::size_t i = 0; i < p.outputs(); ++i) {
    const ConstView v = p.output(i);
    rw::Node& n = d.nodes[d.leaf(op_info<Constant>(), Role::constant, v.shape, v.dtype, false)];
    n.data = const_cast<void*>(v.data);
    n.stride = v.stride;
  }
}

Tape& CompiledCore::results() { return *state_->results; }
std::uint64_t CompiledCore::current() const { return state_->current == nullptr ? 0 : state_->current->id; }
bool CompiledCore::holds(std::uint64_t plan) const {
  return std::any_of(state_->plans.begin(), state_->plans.end(), [&](const auto& e) { return e->id == plan; });
}
const CompileOptions& CompiledCore::options() const { return state_->options; }
void CompiledCore::set_seed(std::uint64_t seed) { state_->seed = seed; }
void CompiledCore::set_step(std::uint64_t step) { state_->step = step; }
std::size_t CompiledCore::plans() const { return state_->plans.size(); }
std::size_t CompiledCore::memory() const {
  std::size_t bytes = 0;
  for (const auto& entry : state_->plans) bytes += entry->plan->memory();
  return bytes;
}
Tape CompiledCore::graph() const { return ir::to_tape(state_->plan().graph()); }
std::size_t CompiledCore::kernels() const {
  const auto& steps = state_->plan().steps();
  return static_cast<std::size_t>(std::count_if(
      steps.begin(), steps.end(), [](const ir::Plan::Step& s) { return s.kind == ir::Plan::Kind::kernel; }));
}
std::string CompiledCore::explain() const {
  const ir::Plan& plan = state_->plan();
  return ir::explain(plan, state_->current->notes);
}
std::string CompiledCore::profile(int replays) {
  if (!known()) throw Error("compile: profile: a parameter has changed its type, or was frozen, since the last call");
  const ir::Plan& plan = state_->plan();
  std::vector<double> times(plan.steps().size());
  state_->current->plan->measure(&times);
  for (int i = 0; i < replays; ++i) state_->current->plan->replay(views_, state_->seed, state_->step);
  state_->current->plan->measure(nullptr);
  return ir::profile(plan, times, replays);
}

}  // namespace detail

Index bucket(Index length) {
  constexpr Index longest = 2147483647;  // as of any axis
  if (length > longest) throw Error("bucket: a length is at most 2147483647, not " + std::to_string(length));
  if (length <= 8) return std::max<Index>(length, 0);
  Index step = 2;
  while (step * 8 < length) step *= 2;
  return (length + step - 1) / step * step;
}

Array padded(ConstView x, int axis, Index length, double value) {
  const int a = x.shape.axis(axis);
  if (x.shape[a] > length)
    throw Error("padded: axis " + std::to_string(a) + " of " + x.shape.str() + " is longer than " +
                std::to_string(length));
  Array out(x.shape.with(a, length), x.dtype);
  out.fill(value);
  if (x.size() == 0) return out;
  const Array packed(x);
  const View part = slice_as_rows(out.view(), a, 0, x.shape[a]);
  copy(contiguous_view(packed.view().data, part.shape, x.dtype), part);
  return out;
}

}  // namespace rw
