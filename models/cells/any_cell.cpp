#include <array>
#include <cmath>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include <rewind/models/cells/adaptive.h>
#include <rewind/models/cells/any_cell.h>
#include <rewind/models/cells/choices.h>
#include <rewind/models/cells/clockwork.h>
#include <rewind/models/cells/context.h>
#include <rewind/models/cells/fast_weights.h>
#include <rewind/models/cells/gru.h>
#include <rewind/models/cells/gru_ode.h>
#include <rewind/models/cells/jordan.h>
#include <rewind/models/cells/learned_start.h>
#include <rewind/models/cells/linear_cells.h>
#include <rewind/models/cells/lstm.h>
#include <rewind/models/cells/lstm_variants.h>
#include <rewind/models/cells/mgu.h>
#include <rewind/models/cells/rnn.h>
#include <rewind/models/cells/variational_dropout.h>
#include <rewind/models/cells/xlstm.h>
#include <rewind/models/cells/zoneout.h>
#include <rewind/models/classic/echo_state.h>

namespace rw {
namespace {

using detail::CellChoices;
using Names = std::span<const std::string_view>;

/// What `make_cell` is asked for.
struct Wanted {
  Index in, hidden;
  Rng& rng;
  const AnyCellOptions& own;
  const CellOptions& shared;
  const CellChoices& choices;
};

struct Kind {
  std::string_view name;
  Names options;
  AnyCell (*make)(const Wanted& w);
};

constexpr std::string_view lstm_options[] = {"1997",        "coupled", "peepholes", "all-peepholes",
                                             "projection=", "norm",    "heads="};

AnyCell make_lstm(const Wanted& w) {
  const CellChoices& c = w.choices;
  LstmOptions own{.forget_gate = !c.has("1997"),
                  .coupled = c.has("coupled"),
                  .projection = c.count("projection"),
                  .layer_norm = c.has("norm")};
  if (own.forget_gate) own.forget_bias = w.own.forget_bias;
  if (c.has("peepholes")) own.peepholes = LstmOptions::Peepholes::gates;
  if (c.has("all-peepholes")) own.peepholes = LstmOptions::Peepholes::all;
  return AnyCell(LstmCell(w.in, w.hidden, w.rng, own, w.shared));
}

constexpr std::string_view gru_options[] = {"before", "takes", "heads="};

AnyCell make_gru(const Wanted& w) {
  const CellChoices& c = w.choices;
  GruOptions own;
  if (c.has("before") || c.name() == "gru-before") own.reset = GruOptions::Reset::before;
  if (c.has("takes")) own.update = GruOptions::Update::takes;
  return AnyCell(GruCell(w.in, w.hidden, w.rng, own, w.shared));
}

constexpr std::string_view gated_options[] = {"heads="};

/// A cell of no options but the common ones.
template <class C>
AnyCell make_plain(const Wanted& w) {
  return AnyCell(C(w.in, w.hidden, w.rng, w.shared));
}

constexpr std::string_view rnn_options[] = {"relu", "heads="};

AnyCell make_rnn(const Wanted& w) {
  const CellChoices& c = w.choices;
  RnnOptions own;
  if (c.has("relu") || c.name() == "rnn-relu") own.activation = RnnOptions::Activation::relu;
  return AnyCell(RnnCell(w.in, w.hidden, w.rng, own, w.shared));
}

AnyCell make_irnn(const Wanted& w) { return AnyCell(RnnCell::irnn(w.in, w.hidden, w.rng, 1, w.shared)); }

constexpr std::string_view jordan_options[] = {"tanh", "sigmoid", "heads="};

AnyCell make_jordan(const Wanted& w) {
  const CellChoices& c = w.choices;
  JordanOptions own;
  if (c.has("tanh")) own.output = JordanOptions::Output::tanh;
  if (c.has("sigmoid")) own.output = JordanOptions::Output::sigmoid;
  return AnyCell(JordanCell(w.in, w.hidden, w.hidden, w.rng, own, w.shared));
}

constexpr std::string_view context_options[] = {"decay=", "heads="};

AnyCell make_context(const Wanted& w) {
  const ContextOptions own{.decay = w.choices.number("decay")};
  return AnyCell(ContextCell(w.in, w.hidden, w.hidden, w.rng, own, w.shared));
}

/// How often a step does something, each time of which is recorded.
int repeats(const CellChoices& c, std::string_view option, int otherwise) {
  if (c.numbers(option).empty()) return otherwise;
  const Index n = c.count(option);
  if (n > 1000) throw Error(fmt::format("{}: {} is {}: it must be at most 1000", c.name(), option, n));
  return static_cast<int>(n);
}

constexpr std::string_view mogrifier_options[] = {"rounds=", "heads="};

AnyCell make_mogrifier(const Wanted& w) {
  return AnyCell(MogrifierLstmCell(w.in, w.hidden, w.rng, w.shared, repeats(w.choices, "rounds", 5)));
}

constexpr std::string_view clockwork_options[] = {"periods="};

AnyCell make_clockwork(const Wanted& w) {
  std::vector<Index> periods;
  for (const double period : w.choices.numbers("periods")) {
    if (period != std::floor(period) || period < 1 || period > 1e6)
      throw Error(fmt::format("clockwork: a period of {}: it must be a whole number from 1 to 1000000", period));
    periods.push_back(static_cast<Index>(period));
  }
  if (periods.empty()) {  // as many of 1, 2, 4, 8 as can share the hidden units
    Index groups = 4;
    while (w.hidden % groups != 0) --groups;
    for (Index g = 0; g < groups; ++g) periods.push_back(Index{1} << g);
  }
  return AnyCell(ClockworkCell(w.in, w.hidden, w.rng, periods, w.shared));
}

constexpr std::string_view gru_ode_options[] = {"euler", "steps=", "heads="};

AnyCell make_gru_ode(const Wanted& w) {
  const CellChoices& c = w.choices;
  GruOdeOptions own;
  if (c.has("euler")) own.solver = GruOdeOptions::Solver::euler;
  own.steps = repeats(c, "steps", own.steps);
  return AnyCell(GruOdeCell(w.in, w.hidden, w.rng, own, w.shared));
}

/// Its matrices start in their own ways, whatever `w.shared` says of them.
AnyCell make_fast_weights(const Wanted& w) {
  const CellOptions shared{.bias = w.shared.bias, .biases = w.shared.biases, .heads = w.shared.heads};
  return AnyCell(FastWeightsCell(w.in, w.hidden, w.rng, shared));
}

constexpr std::string_view echo_state_options[] = {"radius=", "leak=", "density=", "scale="};

AnyCell make_echo_state(const Wanted& w) {
  const CellChoices& c = w.choices;
  EchoStateOptions o;
  o.bias = w.shared.bias != Bias::none;
  const auto take = [&](std::string_view option, double& value) {
    if (!c.numbers(option).empty()) value = c.number(option);
  };
  take("radius", o.spectral_radius);
  take("leak", o.leak);
  take("density", o.density);
  take("scale", o.input_scale);
  return AnyCell(EchoStateNetwork(w.in, w.hidden, w.hidden, w.rng, o));
}

constexpr Kind kinds[] = {{"lstm", lstm_options, make_lstm},
                          {"gru", gru_options, make_gru},
                          {"gru-before", Names(gru_options).subspan(1), make_gru},
                          {"mgu", gated_options, make_plain<MguCell>},
                          {"rnn", rnn_options, make_rnn},
                          {"rnn-relu", gated_options, make_rnn},
                          {"irnn", gated_options, make_irnn},
                          {"jordan", jordan_options, make_jordan},
                          {"context", context_options, make_context},
                          {"slstm", gated_options, make_plain<SlstmCell>},
                          {"mlstm", {}, make_plain<MlstmCell>},
                          {"min-gru", {}, make_plain<MinGruCell>},
                          {"min-lstm", {}, make_plain<MinLstmCell>},
                          {"lru", {}, make_plain<LruCell>},
                          {"sru", {}, make_plain<SruCell>},
                          {"qrnn", {}, make_plain<QrnnCell>},
                          {"indrnn", {}, make_plain<IndRnnCell>},
                          {"multiplicative-lstm", gated_options, make_plain<MultiplicativeLstmCell>},
                          {"mogrifier", mogrifier_options, make_mogrifier},
                          {"clockwork", clockwork_options, make_clockwork},
                          {"gru-ode", gru_ode_options, make_gru_ode},
                          {"fast-weights", gated_options, make_fast_weights},
                          {"echo-state", echo_state_options, make_echo_state}};

constexpr std::string_view shared_options[] = {"nobias", "drop-x=", "drop-h=", "zoneout=", "learned", "act="};

AnyCell wrapped(AnyCell cell, const AnyCellOptions& own, const CellChoices& c) {
  const VariationalDropoutOptions drop{.input = c.number("drop-x"), .recurrent = c.number("drop-h"), .key = own.key};
  if (drop.input != 0 || drop.recurrent != 0) cell = AnyCell(VariationalDropout(std::move(cell), drop));
  if (const std::vector<double> rates = c.numbers("zoneout"); !rates.empty())
    cell = AnyCell(Zoneout(std::move(cell), rates));
  if (c.has("learned")) cell = AnyCell(LearnedStart(std::move(cell)));
  return cell;
}

const Kind& checked_kind(const CellChoices& choices) {
  for (const Kind& kind : kinds) {
    if (kind.name != choices.name()) continue;
    choices.check(kind.options, shared_options);
    return kind;
  }
  throw Error(fmt::format("no cell '{}'; there are: {}", choices.name(), detail::listed(cell_names())));
}

}  // namespace

std::span<const std::string_view> cell_names() {
  static constexpr auto names = [] {
    std::array<std::string_view, std::size(kinds)> all;
    for (std::size_t i = 0; i < std::size(kinds); ++i) all[i] = kinds[i].name;
    return all;
  }();
  return names;
}

std::string cells_with_options() {
  const auto options = [](Names names) {
    std::string text;
    for (std::string_view name : names) text += (text.empty() ? "+" : " +") + std::string(name);
    return text;
  };
  std::string all;
  for (const Kind& kind : kinds) {
    all += (all.empty() ? "" : ", ") + std::string(kind.name);
    if (!kind.options.empty()) all += " (" + options(kind.options) + ")";
  }
  return all + "; any with " + options(shared_options);
}

AnyCell make_cell(std::string_view name, Index in, Index hidden, Rng& rng, const AnyCellOptions& own,
                  const CellOptions& shared) {
  const CellChoices choices(name);
  const Kind& kind = checked_kind(choices);
  CellOptions named = shared;
  if (choices.has("nobias")) named.bias = Bias::none;
  if (!choices.numbers("heads").empty()) named.heads = choices.count("heads");
  const auto made = [&](Index width) { return kind.make({width, hidden, rng, own, named, choices}); };
  if (choices.numbers("act").empty()) return wrapped(made(in), own, choices);
  AnyCell round = made(in + 1);
  const AdaptiveOptions adaptive{.at_most = repeats(choices, "act", 0)};
  return wrapped(AnyCell(AdaptiveCell(std::move(round), rng, adaptive)), own, choices);
}

AnyCell make_cell(std::string_view name, Index in, Index hidden, Rng& rng, const CellOptions& shared) {
  return make_cell(name, in, hidden, rng, {}, shared);
}

void check_cell_name(std::string_view name) { checked_kind(CellChoices(name)); }

}  // namespace rw
