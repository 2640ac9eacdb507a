// Weights for oneDNN, against its primitives. This test may include oneDNN, as core/gemm/ does.

#include <doctest/doctest.h>
#include <oneapi/dnnl/dnnl.hpp>

#include <rewind/core/error.h>
#include <rewind/models/weights/onednn.h>

#include "golden_layers.h"

using namespace rw;
using namespace rw::test;

namespace {

using dnnl::memory;
using Tag = memory::format_tag;

constexpr Index T = 4, N = 3, I = 3, H = 3;  // as wide as the input, as oneDNN has it for several layers

memory::desc desc(memory::dims dims, Tag tag) { return memory::desc(dims, memory::data_type::f32, tag); }

// How many layers and directions of which cell a primitive runs.
struct Case {
  Index layers, directions, gates, bias_rows;
  Index out = H;  // width of h
  bool lstm = false, peepholes = false;
};

// What a primitive is described by.
struct Descs {
  dnnl::rnn_direction direction;
  memory::desc x, h, c, W, R, peepholes, projection, b, y;
};

// oneDNN 3 describes a primitive in one step, oneDNN 2 in two.
template <class Primitive, class... Parts>
typename Primitive::primitive_desc described(const dnnl::engine& engine, const Parts&... parts) {
#if DNNL_VERSION_MAJOR >= 3
  return typename Primitive::primitive_desc(engine, parts...);
#else
  return typename Primitive::primitive_desc(typename Primitive::desc(parts...), engine);
#endif
}

// One run of a primitive over our weights.
class PrimitiveRun {
 public:
  PrimitiveRun(const WeightMap& map, OnednnLayout layout, const Case& which)
      : weights_{map.get(), {}}, digo_(layout == OnednnLayout::ldigo), case_(which) {
    Rng rng(5);
    const Index rows = which.layers * which.directions;
    x = uniform(rng, {T, N, I}, -1, 1);
    h0 = uniform(rng, {rows, N, which.out}, -1, 1);
    c0 = uniform(rng, {rows, N, H}, -1, 1);
    y = Array(Shape{T, N, which.directions * which.out});
    hn = Array(h0.shape());
    cn = Array(c0.shape());
  }

  template <class Primitive, class Describe>
  void run(Describe&& describe) {
    const Descs d = descs();
    const typename Primitive::primitive_desc pd = describe(d, engine_);
    std::unordered_map<int, memory> args{
        {DNNL_ARG_SRC_LAYER, over(x, d.x)},
        {DNNL_ARG_SRC_ITER, over(h0, d.h)},
        {DNNL_ARG_WEIGHTS_LAYER, matrices("weights_layer", I, pd.weights_layer_desc())},
        {DNNL_ARG_WEIGHTS_ITER, matrices("weights_iter", case_.out, pd.weights_iter_desc())},
        {DNNL_ARG_BIAS, over(array("bias"), d.b)},
        {DNNL_ARG_DST_LAYER, over(y, d.y)},
        {DNNL_ARG_DST_ITER, over(hn, d.h)}};
    if (case_.lstm) {
      args.insert({DNNL_ARG_SRC_ITER_C, over(c0, d.c)});
      args.insert({DNNL_ARG_DST_ITER_C, over(cn, d.c)});
    }
    if (case_.peepholes) args.insert({DNNL_ARG_WEIGHTS_PEEPHOLE, over(array("weights_peephole"), d.peepholes)});
    if constexpr (requires { pd.weights_projection_desc(); })
      if (case_.out != H)
        args.insert({DNNL_ARG_WEIGHTS_PROJECTION,
                     liked(array("weights_projection"), desc({L(), D(), H, case_.out}, digo_ ? Tag::ldio : Tag::ldoi),
                           pd.weights_projection_desc())});
    Primitive(pd).execute(stream_, args);
    stream_.wait();
  }

  Array x, h0, c0, y, hn, cn;

 private:
  Index L() const { return case_.layers; }
  Index D() const { return case_.directions; }

  Descs descs() const {
    const auto matrix = [&](Index in) { return desc({L(), D(), in, case_.gates, H}, Tag::any); };
    return {.direction =
                D() == 1 ? dnnl::rnn_direction::unidirectional_left2right : dnnl::rnn_direction::bidirectional_concat,
            .x = desc({T, N, I}, Tag::tnc),
            .h = desc({L(), D(), N, case_.out}, Tag::ldnc),
            .c = desc({L(), D(), N, H}, Tag::ldnc),
            .W = matrix(I),
            .R = matrix(case_.out),
            .peepholes = case_.peepholes ? desc({L(), D(), 3, H}, Tag::ldgo) : memory::desc(),
            .projection = case_.out != H ? desc({L(), D(), H, case_.out}, Tag::any) : memory::desc(),
            .b = desc({L(), D(), case_.bias_rows, H}, Tag::ldgo),
            .y = desc({T, N, D() * case_.out}, Tag::tnc)};
  }
  Array& array(const std::string& name) {
    for (NamedArray& a : weights_.arrays)
      if (a.name == name) return a.array;
    throw Error("no array " + name);
  }
  memory over(Array& a, const memory::desc& d) { return memory(d, engine_, a.view().data); }
  // oneDNN puts the numbers into the order it likes best.
  memory liked(Array& a, const memory::desc& ours, const memory::desc& best) {
    memory given = over(a, ours), own(best, engine_);
    dnnl::reorder(given, own).execute(stream_, given, own);
    stream_.wait();
    return own;
  }
  memory matrices(const char* name, Index in, const memory::desc& best) {
    return liked(array(name), desc({L(), D(), in, case_.gates, H}, digo_ ? Tag::ldigo : Tag::ldgoi), best);
  }

  dnnl::engine engine_{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream_{engine_};
  ArrayFile weights_;
  bool digo_;
  Case case_;
};

constexpr auto inference = dnnl::prop_kind::forward_inference;

Case case_of(const RnnCell&) { return {1, 1, 1, 1}; }
void run_primitive(PrimitiveRun& run, const RnnCell&) {
  run.run<dnnl::vanilla_rnn_forward>([](const Descs& d, const dnnl::engine& engine) {
    return described<dnnl::vanilla_rnn_forward>(engine, inference, dnnl::algorithm::eltwise_tanh, d.direction, d.x, d.h,
                                                d.W, d.R, d.b, d.y, d.h);
  });
}

Case case_of(const LstmCell& cell) {
  return {1, 1, 4, 4, cell.out(), true, cell.options().peepholes != LstmOptions::Peepholes::none};
}
void run_primitive(PrimitiveRun& run, const LstmCell&) {
  run.run<dnnl::lstm_forward>([](const Descs& d, const dnnl::engine& engine) {
    return described<dnnl::lstm_forward>(engine, inference, d.direction, d.x, d.h, d.c, d.W, d.R, d.peepholes,
                                         d.projection, d.b, d.y, d.h, d.c);
  });
}

bool resets_after(const GruCell& cell) { return cell.options().reset == GruOptions::Reset::after; }
Case case_of(const GruCell& cell) { return {1, 1, 3, resets_after(cell) ? 4 : 3}; }
template <class Primitive>
void run_gru(PrimitiveRun& run) {
  run.run<Primitive>([](const Descs& d, const dnnl::engine& engine) {
    return described<Primitive>(engine, inference, d.direction, d.x, d.h, d.W, d.R, d.b, d.y, d.h);
  });
}
void run_primitive(PrimitiveRun& run, const GruCell& cell) {
  resets_after(cell) ? run_gru<dnnl::lbr_gru_forward>(run) : run_gru<dnnl::gru_forward>(run);
}

// Biases, and peepholes, which start at 0, become random.
void randomise(const Module& layer) {
  Rng rng(3);
  for (const NamedParameter& p : layer.parameters())
    if (p.parameter->shape().rank() == 1) p.parameter->set(uniform(rng, p.parameter->shape(), -0.5, 0.5));
}

template <class C, class L>
void compare(const L& layer, const C& cell, Index layers, Index directions) {
  randomise(layer);
  for (const OnednnLayout layout : {OnednnLayout::ldigo, OnednnLayout::ldgoi}) {
    Case which = case_of(cell);
    which.layers = layers;
    which.directions = directions;
    PrimitiveRun theirs(onednn_weights(layer, layout), layout, which);
    run_primitive(theirs, cell);
    Tape tape;
    std::vector<Tensor> first{tape.constant(theirs.h0)};
    if (which.lstm) first.push_back(tape.constant(theirs.c0));
    const Passed ours = run_layer(layer, tape.constant(theirs.x), first);
    check_close("y", theirs.y, ours.y.value(), 2e-6);
    check_close("hn", theirs.hn, ours.last[0].value(), 2e-6);
    if (which.lstm) check_close("cn", theirs.cn, ours.last[1].value(), 2e-6);
  }
}

template <class C, class Options>
void compare_all(const Options& own) {
  for (const Bias bias : {Bias::one, Bias::two}) {
    const CellOptions shared{.bias = bias};
    Rng rng(1);
    const C cell(I, H, rng, own, shared);
    compare<C>(cell, cell, 1, 1);
    const Stack<C> stack = stacked<C>({I, H}, H, own, shared);
    if (case_of(cell).out == H) compare<C>(stack, stack.layer(0), 2, 1);
    const Bidirectional<C> both(C(I, H, rng, own, shared), C(I, H, rng, own, shared));
    compare<C>(both, both.forward(), 1, 2);
  }
}

}  // namespace

TEST_CASE("oneDNN's primitives compute with our weights what our cells do") {
  compare_all<RnnCell>(RnnOptions{});
  compare_all<LstmCell>(LstmOptions{});
  for (const auto update : {GruOptions::Update::keeps, GruOptions::Update::takes})
    for (const auto reset : {GruOptions::Reset::before, GruOptions::Reset::after})
      compare_all<GruCell>(GruOptions{.reset = reset, .update = update});
}

TEST_CASE("oneDNN's LSTM with peepholes, with a projection, and with both") {
  compare_all<LstmCell>(LstmOptions{.peepholes = LstmOptions::Peepholes::gates});
  compare_all<LstmCell>(LstmOptions{.projection = 2});
  compare_all<LstmCell>(LstmOptions{.peepholes = LstmOptions::Peepholes::gates, .projection = 2});
}

TEST_CASE("oneDNN's weights come back") {
  Rng rng(9);
  const auto check = [](const auto& from, const auto& to) {
    randomise(from);
    onednn_weights(to).set(onednn_weights(from).get(), "arrays");
    for (std::size_t i = 0; i < to.parameters().size(); ++i)
      CHECK(to.parameters()[i].parameter->value() == from.parameters()[i].parameter->value());
  };
  for (const Bias bias : {Bias::none, Bias::one})
    for (const auto reset : {GruOptions::Reset::before, GruOptions::Reset::after}) {
      const auto made = [&] { return GruCell(I, H, rng, {.reset = reset}, {.bias = bias}); };
      check(made(), made());
    }
  const LstmOptions options{.peepholes = LstmOptions::Peepholes::gates, .projection = 2};
  check(LstmCell(I, H, rng, options), LstmCell(I, H, rng, options));
  // Two biases come back as one sum, but for the candidate's of lbr_gru.
  const GruCell two(I, H, rng, {.bias = Bias::two});
  randomise(two);
  const Array b = two.parameter("b").value(), br = two.parameter("br").value();
  onednn_weights(two).set(onednn_weights(two).get(), "arrays");
  for (Index i = 0; i < 9; ++i) {
    CHECK(two.parameter("b").value().at({i}) == static_cast<float>(i < 6 ? b.at({i}) + br.at({i}) : b.at({i})));
    CHECK(two.parameter("br").value().at({i}) == (i < 6 ? 0 : br.at({i})));
  }
}

TEST_CASE("cells that oneDNN does not hold together") {
  Rng rng(1);
  const LstmCell a(2, 3, rng), b(3, 3, rng);
  const LstmCell* const cells[] = {&a, &b};
  CHECK_THROWS_WITH_AS(onednn_weights(cells, 2, OnednnLayout::ldigo),
                       "onednn_weights: oneDNN holds cells of one size and kind together, not lstm (2, 3) and (3, 3)",
                       Error);
  CHECK_THROWS_WITH_AS(onednn_weights(std::span<const LstmCell* const>(), 1, OnednnLayout::ldigo),
                       "onednn_weights: 0 cells are no layers of 1 directions", Error);
}
