#include <cstdlib>
#include <cstring>
#include <ctime>

#include <rewind/autograd/compile/plan/lowering.h>
#include <rewind/autograd/compile/plan/plan.h>
#include <rewind/core/broadcast_loop.h>
#include <rewind/core/error.h>
#include <rewind/core/gemm/gemm.h>
#include <rewind/core/gemm/packed.h>
#include <rewind/core/memory.h>
#include <rewind/core/reduce.h>
#include <rewind/core/threads.h>

namespace rw::ir {

namespace {

double now() {
  timespec t{};
  clock_gettime(threads() == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

}  // namespace

void Plan::Free::operator()(std::byte* p) const { std::free(p); }

Plan::Plan(Graph g, const CompileOptions& options) : graph_(std::move(g)), layout_(layout(graph_, options.passes)) {
  // At least one byte: values without elements have an address too.
  arena_.reset(static_cast<std::byte*>(detail::allocate_vectors(layout_.arena / 64 * 64 + 64)));
  if (arena_ == nullptr)
    throw Error("compile: no memory for the plan, which takes " + std::to_string(layout_.arena) + " bytes");
  // What fills up a last vector is computed too, and numbers that nobody wrote may be slow ones.
  std::memset(arena_.get(), 0, layout_.arena / 64 * 64 + 64);
  std::size_t inputs = 0;
  for (const Node& n : graph_.nodes)
    if (n.role == Role::input && n.leaf != random_key_leaf) inputs = std::max<std::size_t>(inputs, n.leaf + 1);
  inputs_.resize(inputs);
  parameters_.resize(graph_.store->parameters.size());
  gradients_.resize(graph_.store->parameters.size());
  direct_.assign(graph_.effects.size(), false);
  Lowering(*this, options).run();
  bind(key_, key_words_);
  if (options.watch_memory) guard_ = std::make_unique<MemoryGuard>(graph_, layout_, arena_.get());
}

Plan::~Plan() = default;

void* Plan::address(const Place& place, DType dtype) const {
  const std::size_t offset = static_cast<std::size_t>(place.offset) * size_of(dtype);
  switch (place.base) {
    case Base::buffer: return arena_.get() + layout_.buffers[place.id].address + offset;
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

bool Plan::in_arena(const void* p) const { return p >= arena_.get() && p < arena_.get() + layout_.arena; }

void Plan::bind_input(std::size_t i, ConstView value) {
  Bound& bound = inputs_[i];
  if (bound.patches.empty()) return;
  const DType dtype = is_real(value.dtype) ? graph_.real : value.dtype;
  if (value.dtype == dtype && value.contiguous() && !in_arena(value.data)) return bind(bound, value.data);
  if (!(bound.staging.shape() == value.shape) || bound.staging.dtype() != dtype)
    bound.staging = Array(value.shape, dtype);
  copy(value, bound.staging.view());
  bind(bound, bound.staging.view().data);
}

void Plan::bind_parameter(std::size_t i) {
  const Parameter::Data& data = *graph_.store->parameters[i].data;
  Bound& bound = parameters_[i];
  bind(gradients_[i], data.grad.view().data);
  if (data.value.dtype() == graph_.real) return bind(bound, data.value.view().data);
  if (bound.data == nullptr) bound.staging = Array(data.value.shape(), graph_.real);
  if (bound.data == nullptr || bound.version != data.version) copy(data.value, bound.staging.view());
  bound.version = data.version;
  bind(bound, bound.staging.view().data);
}

void Plan::replay(std::span<const ConstView> inputs, std::uint64_t seed, std::uint64_t step) {
  for (std::size_t i = 0; i < inputs_.size(); ++i) bind_input(i, inputs[i]);
  for (std::size_t i = 0; i < parameters_.size(); ++i) bind_parameter(i);
  const std::uint64_t words[] = {seed, step};
  std::memcpy(key_words_, words, sizeof words);
  if (guard_ != nullptr) {
    run_watched();
  } else if (times_ == nullptr) {
    run_all();
  } else {
    double begin = now();
    for (std::size_t i = 0; i < steps_.size(); ++i) {
      run(steps_[i]);
      const double end = now();
      (*times_)[i] += end - begin;
      begin = end;
    }
  }
  commit();
}

void Plan::run_all() {
  const bool one_thread = rw::detail::runs_serially();
  for (const Run& part : runs_) {
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
                                   static_cast<float*>(at[2]), p.ldc, p.add);
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
    case Kind::kernel: programs_[calls_[s.index]].run(at, strides_.data() + s.pointer); break;
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
  g.info->eval(g.op, {x, g.inputs}, out);
}

void Plan::commit() {
  for (std::size_t i = 0; i < graph_.effects.size(); ++i) {
    if (direct_[i]) continue;
    const Effect& e = graph_.effects[i];
    Parameter::Data& data = *graph_.store->parameters[e.parameter].data;
    const ConstView value = value_of(e.value);
    if (data.grad.dtype() == value.dtype)
      add_into(value, data.grad.view());
    else
      add_into(Array(value).to(data.grad.dtype()), data.grad.view());
  }
}

ConstView Plan::value_of(NodeId id) const {
  const Place& p = layout_.places[id];
  const Node& n = graph_.nodes[id];
  const void* at = address(p, n.dtype);
  const Index bytes = p.offset * static_cast<Index>(size_of(n.dtype));
  if (p.base == Base::input) at = static_cast<const char*>(inputs_[p.id].data) + bytes;
  if (p.base == Base::parameter) at = static_cast<const char*>(parameters_[p.id].data) + bytes;
  return {at, n.shape, p.stride, n.dtype};
}

ConstView Plan::output(std::size_t i) const { return value_of(graph_.outputs[i]); }

}  // namespace rw::ir
