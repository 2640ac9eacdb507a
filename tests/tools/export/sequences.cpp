// Models of whole sequences as headers: both directions, attention, functions of a sequence.

#include <algorithm>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <rewind/models/models.h>
#include <rewind/ops/ops.h>

#include "exported.h"
#include "models.h"

namespace rw {
namespace {

using namespace rw::test;

constexpr Index in = 3;

/// A sequence's outputs and last state, as a header and on the tape.
class Sequences {
 public:
  template <Layer L>
  void layer(const std::string& name, const L& layer, Index least = 1) {
    randomise(layer);
    add(
        name, [&](DType real) { return record_sequence(layer, in, real); },
        [&](Tape& tape) { return layer.zero_state(tape, 1); },
        [&](Tensor x, typename L::State& s) {
          const auto states = unroll(layer, x, s);
          s = last_state(layer, states);
          return outputs(layer, states);
        },
        0, least);
  }
  template <class Record, class ZeroState, class Run>
  void add(const std::string& name, const Record& record, const ZeroState& zero_state, const Run& run,
           Index indices = 0, Index least = 1) {
    std::vector<DType> reals{DType::f32};
    if (full() || trials_.empty()) reals.push_back(DType::f64);
    for (const DType real : reals) {
      Trial t{.name = name, .number = exports_.add(record(real)), .least = least, .real = real};
      for (const Index steps : {least, least + 1, least + 2, Index{40}})
        t.runs.push_back(expected(steps, zero_state, run, indices));
      trials_.push_back(std::move(t));
    }
  }

  void check() {
    exports_.load();
    for (const Trial& t : trials_) {
      CAPTURE(t.name);
      CHECK(static_cast<Index>(exports_.size(t.number, 1, 2)) <= t.least);
      for (const Expected& e : t.runs) {
        CAPTURE(e.x.shape()[0]);
        const auto [y, last] = exports_.run_sequence(t.number, e.x);
        // A small result may be what is left of states that nearly cancel: roundings are as large as those.
        const double most = std::max({largest(e.y64), largest(e.last64), 1e-30});
        check_near(y, e.y32, e.y64, t.real, most);
        check_near(last, e.last32, e.last64, t.real, most);
      }
    }
  }

 private:
  struct Expected {
    Array x{}, y32{}, y64{}, last32{}, last64{};
  };
  struct Trial {
    std::string name;
    std::size_t number = 0;
    Index least = 1;
    DType real = DType::f32;
    std::vector<Expected> runs{};
  };
  template <class ZeroState, class Run>
  static Expected expected(Index steps, const ZeroState& zero_state, const Run& run, Index indices) {
    Rng rng(7);
    Expected e{.x = uniform(rng, {steps, 1, in}, -1, 1)};
    if (indices > 0) {
      e.x = Array(Shape{steps, 1}, DType::i32);
      for (std::int32_t& i : e.x.span<std::int32_t>()) i = static_cast<std::int32_t>(rng.below(indices));
    }
    for (const DType real : {DType::f32, DType::f64}) {
      Tape tape(real);
      auto state = zero_state(tape);
      const Array y = run(tape.constant(e.x), state).array();
      std::vector<double> last;
      for_each_tensor(state, [&](const Tensor& t) {
        const auto more = t.array().template to_vector<double>();
        last.insert(last.end(), more.begin(), more.end());
      });
      const Shape row{static_cast<Index>(last.size())};
      (real == DType::f32 ? e.y32 : e.y64) = y;
      (real == DType::f32 ? e.last32 : e.last64) = Array(last, row);
    }
    return e;
  }
  static void check_near(const Array& found, const Array& tape32, const Array& tape64, DType real, double most) {
    if (real == DType::f64) {
      CHECK(difference(found, tape64) <= 1e-13 * most);
      return;
    }
    CHECK(difference(found, tape32) <= 2e-6 * most);
    CHECK(difference(found, tape64) <= 2 * difference(tape32, tape64) + 4 * 6e-8 * most);
  }

  Exports exports_;
  std::vector<Trial> trials_;
};

TEST_CASE("both directions, stacks of them and readouts as headers that run over sequences") {
  Sequences sequences;
  Rng rng(5);
  sequences.layer("both", Bidirectional(LstmCell(in, 5, rng), GruCell(in, 4, rng)));
  sequences.layer("added",
                  Bidirectional(MguCell(in, 5, rng), MguCell(in, 5, rng), {.merge = BidirectionalOptions::Merge::sum}));
  const auto both = [&](Index width) { return Bidirectional(RnnCell(width, 4, rng), RnnCell(width, 4, rng)); };
  sequences.layer("two layers of both", Stack({both(in), both(8)}));
  sequences.layer("three layers of both", Stack({both(in), both(8), both(8)}));
  sequences.layer("a stack", Stack({RnnCell(in, 5, rng), RnnCell(5, 5, rng), RnnCell(5, 5, rng), RnnCell(5, 5, rng)}));
  const Readout<Bidirectional<RnnCell>> network{both(in), Linear(8, 2, rng)};
  randomise(network);
  using State = Bidirectional<RnnCell>::State;
  sequences.add(
      "readout", [&](DType real) { return record_sequence(network, in, real); },
      [&](Tape& tape) { return network.cell().zero_state(tape, 1); },
      [&](Tensor x, State& s) {
        const auto states = unroll(network.cell(), x, s);
        s = last_state(network.cell(), states);
        return network.head()(outputs(network.cell(), states));
      });
  sequences.check();
}

TEST_CASE("cells and options as headers that run over sequences") {
  Sequences sequences;
  Rng rng(5);
  for (const auto& [name, onnx] : exported_cells) {
    if (!full() && std::string(name) != "qrnn" && std::string(name) != "lstm+coupled+peepholes+norm+learned") continue;
    AnyCell cell = make_cell(name, in, 12, rng);
    cell.eval();
    sequences.layer(name, cell);
  }
  for (const Index steps : {2, 3, 1, 4})
    if (full() || steps == 2 || steps == 3) sequences.layer("delays", DelayCell(in, steps, rng), 2 * steps);
  sequences.check();
}

TEST_CASE("functions of a sequence as headers: means, attention over all steps, characters") {
  Sequences sequences;
  Rng rng(3);
  const RnnCell cell(in, 6, rng);
  randomise(cell);
  const auto zero = [&](Tape& tape, Index batch) { return cell.zero_state(tape, batch); };
  const auto add = [&](const std::string& name, const auto& f) {
    const auto run = [&cell, f](Tensor x, RnnCell::State& s) {
      const auto states = unroll(cell, x, s);
      s = states.back();
      return f(outputs(cell, states), s);
    };
    sequences.add(
        name, [&](DType real) { return record_sequence({{in}}, real, zero, run); },
        [&](Tape& tape) { return zero(tape, 1); }, run);
  };
  add("mean", [](Tensor all, auto&) { return softmax(mean(all, 0)); });
  add("self-attention", [](Tensor all, auto&) {  // every step looks at all
    const Tensor rows = permute(all, {1, 0, 2});
    const Tensor scores = matmul(rows, rows, {.transpose_b = true}) * 0.4;
    return permute(matmul(softmax(scores), rows), {1, 0, 2});
  });
  add("sorted and filtered over time", [](Tensor all, auto&) {
    const Tensor rows = permute(all, {1, 2, 0});  // [N, 6, T]
    const Tensor filtered = avg_pool1d(rows, 3, {.stride = 1, .padding = 1});
    return permute(sort(rows) + filtered + linear_recurrence(sigmoid(rows), rows, -1), {2, 0, 1});
  });
  add("over time", [](Tensor all, auto&) {
    return concat({cumsum(all, 0), flip(all, 0), all - max(all, {0}, true), log_softmax(all),
                   broadcast_to(logsumexp(all, 0), all.shape())},
                  -1);
  });
  const AdditiveAttention attention(6, 6, 5, rng);
  randomise(attention);
  add("additive attention", [&](Tensor all, auto& s) { return attention(s.h, attention.remember(all)).context; });

  const Translator translator(in, rng);
  randomise(translator);
  sequences.add(
      "an attending decoder",
      [&](DType real) {
        return record_sequence(
            {{in}}, real, [&](Tape& tape, Index batch) { return translator.zero_state(tape, batch); },
            [&](Tensor x, Translator::State& s) { return translator(x, s); });
      },
      [&](Tape& tape) { return translator.zero_state(tape, 1); },
      [&](Tensor x, Translator::State& s) { return translator(x, s); });

  CharModel text(Vocabulary(U"abcdefg"), {.cell = "rnn", .layers = 2, .hidden = 6, .embedding = 4}, rng);
  randomise(text);
  sequences.add(
      "text", [&](DType real) { return record_sequence(text, real); },
      [&](Tape& tape) { return text.zero_state(tape, 1); },
      [&](Tensor x, CharModel::State& s) { return text.logits(x, s); }, 7);
  sequences.check();
}

TEST_CASE("headers of sequences: weights beside, int8, few steps, and what has no form") {
  Rng rng(8);
  const Bidirectional layer(LstmCell(in, 9, rng), LstmCell(in, 9, rng));
  randomise(layer);
  const RecordedSequence sequence = record_sequence(layer, in);
  Exports exports;
  const std::size_t exact = exports.add(sequence), rounded = exports.add(sequence, {.int8 = true});
  exports.load();
  const Array x = uniform(rng, {20, 1, in}, -1, 1);
  const auto y = exports.run_sequence(exact, x), z = exports.run_sequence(rounded, x);
  const double off = difference(y.first, z.first);
  CHECK(off > 1e-4);
  CHECK(off < 0.05 * largest(y.first));
  CHECK(exports.size(exact, 0, 0) == 0);
  CHECK_THROWS_AS(exports.run_sequence(exact, Array(Shape{0, 1, in})), Error);

  const HeaderFile beside = make_header(sequence, {.weights_in_header = false});
  CHECK(beside.text.find("weights_in(") != std::string::npos);
  CHECK(beside.weights.size() >= static_cast<std::size_t>(layer.parameter_count()) * 4);

  const auto refused = [&](auto f) -> std::string {
    try {
      make_header(record_sequence(
          {{in}}, DType::f32,
          [](Tape& tape, Index batch) {
            return tape.constant(0, {batch, 1});
          },
          [&](Tensor x, Tensor&) { return f(x); }));
    } catch (const Error& e) {
      return e.what();
    }
    return "";
  };
  CHECK(refused([](Tensor x) {
          return lower_factor(permute(x, {1, 2, 0}));
        }).find("[lower_factor]") != std::string::npos);
  CHECK(refused([](Tensor x) { return slice(x, 0, 0, x.size(0) / 2); }).find("depends on the length") !=
        std::string::npos);
  CHECK(refused([](Tensor x) {
          return clamp(x, 0, 0.1 * static_cast<double>(x.size(0)));
        }).find("depends on the length") != std::string::npos);
  CHECK_THROWS_AS(make_header(sequence, {.name = "2nd"}), Error);
  const auto grows = record_sequence(
      {{in}}, DType::f32,
      [](Tape& tape, Index batch) {
        return tape.constant(0, {batch, 1});
      },
      [](Tensor x, Tensor& s) { return s = sum(x, {0}) + s; });
  CHECK_THROWS_WITH_AS(make_header(grows),
                       "export: tensor 0 of the state has 1 numbers before the first step and 3 after the last", Error);
}

}  // namespace
}  // namespace rw
