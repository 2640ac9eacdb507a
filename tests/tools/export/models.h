#pragma once

// What is exported in each form.

#include <string>
#include <vector>

#include <rewind/models/models.h>
#include <rewind/ops/ops.h>

namespace rw::test {

/// A built-in cell with options, and what its loop is in an ONNX file.
struct ExportedCell {
  const char *name, *onnx = "Scan";
};
inline constexpr ExportedCell exported_cells[] = {
    {"lstm", "LSTM"},
    {"lstm+nobias", "LSTM"},
    {"lstm+learned", "LSTM"},
    {"lstm+1997"},
    {"lstm+coupled"},
    {"lstm+peepholes"},
    {"lstm+all-peepholes"},
    {"lstm+projection=5"},
    {"lstm+norm"},
    {"lstm+coupled+peepholes+norm+learned"},
    {"lstm+heads=4"},
    {"lstm+zoneout=0.1/0.2"},
    {"gru", "GRU"},
    {"gru+before", "GRU"},
    {"gru+nobias", "GRU"},
    {"gru+takes"},
    {"gru-before+takes"},
    {"gru+before+heads=2"},
    {"gru+act=3"},
    {"gru+drop-x=0.2+drop-h=0.3", "GRU"},
    {"rnn", "RNN"},
    {"rnn+relu", "RNN"},
    {"irnn", "RNN"},
    {"rnn+learned+zoneout=0.1"},
    {"mgu"},
    {"jordan"},
    {"jordan+tanh"},
    {"jordan+sigmoid"},
    {"context"},
    {"context+decay=0.9"},
    {"slstm"},
    {"slstm+heads=3"},
    {"mlstm"},
    {"min-gru"},
    {"min-lstm"},
    {"lru"},
    {"sru"},
    {"qrnn"},
    {"indrnn"},
    {"multiplicative-lstm"},
    {"mogrifier"},
    {"mogrifier+rounds=2"},
    {"clockwork"},
    {"gru-ode"},
    {"gru-ode+euler+steps=4"},
    {"fast-weights"},
    {"echo-state+density=0.5"},
};

/// Numbers that leave no term out.
template <class M>
void randomise(const M& module, double size = 0.4) {
  Rng rng(3);
  for (const NamedParameter& p : module.parameters()) {
    Array value(p.parameter->shape(), p.parameter->dtype());
    visit_real(value.dtype(), [&]<class R>() {
      for (R& v : value.span<R>()) v = static_cast<R>(rng.uniform(-size, size));
    });
    p.parameter->set(value);
  }
}

/// A cell of one's own that looks back at x of a few steps before.
class DelayCell : public Module {
 public:
  struct State {
    Tensor h;
    std::vector<Tensor> delays;
  };
  DelayCell(Index in, Index steps, Rng& rng)
      : Module("delay"), steps_(steps), W_(param("W", glorot(rng, in, 4))), U_(param("U", glorot(rng, 4, 4))) {}
  State empty_state() const { return {{}, std::vector<Tensor>(static_cast<std::size_t>(steps_))}; }
  State zero_state(Tape& tape, Index batch) const {
    State s = empty_state();
    s.h = tape.constant(0, {batch, 4});
    for (Tensor& d : s.delays) d = tape.constant(0, {batch, W_.shape()[0]});
    return s;
  }
  State step(Tensor x, State s) const {
    s.h = tanh(matmul(x + s.delays.back() * 0.5, W_) + matmul(s.h, U_));
    s.delays.insert(s.delays.begin(), x);
    s.delays.pop_back();
    return s;
  }

 private:
  Index steps_;
  Parameter &W_, &U_;
};

/// An encoder of both directions, and a decoder that attends to all of it at each of its steps.
class Translator : public Module {
 public:
  using State = Bidirectional<LstmCell>::State;
  Translator(Index in, Rng& rng)
      : Module("translator"),
        encoder_(child("encoder", Bidirectional(LstmCell(in, 4, rng), LstmCell(in, 4, rng)))),
        decoder_(child("decoder", AttentionCell(GruCell(in + 8, 5, rng), AdditiveAttention(5, 8, 6, rng)))) {}
  State zero_state(Tape& tape, Index batch) const { return encoder_.zero_state(tape, batch); }
  Tensor operator()(Tensor x, State& s) const {
    const auto encoded = unroll(encoder_, x, s);
    s = last_state(encoder_, encoded);
    const auto start = decoder_.start(decoder_.cell().zero_state(x.tape(), x.size(1)),
                                      decoder_.attention().remember(outputs(encoder_, encoded)));
    return outputs(decoder_, unroll(decoder_, x, start));
  }

 private:
  Bidirectional<LstmCell>& encoder_;
  AttentionCell<GruCell, AdditiveAttention>& decoder_;
};

}  // namespace rw::test
