#include <algorithm>
#include <cmath>
#include <map>
#include <unordered_set>

#include <rewind/core/error.h>
#include <rewind/core/threads.h>
#include <rewind/models/match_arrays.h>
#include <rewind/models/optimizer.h>

namespace rw {
namespace {

// All passes run over a chunk while it is in the first cache; arrays of many chunks are shared among threads.
constexpr Index chunk = 2048;
constexpr Index chunks_of_a_block = 16;

}  // namespace

Optimizer::Optimizer(std::vector<NamedParameter> parameters, double rate, std::vector<std::string> moments)
    : moment_names_(std::move(moments)), rate_(0) {
  set_rate(rate);
  std::unordered_set<const Parameter::Data*> seen;
  std::map<std::string, int> uses;
  for (NamedParameter& p : parameters) {
    if (!seen.insert(p.parameter->data().get()).second) continue;  // tied
    const int use = ++uses[p.name];
    Slot slot{use == 1 ? p.name : p.name + "#" + std::to_string(use), p.parameter->data(), {}};
    for (std::size_t i = 0; i < moment_names_.size(); ++i)
      slot.moments.emplace_back(p.parameter->shape(), p.parameter->dtype());
    slots_.push_back(std::move(slot));
  }
}

void Optimizer::set_rate(double rate) {
  if (!std::isfinite(rate) || rate < 0)
    throw Error("the learning rate must be a finite number of 0 or more, not " + std::to_string(rate));
  rate_ = rate;
}

void Optimizer::step() {
  ++steps_;
  const std::span<const Pass> all = passes();
  for (Slot& slot : slots_) update(slot, all);
}

void Optimizer::update(Slot& slot, std::span<const Pass> passes) {
  Parameter::Data& p = *slot.parameter;
  if (p.frozen) return p.grad.fill(0);
  ++p.version;
  visit_real(p.value.dtype(), [&]<class T>() {
    T* arrays[4] = {p.value.template span<T>().data(), p.grad.template span<T>().data()};
    for (std::size_t i = 0; i < slot.moments.size(); ++i) arrays[2 + i] = slot.moments[i].template span<T>().data();
    const Index size = p.value.size(), block = chunk * chunks_of_a_block;
    parallel_for((size + block - 1) / block, [&](Index b) {
      for (Index at = b * block; at < std::min(size, (b + 1) * block); at += chunk) {
        const Index n = std::min(chunk, size - at);
        for (const Pass& pass : passes) {
          const T* x[4] = {};
          for (int i = 0; i < pass.inputs; ++i) x[i] = arrays[pass.from[i]] + at;
          if constexpr (std::is_same_v<T, float>)
            pass.loop.f32(pass.fn, n, x, arrays[pass.to] + at);
          else
            pass.loop.f64(pass.fn, n, x, arrays[pass.to] + at);
        }
        std::fill_n(arrays[gradient] + at, n, T(0));
      }
    });
  });
}

std::vector<NamedArray> Optimizer::state() const {
  std::vector<NamedArray> all;
  for (const Slot& slot : slots_)
    for (std::size_t i = 0; i < slot.moments.size(); ++i)
      all.push_back({slot.name + "." + moment_names_[i], slot.moments[i]});
  all.push_back({"steps", full({}, static_cast<double>(steps_), DType::f64)});
  all.push_back({"rate", full({}, rate_, DType::f64)});
  return all;
}

void Optimizer::set_state(std::span<const NamedArray> state) {
  std::vector<detail::ExpectedArray> expected;
  for (const NamedArray& a : this->state()) expected.push_back({a.name, a.array.shape(), a.array.dtype()});
  const auto fitting = detail::match_arrays(expected, state, "the saved state is not of this optimizer");
  const double steps = fitting[fitting.size() - 2]->item();
  if (!(steps >= 0 && steps < 0x1p53)) throw Error("the saved state is not of an optimizer: its number of steps");
  std::size_t next = 0;  // in the order of state(): moments of each slot, steps, rate
  set_rate(fitting.back()->item());
  steps_ = static_cast<Index>(steps);
  for (Slot& slot : slots_)
    for (Array& moment : slot.moments) moment = *fitting[next++];
}

}  // namespace rw
