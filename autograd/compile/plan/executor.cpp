#include <algorithm>
#include <cstring>
#include <ctime>
#include <limits>
#include <utility>

#include <fmt/format.h>

#include <rewind/autograd/compile/plan/executor.h>
#include <rewind/core/broadcast_loop.h>
#include <rewind/core/error.h>
#include <rewind/core/gemm/gemm.h>
#include <rewind/core/gemm/packed.h>
#include <rewind/core/memory.h>
#include <rewind/core/one_thread.h>
#include <rewind/core/reduce.h>
#include <rewind/core/threads.h>

namespace rw::ir {

namespace {

double seconds_on(clockid_t clock) {
  timespec t{};
  clock_gettime(clock, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

// The first costs little to look at; the second does not count what others do on a busy machine.
double wall_clock() { return seconds_on(CLOCK_MONOTONIC); }
double busy_clock() { return seconds_on(threads() == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC); }

double clock_cost() {
  constexpr int looks = 200;
  const double begin = wall_clock();
  for (int i = 1; i < looks; ++i) wall_clock();
  return (wall_clock() - begin) / looks;
}

}  // namespace

Executor::Executor(Plan plan, const CompileOptions& options)
    : plan_(std::move(plan)), memory_(std::make_shared<PlanMemory>()), shares_memory_(false) {
  resolve();
  share_as(choices_of(options));
  if (options.watch_memory) guard_ = std::make_unique<MemoryGuard>(plan_.graph, plan_.layout, arena_);
}

Executor::Executor(Plan plan, std::shared_ptr<PlanMemory> memory)
    : plan_(std::move(plan)), memory_(std::move(memory)), shares_memory_(true) {
  resolve();
}

Executor::~Executor() = default;

// Addresses in place of places.
void Executor::resolve() {
  arena_ = memory_->reserve(plan_.layout.arena);
  parameters_.resize(plan_.graph.store->parameters.size());
  gradients_.resize(plan_.graph.store->parameters.size());
  pointers_.reserve(plan_.pointers.size());
  strides_.reserve(plan_.pointers.size());
  for (std::uint32_t i = 0; i < plan_.pointers.size(); ++i) {
    pointers_.push_back(resolve(i, plan_.pointers[i]));
    strides_.push_back(plan_.pointers[i].stride);
  }
  plan_.pointers = std::vector<Place>();  // with its memory
  in_memory_.shrink_to_fit();
  if (plan_.graph.size() == 0) forget_buffers();
  for (const std::vector<Plan::Value>* values : {&plan_.results, &plan_.added})
    for (const Plan::Value& v : *values)
      if (v.place.base == Base::input && inputs_.size() <= v.place.id) inputs_.resize(v.place.id + 1);
  for (const Effect& e : plan_.graph.effects)
    if (std::find(trained_.begin(), trained_.end(), e.parameter) == trained_.end()) trained_.push_back(e.parameter);
  allocate_panels();
  bind(key_, key_words_);
  list_written();
}

// The address of a pointer, or null for one that is bound at replays.
void* Executor::resolve(std::uint32_t pointer, const Place& from) {
  const auto offset = static_cast<std::size_t>(from.offset);
  Bound* bound = nullptr;
  switch (from.base) {
    case Base::input:
      if (from.id != random_key_leaf && inputs_.size() <= from.id) inputs_.resize(from.id + 1);
      bound = from.id == random_key_leaf ? &key_ : &inputs_[from.id];
      break;
    case Base::parameter: bound = &parameters_[from.id]; break;
    case Base::gradient: bound = &gradients_[from.id]; break;
    case Base::buffer:
      if (shares_memory_) in_memory_.push_back(pointer);
      break;
    default: break;
  }
  if (bound != nullptr) bound->patches.push_back({pointer, offset});
  return address(from, offset);
}

// Without its graph a plan is asked for results alone: other buffers have done what they are for.
void Executor::forget_buffers() {
  std::vector<Layout::Buffer> kept;
  for (std::vector<Plan::Value>* values : {&plan_.results, &plan_.added})
    for (Plan::Value& v : *values) {
      if (v.place.base != Base::buffer) continue;
      kept.push_back(plan_.layout.buffers[v.place.id]);
      v.place.id = static_cast<std::uint32_t>(kept.size() - 1);
    }
  plan_.layout.buffers = std::move(kept);
}

void Executor::allocate_panels() {
  packed_bytes_ = plan_.packed_bytes();
  for (const Plan::Pack& pack : plan_.packs) {
    Panels& panels = panels_.emplace_back();
    if (pack.bytes() == 0) continue;
    panels.bytes.reset(static_cast<std::byte*>(detail::allocate_vectors(pack.bytes())));
    if (panels.bytes == nullptr) throw Error("compile: no memory for packed matrices");
  }
}

void* Executor::address(const Place& place, std::size_t offset) const {
  switch (place.base) {
    case Base::buffer: return arena_ + plan_.layout.buffers[place.id].address + offset;
    case Base::constant: {
      const void* data = plan_.graph.store->constants[place.id].view().data;
      return const_cast<char*>(static_cast<const char*>(data)) + offset;
    }
    default: return nullptr;  // bound at a replay
  }
}

void Executor::bind(Bound& bound, const void* data) {
  if (bound.data == data) return;
  bound.data = data;
  for (const Patch& patch : bound.patches)
    pointers_[patch.pointer] = const_cast<char*>(static_cast<const char*>(data)) + patch.offset;
}

void Executor::check_gradients() const {
  for (std::uint32_t i : trained_) {
    const Parameter::Data& p = *plan_.graph.store->parameters[i];
    // At every call, so at once where all is well: equal shapes are equal bytes.
    if (std::memcmp(&p.grad.shape(), &p.value.shape(), sizeof(Shape)) != 0 || p.grad.dtype() != p.value.dtype())
        [[unlikely]]
      p.check_grad();
  }
}

Array& Executor::gradient(std::uint32_t parameter) {
  return apart_ != nullptr ? (*apart_)[parameter] : plan_.graph.store->parameters[parameter]->grad;
}

// Gradients may be elsewhere at every replay; what a replay writes is listed again when one is.
void Executor::bind_gradients() {
  bool moved = false;
  for (std::uint32_t i : trained_) {
    const void* data = gradient(i).view().data;
    moved = moved || gradients_[i].data != data;
    bind(gradients_[i], data);
  }
  if (moved) list_written();
}

void Executor::list_written() {
  written_.clear();
  const auto add = [&](const void* data, std::size_t bytes) {
    const auto begin = reinterpret_cast<std::uintptr_t>(data);
    if (data != nullptr && bytes > 0) written_.push_back({begin, begin + bytes});
  };
  add(arena_, plan_.layout.arena);
  for (std::uint32_t i : trained_) {
    const Array& grad = gradient(i);
    add(gradients_[i].data, static_cast<std::size_t>(grad.size()) * size_of(grad.dtype()));
  }
  std::sort(written_.begin(), written_.end(), [](const Range& a, const Range& b) { return a.begin < b.begin; });
}

bool Executor::writes(ConstView value) const {
  if (value.size() == 0) return false;
  const auto begin = reinterpret_cast<std::uintptr_t>(value.data);
  const Index elements = (value.rows() - 1) * value.stride + value.cols();
  const std::uintptr_t end = begin + static_cast<std::size_t>(elements) * size_of(value.dtype);
  const auto first = std::upper_bound(written_.begin(), written_.end(), begin,
                                      [](std::uintptr_t at, const Range& range) { return at < range.end; });
  return first != written_.end() && first->begin < end;
}

void Executor::bind_input(std::size_t i, ConstView value) {
  Bound& bound = inputs_[i];
  if (bound.patches.empty()) return;
  const DType dtype = is_real(value.dtype) ? plan_.graph.real : value.dtype;
  if (value.dtype == dtype && value.contiguous() && !writes(value)) return bind(bound, value.data);
  if (!(bound.staging.shape() == value.shape) || bound.staging.dtype() != dtype)
    bound.staging = Array(value.shape, dtype);
  copy(value, bound.staging.view());
  bind(bound, bound.staging.view().data);
}

void Executor::bind_parameter(std::size_t i) {
  const Parameter::Data& data = *plan_.graph.store->parameters[i];
  Bound& bound = parameters_[i];
  if (data.value.dtype() == plan_.graph.real) return bind(bound, data.value.view().data);
  if (bound.data == nullptr) bound.staging = Array(data.value.shape(), plan_.graph.real);
  if (bound.data == nullptr || bound.version != data.version) copy(data.value, bound.staging.view());
  bound.version = data.version;
  bind(bound, bound.staging.view().data);
}

// Shared memory may have grown since.
void Executor::follow_memory() {
  memory_->begin_replay();
  if (arena_ == memory_->data()) return;
  const std::byte* const before = std::exchange(arena_, memory_->data());
  for (const std::uint32_t i : in_memory_) pointers_[i] = arena_ + (static_cast<std::byte*>(pointers_[i]) - before);
  list_written();
}

void Executor::begin_replay(std::span<const ConstView> inputs, std::uint64_t seed, std::uint64_t step) {
  if (shares_memory_) follow_memory();
  bind_gradients();
  for (std::size_t i = 0; i < inputs_.size(); ++i) bind_input(i, inputs[i]);
  for (std::size_t i = 0; i < parameters_.size(); ++i) bind_parameter(i);
  const std::uint64_t words[] = {seed, step};
  std::memcpy(key_words_, words, sizeof words);
}

// For its lifetime gradients are added to arrays apart from the parameters.
struct Executor::Apart {
  explicit Apart(Executor& e) : executor(e), sums(e.plan_.graph.store->parameters.size(), Array(Shape{0})) {
    for (std::uint32_t i : e.trained_) {
      const Array& value = e.plan_.graph.store->parameters[i]->value;
      sums[i] = Array(value.shape(), value.dtype());
    }
    e.apart_ = &sums;
  }
  ~Apart() { executor.apart_ = nullptr; }
  Apart(const Apart&) = delete;
  Apart& operator=(const Apart&) = delete;

  Executor& executor;
  std::vector<Array> sums;
};

std::vector<Array> Executor::replay_apart(std::span<const ConstView> inputs, std::uint64_t seed, std::uint64_t step,
                                          const std::function<void(const Step&)>& after) {
  Apart apart(*this);
  begin_replay(inputs, seed, step);
  if (after == nullptr) run_all();
  if (after != nullptr)
    for (const Step& s : plan_.steps) {
      run(s);
      after(s);
    }
  commit();
  return std::move(apart.sums);
}

void Executor::add_gradients(const std::vector<Array>& gradients) {
  for (std::uint32_t i : trained_) add_into(gradients[i], plan_.graph.store->parameters[i]->grad.view());
}

void Executor::replay(std::span<const ConstView> inputs, std::uint64_t seed, std::uint64_t step) {
  begin_replay(inputs, seed, step);
  if (guard_ != nullptr)
    run_watched();
  else
    run_all();
  commit();
}

double Executor::time_apart(std::span<const ConstView> inputs, std::uint64_t seed, std::uint64_t step, int replays) {
  Apart apart(*this);
  double begin = 0;
  for (int r = 0; r <= replays; ++r) {
    if (r == 1) begin = wall_clock();
    begin_replay(inputs, seed, step);
    run_all();
    commit();
  }
  return (wall_clock() - begin) / replays;
}

std::vector<double> Executor::measure(std::span<const ConstView> inputs, std::uint64_t seed, std::uint64_t step,
                                      int replays) {
  Apart apart(*this);
  const std::size_t n = plan_.steps.size();
  std::vector<double> least(n + 1, std::numeric_limits<double>::infinity());
  double whole = least[n];
  for (int r = 0; r < replays; ++r) {
    double begin = wall_clock();
    const auto lap = [&] {
      const double end = wall_clock();
      return end - std::exchange(begin, end);
    };
    begin_replay(inputs, seed, step);
    double rest = lap();
    for (std::size_t i = 0; i < n; ++i) {
      run(plan_.steps[i]);
      least[i] = std::min(least[i], lap());
    }
    commit();
    rest += lap();
    least[n] = std::min(least[n], rest);

    const double start = busy_clock();
    begin_replay(inputs, seed, step);
    for (const Step& s : plan_.steps) run(s);
    commit();
    whole = std::min(whole, busy_clock() - start);
  }
  // Looking at the clock takes its time, too, and it is not small beside a small step.
  const double clock = clock_cost();
  double sum = 0;
  for (double& t : least) sum += t = std::max(t - clock, 0.1 * clock);
  for (double& t : least) t *= whole / sum;
  return least;
}

void Executor::share_as(const Choices& choices) {
  one_thread_ = choices.one_thread != 0;
  kernel_share_from_ = static_cast<Index>(choices.kernel_share_from);
  product_share_from_ = static_cast<Index>(choices.product_share_from);
}

void Executor::run_all() {
  const OneThread alone(one_thread_);
  const bool one_thread = rw::detail::runs_serially();
  for (const Plan::Section& part : plan_.sections) {
    if (part.lanes != nullptr && !one_thread) {
      part.lanes->run([this](std::uint32_t i) { run(plan_.steps[i]); });
      continue;
    }
    for (std::uint32_t i = part.begin; i < part.end; ++i) run(plan_.steps[i]);
  }
}

void Executor::run_watched() {
  guard_->begin();
  for (const Step& step : plan_.steps) {
    guard_->before(step.node);
    run(step);
    guard_->after(step.node, step.kind == Plan::Kind::copy);
  }
}

bool Executor::Panels::know(const Parameter::Data* parameter, const void* data) {
  if (parameter == nullptr) return false;
  const bool known = from == data && version == parameter->version;
  from = data;
  version = parameter->version;
  return known;
}

void Executor::run(const Step& s) {
  void* const* at = pointers_.data() + s.pointer;
  switch (s.kind) {
    case Plan::Kind::product: return run_product(s);
    case Plan::Kind::pack: return run_pack(s);
    case Plan::Kind::kernel:
      return plan_.programs[plan_.calls[s.index]].run(at, strides_.data() + s.pointer, kernel_share_from_);
    case Plan::Kind::generic: return run_generic(s);
    case Plan::Kind::copy: {
      ConstView from = plan_.views[s.index];
      const ConstView& to = plan_.views[s.index + 1];
      from.data = at[0];
      return copy(from, {at[1], to.shape, to.stride, to.dtype});
    }
  }
}

void Executor::run_product(const Step& s) {
  void* const* at = pointers_.data() + s.pointer;
  const Plan::Product& p = plan_.products[s.index];
  if (p.bf16 != nullptr) return p.bf16->run(static_cast<const float*>(at[0]), p.lda, static_cast<float*>(at[2]));
  if (p.packed != no_pack)
    return detail::packed_gemm(p.ta, p.m, p.n, p.k, static_cast<const float*>(at[0]), p.lda, panels_[p.packed].data(),
                               static_cast<float*>(at[2]), p.ldc, p.add, product_share_from_);
  visit_real(p.dtype, [&]<class T>() {
    gemm(p.ta, p.tb, p.m, p.n, p.k, static_cast<const T*>(at[0]), p.lda, static_cast<const T*>(at[1]), p.ldb,
         static_cast<T*>(at[2]), p.ldc, p.add);
  });
}

void Executor::run_pack(const Step& s) {
  const Plan::Pack& p = plan_.packs[s.index];
  Panels& panels = panels_[s.index];
  const auto* const b = static_cast<const float*>(pointers_[s.pointer]);
  if (panels.know(p.parameter, b)) return;
  if (p.bf16 != nullptr) return p.bf16->pack(b);
  detail::pack(p.tb, p.k, p.n, b, p.ldb, panels.data());
}

void Executor::run_generic(const Step& s) {
  const Plan::Generic& g = plan_.generics[s.index];
  void* const* at = pointers_.data() + s.pointer;
  ConstView* x = plan_.views.data() + g.first;
  for (std::uint32_t i = 0; i < g.inputs; ++i) x[i].data = at[i];
  const ConstView& y = x[g.inputs];
  const View out{at[g.inputs], y.shape, y.stride, y.dtype};
  if (g.info->elementwise != nullptr) return broadcast_loop(g.info->elementwise->value, g.op, {x, g.inputs}, out);
  try {
    g.info->eval(g.op, {x, g.inputs}, out);
  } catch (const Error& e) {  // numbers that the op refuses: said as a tape says it
    const std::string scope =
        s.node < plan_.graph.size() ? plan_.graph.scope_path(plan_.graph.nodes[s.node].scope) : "";
    throw Error(fmt::format("[{}] {}{}{}", g.info->name, e.what(), scope.empty() ? "" : ", in ", scope));
  }
}

void Executor::commit() {
  for (std::size_t i = 0; i < plan_.graph.effects.size(); ++i) {
    if (plan_.direct[i]) continue;
    const Effect& e = plan_.graph.effects[i];
    Array& sum = gradient(e.parameter);
    const ConstView value = view_of(plan_.added[i]);
    if (sum.dtype() == value.dtype)
      add_into(value, sum.view());
    else
      add_into(Array(value).to(sum.dtype()), sum.view());
  }
}

ConstView Executor::view_of(const Plan::Value& value) const {
  const Place& p = value.place;
  const std::size_t bytes = static_cast<std::size_t>(p.offset) * size_of(value.dtype);
  const void* at = address(p, bytes);
  if (p.base == Base::input) at = static_cast<const char*>(inputs_[p.id].data) + bytes;
  if (p.base == Base::parameter) at = static_cast<const char*>(parameters_[p.id].data) + bytes;
  return {at, value.shape, p.stride, value.dtype};
}

}  // namespace rw::ir
