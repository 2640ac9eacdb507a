#pragma once

// Functions of sequences, each compiled once and called at several lengths.

#include <cstdint>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <rewind/autograd/compile/compile.h>
#include <rewind/models/module.h>
#include <rewind/models/sequence/unroll.h>
#include <rewind/ops/ops.h>

#include "../agree.h"
#include "../hand_lstm.h"

namespace rw::test::sequences {

inline constexpr Index N = 2, I = 3, H = 4;
inline const Passes without_loops = Passes::all() - Pass::loops;

template <class C>
bool follows(const C& compiled) {
  return compiled.explain().find("no pass ran for it") != std::string::npos;
}

inline Array sequence(Index T) { return random_array(Shape{T, N, I}, static_cast<std::uint64_t>(T) + 3); }

/// Step t of a sequence.
inline Tensor at(Tensor x, Index t) { return reshape(slice(x, 0, t, 1), {x.size(1), x.size(2)}); }

/// What a function of a sequence gives, and what it adds to gradients.
template <class C>
std::vector<Array> run(C& compiled, const Array& x, const std::vector<Parameter*>& parameters) {
  for (Parameter* p : parameters) p->zero_grad();
  std::vector<Array> out{compiled(x).array()};
  for (Parameter* p : parameters) out.push_back(p->grad());
  return out;
}

/// Compiles `f` at some lengths, and others between them: gives how many of them followed. All have the bits of a
/// function that is compiled anew for each.
template <class F>
int followers(const F& f, const std::vector<Parameter*>& parameters,
              const std::vector<Index>& lengths = {9, 40, 65, 12, 20, 39, 63, 64}, CompileOptions options = {}) {
  options.check = SelfCheck::off;
  auto with = compile(f, options, sequence(lengths[0]));
  options.passes = without_loops;
  auto without = compile(f, options, sequence(lengths[0]));
  int count = 0;
  for (const Index T : lengths) {
    CAPTURE(T);
    const Array x = sequence(T);
    with.set_step(0);
    without.set_step(0);
    CHECK(run(with, x, parameters) == run(without, x, parameters));
    count += follows(with) ? 1 : 0;
    CHECK(!follows(without));
  }
  return count;
}

inline std::vector<Parameter*> parameters_of(const Module& m) {
  std::vector<Parameter*> out;
  for (const NamedParameter& p : m.parameters()) out.push_back(p.parameter);
  return out;
}

/// A training step whose loss is the mean over all steps, and that of the last.
template <class Cell>
auto training(const Cell& cell) {
  return [&cell](Tape& tape, Tensor x) {
    const auto states = unroll(cell, x, cell.zero_state(tape, x.size(1)));
    std::vector<Tensor> h;
    for (const auto& s : states) h.push_back(s.h);
    const Tensor loss = mean(square(concat(h, 0))) + mean(tanh(states.back().h));
    backward(loss);
    return loss;
  };
}

}  // namespace rw::test::sequences
