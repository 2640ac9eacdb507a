#include <array>
#include <string>

#include <rewind/models/any_cell.h>
#include <rewind/models/gru_cell.h>
#include <rewind/models/lstm_cell.h>
#include <rewind/models/rnn_cell.h>

namespace rw {
namespace {

struct Kind {
  std::string_view name;
  AnyCell (*make)(Index in, Index hidden, Rng& rng, const AnyCellOptions& options);
};

template <class Options>
Options own_options(const AnyCellOptions& from, Options options) {
  options.bias = from.bias;
  options.weights = from.weights;
  options.recurrent = from.recurrent;
  options.biases = from.biases;
  return options;
}

AnyCell make_lstm(Index in, Index hidden, Rng& rng, const AnyCellOptions& options) {
  return AnyCell(LstmCell(in, hidden, rng, own_options<LstmOptions>(options, {.forget_bias = options.forget_bias})));
}
template <GruOptions::Reset reset>
AnyCell make_gru(Index in, Index hidden, Rng& rng, const AnyCellOptions& options) {
  return AnyCell(GruCell(in, hidden, rng, own_options<GruOptions>(options, {.reset = reset})));
}
template <RnnOptions::Activation activation>
AnyCell make_rnn(Index in, Index hidden, Rng& rng, const AnyCellOptions& options) {
  return AnyCell(RnnCell(in, hidden, rng, own_options<RnnOptions>(options, {.activation = activation})));
}

constexpr std::array<Kind, 5> kinds{{{"lstm", make_lstm},
                                     {"gru", make_gru<GruOptions::Reset::after>},
                                     {"gru-before", make_gru<GruOptions::Reset::before>},
                                     {"rnn", make_rnn<RnnOptions::Activation::tanh>},
                                     {"rnn-relu", make_rnn<RnnOptions::Activation::relu>}}};

}  // namespace

std::span<const std::string_view> cell_names() {
  static constexpr auto names = [] {
    std::array<std::string_view, kinds.size()> all;
    for (std::size_t i = 0; i < kinds.size(); ++i) all[i] = kinds[i].name;
    return all;
  }();
  return names;
}

AnyCell make_cell(std::string_view name, Index in, Index hidden, Rng& rng, const AnyCellOptions& options) {
  std::string known;
  for (const Kind& kind : kinds) {
    if (kind.name == name) return kind.make(in, hidden, rng, options);
    known += (known.empty() ? "" : ", ") + std::string(kind.name);
  }
  throw Error("no cell '" + std::string(name) + "'; there are: " + known);
}

}  // namespace rw
