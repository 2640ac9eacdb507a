// Encoders and decoders: attention, teacher forcing, free running.
#include <cmath>
#include <sstream>

#include <doctest/doctest.h>

#include <rewind/autograd/compile/compile.h>
#include <rewind/models/cells/attention.h>
#include <rewind/models/layers/embedding.h>
#include <rewind/models/sequence/feed_back.h>
#include <rewind/models/text/token_decoder.h>
#include <rewind/ops/compare.h>
#include <rewind/ops/lookup.h>
#include <rewind/ops/loss.h>
#include <rewind/tools/graph/dot.h>

#include "../layers.h"

using namespace rw;
using namespace rw::test;

namespace {

constexpr Index symbols = 4, width = 2;

// Symbols to symbols: a bidirectional encoder, and a decoder that looks at it.
template <class C, class A>
class Translator : public Module {
 public:
  Translator(A attention, bool looks_after, Rng& rng)
      : table(param("table", randoms({symbols, width}, 3))),
        encoder(child("encoder", both_directions(C(width, width, rng), C(width, width, rng)))),
        decoder(child("decoder", looks_after ? AttentionCell<C, A>(C(width + 3, width, rng), std::move(attention),
                                                                   Linear(3 * width, 3, rng))
                                             : AttentionCell<C, A>(C(3 * width, width, rng), std::move(attention)))),
        head(child("head", Linear(looks_after ? 3 : 3 * width, symbols, rng))) {}

  typename AttentionCell<C, A>::State start(Tensor source, Tensor lengths) const {
    const auto states = unroll(encoder, lookup(table, clear_padding(source, lengths)),
                               encoder.zero_state(source.tape(), source.size(1)), {.lengths = lengths});
    return decoder.start(last_state(encoder, states).backward,
                         decoder.attention().remember(outputs(encoder, states), lengths));
  }
  Tensor forced(Tensor source, Tensor lengths, Tensor targets) const {
    return head(outputs(decoder, unroll(decoder, lookup(table, shifted(targets, 1)), start(source, lengths))));
  }
  Tensor free_running(Tensor source, Tensor lengths, Index steps) const {
    const auto state = start(source, lengths);
    const Tensor begin = lookup(table, source.tape().constant(full({source.size(1)}, 1, DType::i32)));
    return head(outputs(
        decoder, feed_back(decoder, begin, state, steps, [&](Tensor y) { return matmul(hardmax(head(y)), table); })));
  }

  Parameter& table;
  Bidirectional<C>& encoder;
  AttentionCell<C, A>& decoder;
  Linear& head;
};

const Array source({1, 3, 2, 0, 2, 1, -7, 3, 0, -7, -7, 2}, {4, 3}), lengths = indices_of({2, 3, 4}),
                                                                     targets({3, 1, 2, 0, 2, 1}, {2, 3});

template <class F>
void for_each_translator(F&& check) {
  for_each_cell(1, 1, [&]<class C>(const C&, const C&) {
    for (const bool after : {false, true}) {
      Rng rng(1);
      check(Translator<C, DotAttention>(DotAttention(width, 2 * width, rng), after, rng));
      check(Translator<C, AdditiveAttention>(AdditiveAttention(width, 2 * width, 2, rng), after, rng));
    }
  });
}

// A translator's decoder as a model of symbols; its state says what is translated.
template <class Net>
struct Decoding {
  using State = decltype(std::declval<const Net&>().start(Tensor(), Tensor()));
  const Net& net;
  State zero_state(Tape& tape, Index batch) const {
    const auto nothing = net.decoder.attention().remember(tape.constant(0, {source.shape()[0], batch, 2 * width}));
    return net.decoder.start(net.decoder.cell().zero_state(tape, batch), nothing);
  }
  Tensor logits(Tensor tokens, State& state) const {
    const auto states = unroll(net.decoder, lookup(net.table, tokens), state);
    state = states.back();
    return net.head(outputs(net.decoder, states));
  }
};

Tensor column(Tensor x, Index n) { return slice(x, 1, n, 1); }

}  // namespace

TEST_CASE("an encoder-decoder with attention passes the check of gradients") {
  for_each_translator([](const auto& net) {
    const auto loss = [&](Tape& tape) {
      const Tensor t = tape.constant(targets);
      return cross_entropy(net.forced(tape.constant(source), tape.constant(lengths), t), t);
    };
    CHECK(test::first_order_error(net, loss) < 1e-8);
  });
}

TEST_CASE("and of second derivatives") {
  for_each_cell(1, 1, [&]<class C>(const C&, const C&) {
    Rng rng(1);
    const auto check = [&](const auto& decoder, Index in) {
      const Array memory = randoms({2, 2, 1}, 4), x = randoms({2, 2, in}, 5);
      const auto loss = [&](Tape& tape) {
        const auto start =
            decoder.start(decoder.cell().zero_state(tape, 2), decoder.attention().remember(tape.constant(memory)));
        return asymmetric(outputs(decoder, unroll(decoder, tape.constant(x), start)));
      };
      CHECK(test::second_order_error(decoder, loss) < 1e-7);
    };
    check(AttentionCell(C(2, 2, rng), AdditiveAttention(2, 1, 2, rng)), 1);
    check(AttentionCell(C(2, 2, rng), DotAttention(2, 1, rng), Linear(3, 1, rng)), 1);
  });
}

TEST_CASE("a batch of sources of unequal length is the sources alone") {
  for_each_translator([](const auto& net) {
    net.to(DType::f64);
    Tape tape(DType::f64);
    const Tensor all = tape.constant(source), t = tape.constant(targets);
    const Tensor together = net.forced(all, tape.constant(lengths), t);
    const Tensor greedy = net.free_running(all, tape.constant(lengths), 3);
    for (Index n = 0; n < 3; ++n) {
      const Index length = lengths.span<std::int32_t>()[static_cast<std::size_t>(n)];
      const Tensor own = slice(column(all, n), 0, 0, length);
      const Tensor own_length = tape.constant(full({1}, static_cast<double>(length), DType::i32));
      const Tensor alone = net.forced(own, own_length, column(t, n));
      CHECK(relative_difference(column(together, n).array(), alone.array()) < 1e-12);
      CHECK(relative_difference(column(greedy, n).array(), net.free_running(own, own_length, 3).array()) < 1e-12);
    }
  });
}

TEST_CASE("free running reads what it wrote: forced with that, it writes the same") {
  for_each_translator([](const auto& net) {
    net.to(DType::f64);
    Tape tape(DType::f64);
    const Tensor s = tape.constant(source), n = tape.constant(lengths);
    const Tensor free = net.free_running(s, n, 3);
    const Array chosen = hardmax(free).array();
    Array written(Shape{3, 3}, DType::i32);
    for (Index i = 0; i < chosen.size(); ++i)
      if (chosen.span<double>()[static_cast<std::size_t>(i)] == 1)
        written.span<std::int32_t>()[static_cast<std::size_t>(i / symbols)] = static_cast<std::int32_t>(i % symbols);
    CHECK(distance(net.forced(s, n, tape.constant(written)), free) < 1e-13);
  });
}

TEST_CASE("it compiles, forced and free, and is drawn") {
  for_each_translator([](const auto& net) {
    net.to(DType::f64);
    const auto step = [&](Tape&, Tensor s, Tensor n, Tensor t) {
      const Tensor loss = cross_entropy(net.forced(s, n, t), t);
      backward(loss);
      return loss;
    };
    const CompileOptions f64{.dtype = DType::f64};
    auto train = compile(step, f64, source, lengths, targets);
    auto decode = compile([&](Tape&, Tensor s, Tensor n) { return net.free_running(s, n, 3); }, f64, source, lengths);
    for (const Array& other : {lengths, indices_of({1, 0, 3})}) {
      Tape tape(DType::f64);
      const Tensor s = tape.constant(source), n = tape.constant(other), t = tape.constant(targets);
      net.zero_grad();
      const double loss = step(tape, s, n, t).item();
      const Array g = net.table.grad();
      net.zero_grad();
      CHECK(train(source, other, targets).item() == doctest::Approx(loss).epsilon(1e-12));
      CHECK(relative_difference(net.table.grad(), g) < 1e-12);
      CHECK(relative_difference(decode(source, other).array(), net.free_running(s, n, 3).array()) < 1e-12);
    }
    CHECK(train.plans() == 1);
    Tape tape;
    net.forced(tape.constant(source), tape.constant(lengths), tape.constant(targets));
    std::ostringstream dot;
    write_dot(dot, tape, {.fold_time = true});
    CHECK(dot.str().find("softmax") != std::string::npos);
  });
}

TEST_CASE("beam search moves the source along with its hypotheses") {
  for_each_translator([](const auto& net) {
    net.to(DType::f32);
    Tape tape;
    const Tensor s = tape.constant(source), n = tape.constant(lengths);
    const Array greedy = hardmax(net.free_running(s, n, 3)).array();
    const Decoding<std::decay_t<decltype(net)>> model{net};
    TokenDecoder decoder(model, 3);
    decoder.set_state(save_state(net.start(s, n)));
    decoder.read(std::vector<std::int32_t>{1});
    const auto one = decoder.beam({.width = 1, .length = 3}), all = decoder.beam({.width = 64, .length = 3});
    for (std::size_t i = 0; i < 3; ++i) {
      REQUIRE(one[i][0].tokens.size() == 3);
      for (std::size_t t = 0; t < 3; ++t)
        CHECK(greedy.at({static_cast<Index>(t), static_cast<Index>(i), one[i][0].tokens[t]}) == 1);
      CHECK(all[i].size() == 64);
      CHECK(all[i][0].log_probability >= one[i][0].log_probability - 1e-6);
    }
  });
}

TEST_CASE("a state begins with a source, which it carries along") {
  Rng rng(1);
  const AttentionCell cell(LstmCell(4, 2, rng), DotAttention());
  static_assert(Cell<AttentionCell<LstmCell, DotAttention>>);
  Tape tape;
  CHECK_THROWS_WITH_AS(
      cell.zero_state(tape, 2),
      "attention_cell: a state begins with a source: use start(cell().zero_state(tape, batch), memory)", Error);
  CHECK(cell.parameters()[0].name == "cell.W");
  const auto start =
      cell.start(cell.cell().zero_state(tape, 2), cell.attention().remember(tape.constant(randoms({3, 2, 2}, 1))));
  const auto states =
      unroll(cell, tape.constant(randoms({5, 2, 2}, 2)), start, {.lengths = tape.constant(indices_of({5, 2}))});
  CHECK(states[4].memory.keys.same(start.memory.keys));  // what a step leaves alone is not copied
  CHECK(distance(slice(states[4].weights, 0, 1, 1), slice(states[1].weights, 0, 1, 1)) == 0);
  CHECK(distance(slice(states[4].weights, 0, 0, 1), slice(states[1].weights, 0, 0, 1)) > 0);
  const auto copy = cell.clone();
  const Tensor x = tape.constant(randoms({5, 2, 2}, 2));
  CHECK(distance(outputs(copy, unroll(copy, x, start)), outputs(cell, unroll(cell, x, start))) == 0);
}
