#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <limits>
#include <utility>

#include <fmt/format.h>

#include <rewind/autograd/compile/plan/lowering.h>
#include <rewind/autograd/compile/plan/plan.h>
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

void Plan::Free::operator()(std::byte* p) const { std::free(p); }
void PlanMemory::Free::operator()(std::byte* p) const { std::free(p); }

std::byte* PlanMemory::reserve(std::size_t bytes) {
  // At least one byte: values without elements have an address too.
  std::size_t all = bytes / 64 * 64 + 64;
  if (all <= bytes_) return now_.get();
  all = std::max(all, bytes_ / 128 * 192);  // so that it seldom grows
  grown_out_of_.reserve(grown_out_of_.size() + 1);
  Block block(static_cast<std::byte*>(detail::allocate_vectors(all)));
  if (block == nullptr) throw Error("compile: no memory for the plan, which takes " + std::to_string(bytes) + " bytes");
  // What fills up a last vector is computed too, and what nobody wrote could be subnormal numbers, which are slow.
  std::memset(block.get(), 0, all);
  if (now_ != nullptr) grown_out_of_.push_back(std::move(now_));
  now_ = std::move(block);
  bytes_ = all;
  return now_.get();
}

Plan::Plan(std::shared_ptr<Store> store, DType real, std::shared_ptr<PlanMemory> memory)
    : memory_(std::move(memory)), shares_memory_(true) {
  graph_.store = std::move(store);
  graph_.real = real;
}

Plan::Plan(Graph g, const CompileOptions& options)
    : graph_(std::move(g)), layout_(layout(graph_, options.passes)), memory_(std::make_shared<PlanMemory>()) {
  arena_ = memory_->reserve(layout_.arena);
  std::size_t inputs = 0;
  for (const Node& n : graph_.nodes)
    if (n.role == Role::input && n.leaf != random_key_leaf) inputs = std::max<std::size_t>(inputs, n.leaf + 1);
  inputs_.resize(inputs);
  parameters_.resize(graph_.store->parameters.size());
  gradients_.resize(graph_.store->parameters.size());
  direct_.assign(graph_.effects.size(), false);
  for (const Effect& e : graph_.effects)
    if (std::find(trained_.begin(), trained_.end(), e.parameter) == trained_.end()) trained_.push_back(e.parameter);
  Lowering(*this, options).run();
  for (NodeId o : graph_.outputs) results_.push_back(held(o));
  for (const Effect& e : graph_.effects) added_.push_back(held(e.value));
  bind(key_, key_words_);
  list_written();
  if (options.watch_memory) guard_ = std::make_unique<MemoryGuard>(graph_, layout_, arena_);
}

Plan::~Plan() = default;

void* Plan::address(const Place& place, DType dtype) const {
  const std::size_t offset = static_cast<std::size_t>(place.offset) * size_of(dtype);
  switch (place.base) {
    case Base::buffer: return arena_ + layout_.buffers[place.id].address + offset;
    case Base::constant: {
      const void* data = graph_.store->constants[place.id].view().data;
      return const_cast<char*>(static_cast<const char*>(data)) + offset;
    }
    default: return nullptr;  // bound at a replay
  }
}

void Plan::bind(Bound& bound, const void* data) {
  if (bound.data == data) return;
  bound.data = data;
  for (const Patch& patch : bound.patches)
    pointers_[patch.pointer] = const_cast<char*>(static_cast<const char*>(data)) + patch.offset;
}

void Plan::check_gradients() const {
  for (std::uint32_t i : trained_) {
    const Parameter::Data& p = *graph_.store->parameters[i];
    // At every call, so at once where all is well: equal shapes are equal bytes.
    if (std::memcmp(&p.grad.shape(), &p.value.shape(), sizeof(Shape)) != 0 || p.grad.dtype() != p.value.dtype())
        [[unlikely]]
      p.check_grad();
  }
}

Array& Plan::gradient(std::uint32_t parameter) {
  return apart_ != nullptr ? (*apart_)[parameter] : graph_.store->parameters[parameter]->grad;
}

// Gradients may be elsewhere at every replay; what a replay writes is listed again when one is.
void Plan::bind_gradients() {
  bool moved = false;
  for (std::uint32_t i : trained_) {
    const void* data = gradient(i).view().data;
    moved = moved || gradients_[i].data != data;
    bind(gradients_[i], data);
  }
  if (moved) list_written();
}

void Plan::list_written() {
  written_.clear();
  const auto add = [&](const void* data, std::size_t bytes) {
    const auto begin = reinterpret_cast<std::uintptr_t>(data);
    if (data != nullptr && bytes > 0) written_.push_back({begin, begin + bytes});
  };
  add(arena_, layout_.arena);
  for (std::uint32_t i : trained_) {
    const Array& grad = gradient(i);
    add(gradients_[i].data, static_cast<std::size_t>(grad.size()) * size_of(grad.dtype()));
  }
  std::sort(written_.begin(), written_.end(), [](const Range& a, const Range& b) { return a.begin < b.begin; });
}

bool Plan::writes(ConstView value) const {
  if (value.size() == 0) return false;
  const auto begin = reinterpret_cast<std::uintptr_t>(value.data);
  const Index elements = (value.rows() - 1) * value.stride + value.cols();
  const std::uintptr_t end = begin + static_cast<std::size_t>(elements) * size_of(value.dtype);
  const auto first = std::upper_bound(written_.begin(), written_.end(), begin,
                                      [](std::uintptr_t at, const Range& range) { return at < range.end; });
  return first != written_.end() && first->begin < end;
}

void Plan::bind_input(std::size_t i, ConstView value) {
  Bound& bound = inputs_[i];
  if (bound.patches.empty()) return;
  const DType dtype = is_real(value.dtype) ? graph_.real : value.dtype;
  if (value.dtype == dtype && value.contiguous() && !writes(value)) return bind(bound, value.data);
  if (!(bound.staging.shape() == value.shape) || bound.staging.dtype() != dtype)
    bound.staging = Array(value.shape, dtype);
  copy(value, bound.staging.view());
  bind(bound, bound.staging.view().data);
}

void Plan::bind_parameter(std::size_t i) {
  const Parameter::Data& data = *graph_.store->parameters[i];
  Bound& bound = parameters_[i];
  if (data.value.dtype() == graph_.real) return bind(bound, data.value.view().data);
  if (bound.data == nullptr) bound.staging = Array(data.value.shape(), graph_.real);
  if (bound.data == nullptr || bound.version != data.version) copy(data.value, bound.staging.view());
  bound.version = data.version;
  bind(bound, bound.staging.view().data);
}

// Shared memory may have grown since.
void Plan::follow_memory() {
  memory_->begin_replay();
  if (arena_ == memory_->data()) return;
  const std::byte* const before = std::exchange(arena_, memory_->data());
  for (const std::uint32_t i : in_memory_) pointers_[i] = arena_ + (static_cast<std::byte*>(pointers_[i]) - before);
  list_written();
}

void Plan::begin_replay(std::span<const ConstView> inputs, std::uint64_t seed, std::uint64_t step) {
  if (shares_memory_) follow_memory();
  bind_gradients();
  for (std::size_t i = 0; i < inputs_.size(); ++i) bind_input(i, inputs[i]);
  for (std::size_t i = 0; i < parameters_.size(); ++i) bind_parameter(i);
  const std::uint64_t words[] = {seed, step};
  std::memcpy(key_words_, words, sizeof words);
}

// For its lifetime gradients are added to arrays apart from the parameters.
struct Plan::Apart {
  explicit Apart(Plan& p) : plan(p), sums(p.graph_.store->parameters.size(), Array(Shape{0})) {
    for (std::uint32_t i : p.trained_) {
      const Array& value = p.graph_.store->parameters[i]->value;
      sums[i] = Array(value.shape(), value.dtype());
    }
    p.apart_ = &sums;
  }
  ~Apart() { plan.apart_ = nullptr; }
  Apart(const Apart&) = delete;
  Apart& operator=(const Apart&) = delete;

  Plan& plan;
  std::vector<Array> sums;
};

std::vector<Array> Plan::replay_apart(std::span<const ConstView> inputs, std::uint64_t seed, std::uint64_t step,
                                      const std::function<void(const Step&)>& after) {
  Apart apart(*this);
  begin_replay(inputs, seed, step);
  if (after == nullptr) run_all();
  if (after != nullptr)
    for (const Step& s : steps_) {
      run(s);
      after(s);
    }
  commit();
  return std::move(apart.sums);
}

void Plan::add_gradients(const std::vector<Array>& gradients) {
  for (std::uint32_t i : trained_) add_into(gradients[i], graph_.store->parameters[i]->grad.view());
}

void Plan::replay(std::span<const ConstView> inputs, std::uint64_t seed, std::uint64_t step) {
  begin_replay(inputs, seed, step);
  if (guard_ != nullptr)
    run_watched();
  else
    run_all();
  commit();
}

double Plan::time_apart(std::span<const ConstView> inputs, std::uint64_t seed, std::uint64_t step, int replays) {
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

std::vector<double> Plan::measure(std::span<const ConstView> inputs, std::uint64_t seed, std::uint64_t step,
                                  int replays) {
  Apart apart(*this);
  const std::size_t n = steps_.size();
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
      run(steps_[i]);
      least[i] = std::min(least[i], lap());
    }
    commit();
    rest += lap();
    least[n] = std::min(least[n], rest);

    const double start = busy_clock();
    begin_replay(inputs, seed, step);
    for (const Step& s : steps_) run(s);
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

void Plan::share_as(const Choices& choices) {
  one_thread_ = choices.one_thread != 0;
  kernel_share_from_ = static_cast<Index>(choices.kernel_share_from);
  product_share_from_ = static_cast<Index>(choices.product_share_from);
}

void Plan::run_all() {
  const OneThread alone(one_thread_);
  const bool one_thread = rw::detail::runs_serially();
  for (const Section& part : sections_) {
    if (part.lanes != nullptr && !one_thread) {
      part.lanes->run([this](std::uint32_t i) { run(steps_[i]); });
      continue;
    }
    for (std::uint32_t i = part.begin; i < part.end; ++i) run(steps_[i]);
  }
}

void Plan::run_watched() {
  guard_->begin();
  for (const Step& step : steps_) {
    guard_->before(step.node);
    run(step);
    guard_->after(step.node, step.kind == Kind::copy);
  }
}

bool Plan::Pack::is_known(const void* data) {
  if (parameter == nullptr) return false;
  const bool known = from == data && version == parameter->version;
  from = data;
  version = parameter->version;
  return known;
}

void Plan::run(const Step& s) {
  void* const* at = pointers_.data() + s.pointer;
  switch (s.kind) {
    case Kind::product: {
      const Product& p = products_[s.index];
      if (p.bf16 != nullptr) return p.bf16->run(static_cast<const float*>(at[0]), p.lda, static_cast<float*>(at[2]));
      if (p.packed != nullptr)
        return detail::packed_gemm(p.ta, p.m, p.n, p.k, static_cast<const float*>(at[0]), p.lda, p.packed,
                                   static_cast<float*>(at[2]), p.ldc, p.add, product_share_from_);
      visit_real(p.dtype, [&]<class T>() {
        gemm(p.ta, p.tb, p.m, p.n, p.k, static_cast<const T*>(at[0]), p.lda, static_cast<const T*>(at[1]), p.ldb,
             static_cast<T*>(at[2]), p.ldc, p.add);
      });
      break;
    }
    case Kind::pack: {
      Pack& p = packs_[s.index];
      if (p.is_known(at[0])) break;
      if (p.bf16 != nullptr) return p.bf16->pack(static_cast<const float*>(at[0]));
      detail::pack(p.tb, p.k, p.n, static_cast<const float*>(at[0]), p.ldb, p.to);
      break;
    }
    case Kind::kernel: programs_[calls_[s.index]].run(at, strides_.data() + s.pointer, kernel_share_from_); break;
    case Kind::generic: run_generic(s); break;
    case Kind::copy: {
      ConstView from = views_[s.index];
      const ConstView& to = views_[s.index + 1];
      from.data = at[0];
      copy(from, {at[1], to.shape, to.stride, to.dtype});
      break;
    }
  }
}

void Plan::run_generic(const Step& s) {
  const Generic& g = generics_[s.index];
  void* const* at = pointers_.data() + s.pointer;
  ConstView* x = views_.data() + g.first;
  for (std::uint32_t i = 0; i < g.inputs; ++i) x[i].data = at[i];
  const ConstView& y = x[g.inputs];
  const View out{at[g.inputs], y.shape, y.stride, y.dtype};
  if (g.info->elementwise != nullptr) return broadcast_loop(g.info->elementwise->value, g.op, {x, g.inputs}, out);
  try {
    g.info->eval(g.op, {x, g.inputs}, out);
  } catch (const Error& e) {  // numbers that the op refuses: said as a tape says it
    const std::string scope = s.node < graph_.size() ? graph_.scope_path(graph_.nodes[s.node].scope) : "";
    throw Error(fmt::format("[{}] {}{}{}", g.info->name, e.what(), scope.empty() ? "" : ", in ", scope));
  }
}

void Plan::commit() {
  for (std::size_t i = 0; i < graph_.effects.size(); ++i) {
    if (direct_[i]) continue;
    const Effect& e = graph_.effects[i];
    Array& sum = gradient(e.parameter);
    const ConstView value = view_of(added_[i]);
    if (sum.dtype() == value.dtype)
      add_into(value, sum.view());
    else
      add_into(Array(value).to(sum.dtype()), sum.view());
  }
}

ConstView Plan::value_of(NodeId id) const { return view_of(held(id)); }

ConstView Plan::view_of(const Held& held) const {
  const Place& p = held.place;
  const void* at = address(p, held.dtype);
  const Index bytes = p.offset * static_cast<Index>(size_of(held.dtype));
  if (p.base == Base::input) at = static_cast<const char*>(inputs_[p.id].data) + bytes;
  if (p.base == Base::parameter) at = static_cast<const char*>(parameters_[p.id].data) + bytes;
  return {at, held.shape, p.stride, held.dtype};
}

}  // namespace rw::ir
