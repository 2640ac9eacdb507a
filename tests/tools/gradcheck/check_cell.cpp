// Every cell of the library, and cells that are wrong.
#include <type_traits>

#include <doctest/doctest.h>

#include <rewind/models/cells/clipped.h>
#include <rewind/models/models.h>
#include <rewind/ops/ops.h>
#include <rewind/tools/gradcheck/check_cell.h>

using namespace rw;

namespace {

CellReport by_name(const std::string& name, const CellCheck& check = {}) {
  return check_any_cell([&](Index in, Index hidden, Rng& rng) { return make_cell(name, in, hidden, rng); }, check);
}

// A few sizes, for variants of a cell that was tried at all of them.
const CellCheck few{.sizes = {{3, 2, 3, 33}, {2, 16, 5, 64}, {7, 1, 2, 3}}};

DotAttention attention(std::type_identity<DotAttention>, Index query, Rng& rng) { return DotAttention(query, 3, rng); }
AdditiveAttention attention(std::type_identity<AdditiveAttention>, Index query, Rng& rng) {
  return AdditiveAttention(query, 3, 4, rng);
}

/// A decoder and a source that is always there, the same for all rows: a state with attention begins with one.
template <class A>
class Attending : public Module {
 public:
  using Decoder = AttentionCell<GruCell, A>;
  using State = typename Decoder::State;
  Attending(Index in, Index hidden, Rng& rng)
      : Module("attending"),
        decoder_(
            child("decoder", Decoder(GruCell(in + 3, hidden, rng), attention(std::type_identity<A>(), hidden, rng)))) {
    Rng same(7);
    source_ = uniform(same, {4, 1, 3}, -1, 1);
  }
  State zero_state(Tape& tape, Index batch) const {
    return decoder_.start(decoder_.cell().zero_state(tape, batch),
                          decoder_.attention().remember(broadcast_to(tape.constant(source_), Shape{4, batch, 3})));
  }
  State step(Tensor x, State s) const { return decoder_.step(x, std::move(s)); }
  Tensor output(const State& s) const { return decoder_.output(s); }

 private:
  Array source_;
  Decoder& decoder_;
};

/// A minimal cell, and what may be wrong with one.
enum class Wrong { nothing, wider, more, mixes_rows, counts_steps, value, no_batch };

template <Wrong W>
class Odd : public Module {
 public:
  struct State {
    std::vector<Tensor> parts;
  };
  Odd(Index in, Index hidden, Rng& rng)
      : Module("odd"), W_(param("W", glorot(rng, in, hidden))), U_(param("U", orthogonal(rng, hidden))) {}
  State empty_state() const { return {std::vector<Tensor>(1)}; }
  State zero_state(Tape& tape, Index batch) const { return {{tape.constant(0.0, {batch, U_.shape()[0]})}}; }
  State step(Tensor x, State s) const {
    Tensor& h = s.parts[0];
    h = tanh(matmul(x, W_) + matmul(h, U_));
    if (W == Wrong::wider) h = concat({h, h}, 1);
    if (W == Wrong::more) s.parts.push_back(h);
    if (W == Wrong::mixes_rows) h = h - mean(h, {0}, true);
    if (W == Wrong::counts_steps) h = h * (1 + 0.1 * static_cast<double>(++steps_));
    if (W == Wrong::value && !x.tape().tracing()) h = h * (1 + 0.1 * Array(h.value()).at({0, 0}));
    return s;
  }
  Tensor output(const State& s) const { return W == Wrong::no_batch ? sum(s.parts[0]) : s.parts[0]; }

 private:
  Parameter &W_, &U_;
  mutable int steps_ = 0;
};

template <Wrong W>
std::string said_of() {
  const CellReport report = check_cell<Odd<W>>();
  CHECK(report.ok() == (W == Wrong::nothing));
  return report.message();
}

bool says(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("the library's cells") {
  CHECK(check_cell<LstmCell>());
  CHECK(check_cell<GruCell>());
  CHECK(check_cell<MguCell>());
  CHECK(check_cell<RnnCell>());
  CHECK(check_cell<JordanCell>([](Index in, Index hidden, Rng& rng) { return JordanCell(in, hidden, 3, rng); }, few));
  CHECK(check_cell<ContextCell>([](Index in, Index hidden, Rng& rng) { return ContextCell(in, hidden, 3, rng); }, few));
}

TEST_CASE("their options, by name") {
  for (const char* name : {"lstm+1997", "lstm+coupled+peepholes", "lstm+all-peepholes+norm+projection=2", "gru+before",
                           "gru+takes", "rnn-relu", "irnn", "jordan+tanh", "context+decay=0.5+nobias"}) {
    CAPTURE(name);
    CHECK(by_name(name, few));
  }
}

TEST_CASE("wrappers of cells, and stacks, which are cells") {
  CHECK(check_cell<Zoneout<LstmCell>>(
      [](Index in, Index hidden, Rng& rng) {
        return Zoneout(LstmCell(in, hidden, rng), {0.1, 0.3});
      },
      few));
  CHECK(check_cell<VariationalDropout<GruCell>>(
      [](Index in, Index hidden, Rng& rng) {
        return VariationalDropout(GruCell(in, hidden, rng), {.input = 0.2, .recurrent = 0.3});
      },
      few));
  CHECK(check_cell<LearnedStart<MguCell>>(
      [](Index in, Index hidden, Rng& rng) { return LearnedStart(MguCell(in, hidden, rng)); }, few));
  CHECK(check_cell<Stack<LstmCell>>(
      [](Index in, Index hidden, Rng& rng) {
        std::vector<LstmCell> layers;
        layers.push_back(LstmCell(in, hidden, rng));
        layers.push_back(LstmCell(hidden, hidden, rng));
        return Stack<LstmCell>(std::move(layers));
      },
      few));
}

TEST_CASE("decoders with attention, and clipped cells where nothing is limited") {
  CellCheck check = few;
  check.start = 0;  // the weights of a state are no such numbers, and neither is its mask
  CHECK(check_cell<Attending<DotAttention>>(check));
  CHECK(check_cell<Attending<AdditiveAttention>>(check));
  CHECK(check_cell<Clipped<GruCell>>(
      [](Index in, Index hidden, Rng& rng) { return Clipped(GruCell(in, hidden, rng), 1e6); }, few));
}

TEST_CASE("a cell that is wrong is told what is wrong") {
  CHECK(says(said_of<Wrong::nothing>(), "all right"));
  CHECK(says(said_of<Wrong::wider>(),
             "a step makes tensor 0 of the state (3, 8), which was (3, 4): the shape must stay"));
  CHECK(says(said_of<Wrong::more>(), "the state has 1 tensors, empty_state() 1, and 2 after a step"));
  CHECK(says(said_of<Wrong::no_batch>(), "the output is (): its first axis must be the batch, 3"));
  CHECK(says(said_of<Wrong::mixes_rows>(), "rows: the first sequence of a batch, beside the same alone"));
  const std::string counts = said_of<Wrong::counts_steps>();
  CHECK(says(counts, "the function is not the same twice"));
  CHECK(says(said_of<Wrong::value>(), "its plan, "));
}
