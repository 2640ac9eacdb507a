#include <algorithm>
#include <cstdio>
#include <functional>
#include <tuple>
#include <unordered_set>

#include <fmt/format.h>

#include <rewind/autograd/compile/check/check.h>
#include <rewind/autograd/compile/choices/tune.h>
#include <rewind/autograd/compile/compile.h>
#include <rewind/autograd/compile/lengths/lengths.h>
#include <rewind/autograd/compile/lengths/shorter.h>
#include <rewind/autograd/compile/passes/passes.h>
#include <rewind/autograd/compile/plan/executor.h>
#include <rewind/autograd/compile/plan/lowering.h>
#include <rewind/autograd/compile/plan/report.h>
#include <rewind/autograd/detail/tape_data.h>
#include <rewind/autograd/detail/trace_reads.h>
#include <rewind/core/error.h>
#include <rewind/core/gemm/bf16.h>
#include <rewind/core/memory.h>
#include <rewind/core/random.h>
#include <rewind/core/subnormals.h>
#include <rewind/core/threads.h>

namespace rw {
namespace detail {
namespace {

constexpr std::size_t most_plans = 16, most_followed = 512;
constexpr int most_in_vain = 3;         // lengths for which short ones are traced, and none follows from them
constexpr int calls_before_lanes = 16;  // by then lanes have won what it takes to compile them
constexpr std::size_t most_followed_bytes = std::size_t{1} << 28;  // of matrices that they have packed

struct ArgumentType {
  Shape shape;
  DType dtype;
};

struct KnownPlan {
  std::vector<ArgumentType> leaves;
  std::vector<std::uint64_t> numbers;
  std::uint64_t hash = 0;  // of both
  TraceReads reads;
  std::unique_ptr<ir::Executor> plan;
  ir::Notes notes;
  ir::Lengths::Found found;                 // what is known of its length
  bool follows = false;                     // the plan is that of a pattern: no pass ran
  bool by_short = false;                    // of short sequences that were traced for it
  std::shared_ptr<const ir::Graph> traced;  // as it was recorded, while checks may need it
  std::string checked = "not checked yet: the first call is";
  std::vector<std::string> held;  // see ir::held_arrays
  std::uint64_t kind = 0;         // see ir::kind_of
  bool settled = false;           // no further check is due
  std::uint64_t id = 0, used = 0;
  int calls = 0;  // of a plan that follows where one with lanes could be made

  bool fits(const std::vector<ConstView>& views, const std::vector<std::uint64_t>& given) const {
    if (views.size() != leaves.size() || given != numbers) return false;
    for (std::size_t i = 0; i < views.size(); ++i)
      if (!(views[i].shape == leaves[i].shape) || views[i].dtype != leaves[i].dtype) return false;
    return true;
  }
};

std::uint64_t hash_of(const std::vector<ConstView>& views, const std::vector<std::uint64_t>& numbers) {
  std::uint64_t h = mix(views.size(), numbers.size());
  for (const ConstView& v : views) h = mix(hash_attributes(v.shape, h), static_cast<std::uint64_t>(v.dtype));
  for (const std::uint64_t n : numbers) h = mix(h, n);
  return h;
}

/// True for the lifetime of this.
class Flag {
 public:
  explicit Flag(bool& flag) : flag_(flag) { flag_ = true; }
  ~Flag() { flag_ = false; }
  Flag(const Flag&) = delete;
  Flag& operator=(const Flag&) = delete;

 private:
  bool& flag_;
};

}  // namespace

struct CompiledCore::State {
  CompileOptions options;
  std::vector<std::unique_ptr<KnownPlan>> plans;
  std::unique_ptr<ir::Lengths> lengths;
  std::unordered_set<std::uint64_t> ids;  // of plans
  KnownPlan* current = nullptr;
  std::unique_ptr<ir::Executor> with_graph;               // of a plan that follows, made when somebody asks for it
  std::uint64_t with_graph_of = 0;                        // its id
  const KnownPlan* shown = nullptr;                       // whose results may be looked at
  KnownPlan* outgrown = nullptr;                          // known, but to be compiled as a whole
  std::uint64_t clock = 0, seed = 0, step = 0, made = 0;  // plans
  std::size_t unfollowed = 0;                             // made as a whole since one followed
  int in_vain = 0;                                        // how often short sequences were traced
  std::unordered_set<std::uint64_t> believed;             // kinds of programs that were checked
  bool warned = false, tracing = false;
  std::vector<std::string> tuned;  // what was measured to choose by
  std::unique_ptr<Tape> results;
  std::unique_ptr<Tape> eager_next, eager_last;  // of eager calls: what the last one gave is valid

  const ir::Executor& plan() const {
    if (current == nullptr) throw Error("compile: nothing is compiled yet");
    return *current->plan;
  }
  ir::Plan plan_without_lanes(ir::Graph traced, ir::Notes& notes) const;
  /// The current plan with its graph.
  ir::Executor& whole() {
    plan();
    if (!current->follows) return *current->plan;
    if (with_graph == nullptr || with_graph_of != current->id) {
      with_graph = nullptr;  // before there is another one
      current->notes = {};   // it may have been made before
      ir::Graph traced = lengths->traced(current->found);
      current->held = ir::held_arrays(traced);
      with_graph = std::make_unique<ir::Executor>(plan_without_lanes(std::move(traced), current->notes), options);
      with_graph_of = current->id;
    }
    return *with_graph;
  }
  bool fits(const KnownPlan& entry, const std::vector<ConstView>& views,
            const std::vector<std::uint64_t>& numbers) const {
    return entry.fits(views, numbers) && entry.reads.hold(seed, step);
  }
  DType real_of(const std::vector<ConstView>& views) const {
    if (options.dtype.has_value()) return *options.dtype;
    for (const ConstView& v : views)
      if (is_real(v.dtype)) return v.dtype;
    return DType::f32;
  }
  /// A trace, as it was recorded.
  struct Recording {
    Tape tape;
    std::vector<Tensor> inputs, results;
    ir::Recorded view() const { return {tape, inputs, results}; }
    ir::Graph graph() const { return ir::from_tape(tape, results, inputs); }
  };
  void record(const Trace& trace, const std::vector<ConstView>& views, TraceReads& reads, Recording& to);
  bool follow(const Recording& recording, KnownPlan& entry);
  void compile(const Recording& recording, const std::vector<ConstView>& views, KnownPlan& entry);
  void learn(const Recording& recording, KnownPlan& entry, const ir::Plan& plan);
  bool follow_short(const Trace& trace, const std::vector<ConstView>& views, const Recording& recording,
                    KnownPlan& entry);
  bool learn_short(const Trace& trace, const std::vector<ConstView>& views, const ir::TimeAxes& axes, DType real);
  void tune_once(const ir::Graph& graph, const std::vector<ConstView>& views);
  std::vector<std::string> chosen_by() const;
  void await_check(KnownPlan& entry, const std::function<ir::Graph()>& traced) const;
  /// What a check says, and the gradients that the plan found.
  struct Checked {
    std::string verdict;
    std::vector<Array> gradients;
  };
  Checked check(KnownPlan& entry, const Trace& function, const std::vector<ConstView>& views);
  void settle(KnownPlan& entry, std::string verdict);
  // Where it throws, the memory of earlier results may have been written over.
  template <class F>
  auto run(F&& replay) {
    try {
      return replay();
    } catch (...) {
      if (results != nullptr) results->clear();
      throw;
    }
  }
  bool find(const std::vector<ConstView>& views, const std::vector<std::uint64_t>& numbers);
  bool wants_lanes(KnownPlan& entry) const;
  void forget(const KnownPlan& entry);
  bool crowded(const KnownPlan& coming) const;
  void make_room(const KnownPlan& coming);
  void show_results();
};

CompiledCore::CompiledCore(const CompileOptions& options) : state_(std::make_unique<State>()) {
  ir::choices_of(options);  // throws for a text that is none of choices
  state_->options = options;
  state_->seed = options.seed;
  if (options.passes.has(Pass::loops) && !options.memory.has_value() && !options.watch_memory)
    state_->lengths = std::make_unique<ir::Lengths>(options);
}
CompiledCore::~CompiledCore() = default;
CompiledCore::CompiledCore(CompiledCore&&) noexcept = default;
CompiledCore& CompiledCore::operator=(CompiledCore&&) noexcept = default;

void CompiledCore::begin() {
  if (state_->tracing) throw Error("compile: the function calls itself while it is traced");
  refuse_in_trace("another compiled function is called");
  views_.clear();
  numbers_.clear();
}

bool CompiledCore::known() {
  State& s = *state_;
  s.outgrown = nullptr;
  if (!s.find(views_, numbers_)) return false;
  s.current->used = ++s.clock;
  if (s.wants_lanes(*s.current)) s.outgrown = s.current;
  return s.outgrown == nullptr;
}

// Makes the plan of these arguments the current one, if there is one.
bool CompiledCore::State::find(const std::vector<ConstView>& views, const std::vector<std::uint64_t>& numbers) {
  if (current != nullptr && fits(*current, views, numbers)) return true;
  const std::uint64_t hash = hash_of(views, numbers);
  const auto found = std::find_if(plans.begin(), plans.end(), [&](const auto& entry) {
    return entry->hash == hash && fits(*entry, views, numbers);
  });
  if (found == plans.end()) return false;
  current = found->get();
  return true;
}

// Lengths that come again and again are compiled as a whole, if there is room to keep them.
bool CompiledCore::State::wants_lanes(KnownPlan& entry) const {
  if (!entry.follows || !entry.found.family->lanes || ++entry.calls < calls_before_lanes) return false;
  const auto whole = std::count_if(plans.begin(), plans.end(), [](const auto& e) { return !e->follows; });
  return static_cast<std::size_t>(whole) < most_plans;
}

// Plans that were compiled as a whole have memory of their own; those that follow from them only what they pack.
bool CompiledCore::State::crowded(const KnownPlan& coming) const {
  std::size_t count = 0, bytes = coming.plan->memory();
  for (const auto& entry : plans) {
    if (entry->follows != coming.follows) continue;
    ++count;
    bytes += entry->plan->memory();
  }
  if (!coming.follows) return count >= most_plans;
  return count >= most_followed || (count > 0 && bytes > most_followed_bytes);
}

void CompiledCore::State::make_room(const KnownPlan& coming) {
  while (crowded(coming)) {
    // It takes some plans until others follow from them.
    const bool warns = !warned && unfollowed > (coming.found.family != nullptr ? 2 : 1) * most_plans;
    warned = warned || warns;
    if (warns)
      std::fputs(
          "rewind: compile: more than 16 plans were made, so they are made again and again: pad shapes to rw::bucket "
          "lengths with rw::padded; and explain() says what else a plan depends on\n",
          stderr);
    const auto age = [&](const std::unique_ptr<KnownPlan>& e) {
      return std::tuple(e->follows != coming.follows, e.get() == shown, e->used);
    };
    const auto oldest =
        std::min_element(plans.begin(), plans.end(), [&](const auto& a, const auto& b) { return age(a) < age(b); });
    forget(**oldest);
  }
}

void CompiledCore::State::forget(const KnownPlan& entry) {
  if (&entry == current) current = nullptr;
  if (&entry == shown) shown = nullptr;
  ids.erase(entry.id);
  std::erase_if(plans, [&](const auto& e) { return e.get() == &entry; });
}

void CompiledCore::State::record(const Trace& trace, const std::vector<ConstView>& views, TraceReads& reads,
                                 Recording& to) {
  to.tape.set_step(step);
  for (const ConstView& v : views)
    to.inputs.push_back(to.tape.input(v.shape, is_real(v.dtype) ? to.tape.dtype() : v.dtype));
  reads = TraceReads(seed, step);
  const ActiveTrace active(reads);
  const Flag now(tracing);
  trace(to.tape, to.inputs, to.results);
  for (const TapeData::ReadParameter& leaf : to.tape.data().leaves) reads.parameter(leaf.parameter);
  for (const auto& [parameter, value] : to.tape.data().effects) reads.parameter(parameter);
}

// Whether the plan of what was recorded follows from those of other lengths.
bool CompiledCore::State::follow(const Recording& recording, KnownPlan& entry) {
  if (lengths == nullptr) {
    entry.found.why = options.memory.has_value() ? "what fits the budget of memory is chosen for each length"
                      : options.watch_memory     ? "its memory is watched"
                                                 : "Pass::loops is off";
    return false;
  }
  entry.found = lengths->find(recording.view());
  if (entry.found.plan == nullptr) return false;
  entry.plan = std::move(entry.found.plan);
  entry.plan->share_as(ir::choices_of(options));
  entry.follows = true;
  entry.kind = mix(0x10095, entry.found.family->number);
  await_check(entry, [&] { return recording.graph(); });
  return true;
}

// At the first plan; the others take its choices over.
void CompiledCore::State::tune_once(const ir::Graph& graph, const std::vector<ConstView>& views) {
  if (!(options.tune > 0) || !options.choices.empty()) return;
  ir::Tuned found = ir::tune(graph, options, {views, seed, step});
  options.choices = ir::choices_text(found.choices);
  tuned = std::move(found.lines);
  if (lengths != nullptr) lengths = std::make_unique<ir::Lengths>(options);  // it has learnt nothing yet
}

// For `explain`: where choices come from.
std::vector<std::string> CompiledCore::State::chosen_by() const {
  std::vector<std::string> out{"costs: " + ir::machine_costs().from};
  if (tuned.empty() && !options.choices.empty()) out.emplace_back("choices: as CompileOptions::choices says");
  out.insert(out.end(), tuned.begin(), tuned.end());
  return out;
}

// As plans are that follow.
ir::Plan CompiledCore::State::plan_without_lanes(ir::Graph traced, ir::Notes& notes) const {
  CompileOptions alone = options;
  alone.passes = alone.passes - Pass::branch;
  return ir::lower(ir::optimise(std::move(traced), alone, notes), alone);
}

// So that other lengths follow, this plan and, where lengths only grow or shrink, one ahead of them is taken up.
void CompiledCore::State::learn(const Recording& recording, KnownPlan& entry, const ir::Plan& plan) {
  lengths->learn(recording.view(), entry.found, plan);
  std::vector<std::int64_t> others = lengths->take_wanted(entry.found);
  if (const auto ahead = lengths->try_ahead(entry.found); ahead.has_value()) others.push_back(*ahead);
  for (const std::int64_t length : others) {
    try {
      ir::Graph traced = lengths->traced(entry.found, length);
      ir::verify(traced);
      ir::Notes of_nobody;
      lengths->learn_ahead(entry.found, length, plan_without_lanes(std::move(traced), of_nobody));
    } catch (const Error&) {
      // Nobody has asked for a length ahead, and it may be none: a table of positions has an end.
    }
  }
}

// A long sequence is compiled by way of short ones, where that can be done: passes take their time for each node.
bool CompiledCore::State::follow_short(const Trace& trace, const std::vector<ConstView>& views,
                                       const Recording& recording, KnownPlan& entry) {
  const bool tunes = options.tune > 0 && options.choices.empty(), in_bf16 = options.matmul == Precision::bf16;
  if (lengths == nullptr || tunes || in_bf16 || in_vain >= most_in_vain) return false;
  if (recording.tape.size() < ir::choices_of(options).short_from) return false;
  for (const ir::TimeAxes& axes : ir::likely_time_axes(views, recording.tape.size())) {
    bool learnt = false;
    try {
      learnt = learn_short(trace, views, axes, recording.tape.dtype());
    } catch (...) {  // nobody has asked for these lengths, and they may be none
    }
    if (!learnt || !follow(recording, entry)) continue;
    in_vain = 0;
    return entry.by_short = true;
  }
  ++in_vain;
  return false;
}

// Plans of short sequences, and whether they say what those of longer ones are.
bool CompiledCore::State::learn_short(const Trace& trace, const std::vector<ConstView>& views, const ir::TimeAxes& axes,
                                      DType real) {
  const Index longest = 2 * axes.steps;  // so that some longer ones follow at once
  ir::Lengths::Found found;
  std::vector<std::int64_t> known;
  for (const Index steps : ir::short_lengths) {
    Recording brief{Tape(TapeOptions{.dtype = real, .seed = seed, .trace = true}), {}, {}};
    TraceReads unused;
    record(trace, ir::of_steps(views, axes, steps), unused, brief);
    found = lengths->find(brief.view());
    known.push_back(found.length);
    ir::Notes notes;
    notes.times_longer = static_cast<double>(longest) / static_cast<double>(steps);
    const ir::Plan plan = plan_without_lanes(brief.graph(), notes);
    if (!notes.hold_when_longer) return false;
    if (found.plan == nullptr) lengths->learn(brief.view(), found, plan);
    if (steps != ir::short_lengths.back() || found.family == nullptr || threads() == 1) continue;
    ir::Notes of_nobody;
    const ir::Plan whole = ir::lower(ir::optimise(brief.graph(), options, of_nobody), options);
    found.family->lanes = found.family->lanes || whole.has_lanes();
  }
  const std::int64_t more = known.back() - known.front(), steps = ir::short_lengths.back() - ir::short_lengths.front();
  return lengths->extend(found, known.front(), known.front() + more * (longest - ir::short_lengths.front()) / steps);
}

void CompiledCore::State::compile(const Recording& recording, const std::vector<ConstView>& views, KnownPlan& entry) {
  ir::Graph graph = recording.graph();
  tune_once(graph, views);
  if (options.check == SelfCheck::first) entry.kind = ir::kind_of(graph);
  await_check(entry, [&] { return graph; });
  entry.held = ir::held_arrays(graph);
  ir::Plan plan = ir::lower(ir::optimise(std::move(graph), options, entry.notes), options);
  if (outgrown != nullptr)
    entry.found.why = "it was called again and again, and kernels run side by side in it";
  else if (lengths != nullptr)
    learn(recording, entry, plan);
  entry.plan = std::make_unique<ir::Executor>(std::move(plan), options);
}

void CompiledCore::compile(const Trace& trace) {
  State& s = *state_;
  const DType real = s.real_of(views_);
  ir::check_precision(s.options, real, has_bf16());
  auto entry = std::make_unique<KnownPlan>();
  for (const ConstView& v : views_) entry->leaves.push_back({v.shape, v.dtype});
  entry->numbers = numbers_;
  entry->hash = hash_of(views_, numbers_);
  State::Recording recording{Tape(TapeOptions{.dtype = real, .seed = s.seed, .trace = true}), {}, {}};
  s.record(trace, views_, entry->reads, recording);
  if (s.outgrown != nullptr || !(s.follow(recording, *entry) || s.follow_short(trace, views_, recording, *entry)))
    s.compile(recording, views_, *entry);
  entry->id = ++s.made;
  s.unfollowed = entry->follows ? 0 : s.unfollowed + 1;
  entry->used = ++s.clock;
  if (s.outgrown != nullptr) s.forget(*std::exchange(s.outgrown, nullptr));
  s.make_room(*entry);
  s.ids.insert(entry->id);
  s.plans.push_back(std::move(entry));
  s.current = s.plans.back().get();
}

// Keeps what a check will need, unless none is due.
void CompiledCore::State::await_check(KnownPlan& entry, const std::function<ir::Graph()>& traced) const {
  entry.settled = options.check == SelfCheck::off;
  if (entry.settled) entry.checked = "not checked: CompileOptions::check is off";
  if (options.check == SelfCheck::first && believed.contains(entry.kind)) {
    entry.settled = true;
    entry.checked = "not checked itself: the same program was, at other lengths";
  }
  if (!entry.settled) entry.traced = std::make_shared<ir::Graph>(traced());
}

void CompiledCore::State::settle(KnownPlan& entry, std::string verdict) {
  entry.checked = std::move(verdict);
  if (options.check == SelfCheck::always) return;
  believed.insert(entry.kind);
  entry.settled = true;
  entry.traced = nullptr;
}

bool CompiledCore::must_check() const { return !state_->current->settled; }

void CompiledCore::replay_checked(const Trace& function) {
  State& s = *state_;
  KnownPlan& entry = *s.current;
  const double needed = ir::tape_bytes(*entry.traced);
  const std::size_t room = s.options.check_bytes.value_or(s.options.memory.value_or(free_memory() / 2));
  if (needed > static_cast<double>(room)) {
    entry.settled = s.options.check == SelfCheck::first;
    entry.checked = fmt::format("not checked: its tape would take {:.0f} MB, and there is room for {:.0f} MB",
                                needed / 1e6, static_cast<double>(room) / 1e6);
    return replay();
  }
  entry.plan->check_gradients();
  State::Checked checked = s.run([&] { return s.check(entry, function, views_); });
  s.settle(entry, std::move(checked.verdict));
  s.show_results();
  entry.plan->add_gradients(checked.gradients);  // last: nothing can throw any more
  ++s.step;
}

namespace {

/// Gradients by number of a trace's parameters, of those by number of a plan's: one that follows from plans of other
/// lengths counts the parameters of all of them.
std::vector<Array> renumbered(const std::vector<Array>& gradients, const ir::Store& plan, const ir::Store& trace) {
  std::vector<Array> out;
  for (const auto& parameter : trace.parameters) {
    const auto known = std::find(plan.parameters.begin(), plan.parameters.end(), parameter);
    out.push_back(known == plan.parameters.end()
                      ? Array(Shape{0})
                      : gradients[static_cast<std::size_t>(known - plan.parameters.begin())]);
  }
  return out;
}

}  // namespace

// Runs the function on a tape and the plan, apart from the parameters' gradients; throws when they differ.
CompiledCore::State::Checked CompiledCore::State::check(KnownPlan& entry, const Trace& function,
                                                        const std::vector<ConstView>& views) {
  const DType real = real_of(views);
  Tape tape(TapeOptions{.dtype = real, .seed = seed});
  tape.set_step(step);
  std::vector<Tensor> inputs, results;
  std::vector<ConstView> copies;
  for (const ConstView& v : views) {
    inputs.push_back(is_real(v.dtype) ? tape.variable(v) : tape.constant(v));
    copies.push_back(inputs.back().value());
  }
  const bool rounded = options.matmul == Precision::bf16;
  const ir::Graph of_rounded = rounded ? ir::round_products(ir::sorted(*entry.traced)) : ir::Graph();
  const ir::Graph& graph = rounded ? of_rounded : *entry.traced;
  const ir::Check check{
      .traced = graph, .plan = *entry.plan, .options = options, .call = {copies, seed, step}, .trace_again = [&] {
        TraceReads unused;
        Recording recording{Tape(TapeOptions{.dtype = real, .seed = seed, .trace = true}), {}, {}};
        record(function, views, unused, recording);
        const ir::Graph again = recording.graph();
        return rounded ? ir::round_products(ir::sorted(again)) : again;
      }};
  ir::Outcome expected;
  if (rounded) {
    expected = ir::Reference(graph, real, check.call).outcome();
  } else {
    Gradients gradients;
    tape.data().gradients_to = &gradients;
    tape.data().as_traced = true;
    function(tape, inputs, results);
    for (const Tensor& t : results) expected.results.push_back(t.array());
    expected.gradients.assign(graph.store->parameters.size(), Array(Shape{0}));
    for (const ir::Effect& e : graph.effects)
      expected.gradients[e.parameter] = gradients.sum(graph.store->parameters[e.parameter]);
  }
  ir::Outcome found = ir::replay_apart(*entry.plan, check.call);
  std::vector<Array> gradients = found.gradients;
  if (entry.follows) found.gradients = renumbered(gradients, *entry.plan->graph().store, *graph.store);
  return {check.judge(expected, found), std::move(gradients)};
}

void CompiledCore::replay() {
  State& s = *state_;
  s.current->plan->check_gradients();
  if (s.results == nullptr) s.show_results();  // its memory is there before gradients are added
  s.run([&] { s.current->plan->replay(views_, s.seed, s.step); });
  ++s.step;
  s.show_results();
}

// Handles to the results: constants of a tape that look at the plan's memory.
void CompiledCore::State::show_results() {
  const ir::Executor& p = *current->plan;
  shown = current;
  if (results == nullptr || results->dtype() != p.real()) results = std::make_unique<Tape>(p.real());
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

Tape& CompiledCore::eager_tape(std::vector<Tensor>& inputs) {
  State& s = *state_;
  std::unique_ptr<Tape>& tape = s.eager_next;
  const DType real = s.real_of(views_);
  if (tape == nullptr || tape->dtype() != real) tape = std::make_unique<Tape>(real);
  tape->clear();
  tape->set_seed(s.seed);
  tape->set_step(s.step);
  for (const ConstView& v : views_) inputs.push_back(tape->constant(v));
  return *tape;
}
void CompiledCore::end_eager() {
  State& s = *state_;
  ++s.step;
  std::swap(s.eager_next, s.eager_last);
  if (s.eager_next != nullptr) s.eager_next->clear();
}
std::uint64_t CompiledCore::current() const { return state_->current == nullptr ? 0 : state_->current->id; }
bool CompiledCore::holds(std::uint64_t plan) const { return state_->ids.contains(plan); }
const CompileOptions& CompiledCore::options() const { return state_->options; }
void CompiledCore::set_seed(std::uint64_t seed) { state_->seed = seed; }
std::uint64_t CompiledCore::next_step() const { return state_->step; }
void CompiledCore::set_step(std::uint64_t step) { state_->step = step; }
std::size_t CompiledCore::plans() const { return state_->plans.size(); }
std::size_t CompiledCore::memory() const {
  std::size_t bytes = state_->lengths == nullptr ? 0 : state_->lengths->memory();
  for (const auto& entry : state_->plans) bytes += entry->plan->memory();
  return bytes + (state_->with_graph == nullptr ? 0 : state_->with_graph->memory());
}
Tape CompiledCore::graph() const { return ir::to_tape(state_->whole().graph()); }
std::size_t CompiledCore::kernels() const {
  const auto& steps = state_->plan().plan().steps;
  return static_cast<std::size_t>(std::count_if(
      steps.begin(), steps.end(), [](const ir::Plan::Step& s) { return s.kind == ir::Plan::Kind::kernel; }));
}
std::string CompiledCore::explain() const {
  const ir::Plan& plan = state_->whole().plan();
  const KnownPlan& entry = *state_->current;
  const std::string lengths = entry.by_short
                                  ? "this plan follows from those of three short sequences, and no pass ran for it"
                              : entry.follows ? "this plan follows from those of other lengths, and no pass ran for it"
                                              : "this plan was compiled as a whole: " + entry.found.why;
  return ir::explain(plan, entry.notes, {entry.checked, lengths, state_->chosen_by(), entry.reads.lines(), entry.held});
}
std::string CompiledCore::choices() const { return ir::choices_text(ir::choices_of(state_->options)); }
std::string CompiledCore::profile(int replays) {
  // The arguments of the last call may be gone: others of their shapes; 0 is an index into every table.
  std::vector<Array> arguments;
  Rng rng(1);
  for (const ConstView& x : views_) {
    Array& a = arguments.emplace_back(x.shape, x.dtype);
    if (!is_real(a.dtype())) continue;
    visit_real(a.dtype(), [&]<class T>() {
      for (T& e : a.span<T>()) e = static_cast<T>(rng.uniform());
    });
  }
  const std::vector<ConstView> views(arguments.begin(), arguments.end());
  if (!state_->find(views_, numbers_))
    throw Error(
        "compile: profile: what the plan depends on has changed since the last call: a parameter's type, a mode, ...: "
        "call the function again first");
  ir::Executor& plan = state_->whole();
  const SubnormalsMet met;
  const std::vector<double> seconds = plan.measure(views, state_->seed, state_->step, std::max(replays, 1));
  return ir::profile(plan.plan(), seconds, static_cast<bool>(met));
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
