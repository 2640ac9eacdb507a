// Weights for oneDNN, against its primitives. This test may include oneDNN, as core/gemm*.cpp do.

#include <doctest/doctest.h>
#include <oneapi/dnnl/dnnl.hpp>

#include <rewind/core/error.h>
#include <rewind/models/onednn_weights.h>

#include "golden_layers.h"

using namespace rw;
using namespace rw::test;

namespace {

using dnnl::memory;
using Tag = memory::format_tag;

constexpr Index T = 4, N = 3, H = 3;  // as wide as the input, as oneDNN has it for several layers

memory::desc desc(memory::dims dims, Tag tag) { return memory::desc(dims, memory::data_type::f32, tag); }

// One run of a primitive over our weights.
class Run {
 public:
  Run(const WeightMap& map, OnednnLayout layout, Index layers, Index directions, Index gates, bool lbr)
      : weights_{map.get(), {}},
        tag_(layout == OnednnLayout::ldigo ? Tag::ldigo : Tag::ldgoi),
        L(layers),
        D(directions),
        G(gates),
        bias_rows_(lbr ? gates + 1 : gates) {
    Rng rng(5);
    x = uniform(rng, {T, N, H}, -1, 1);
    h0 = uniform(rng, {L * D, N, H}, -1, 1);
    c0 = uniform(rng, {L * D, N, H}, -1, 1);
    y = Array(Shape{T, N, D * H});
    hn = Array(Shape{L * D, N, H});
    cn = Array(Shape{L * D, N, H});
  }

  // `describe(direction, x, states, W, R, b, y)` makes the primitive's description.
  template <class Primitive, class Describe>
  void run(Describe&& describe, bool lstm) {
    const auto direction =
        D == 1 ? dnnl::rnn_direction::unidirectional_left2right : dnnl::rnn_direction::bidirectional_concat;
    const auto states = desc({L, D, N, H}, Tag::ldnc), matrix = desc({L, D, H, G, H}, Tag::any);
    const typename Primitive::primitive_desc pd(
        describe(direction, desc({T, N, H}, Tag::tnc), states, matrix, matrix, desc({L, D, bias_rows_, H}, Tag::ldgo),
                 desc({T, N, D * H}, Tag::tnc)),
        engine_);
    std::unordered_map<int, memory> args{{DNNL_ARG_SRC_LAYER, over(x, pd.src_layer_desc())},
                                         {DNNL_ARG_SRC_ITER, over(h0, states)},
                                         {DNNL_ARG_WEIGHTS_LAYER, matrices("weights_layer", pd.weights_layer_desc())},
                                         {DNNL_ARG_WEIGHTS_ITER, matrices("weights_iter", pd.weights_iter_desc())},
                                         {DNNL_ARG_BIAS, over(array("bias"), pd.bias_desc())},
                                         {DNNL_ARG_DST_LAYER, over(y, pd.dst_layer_desc())},
                                         {DNNL_ARG_DST_ITER, over(hn, states)}};
    if (lstm) {
      args.insert({DNNL_ARG_SRC_ITER_C, over(c0, states)});
      args.insert({DNNL_ARG_DST_ITER_C, over(cn, states)});
    }
    Primitive(pd).execute(stream_, args);
    stream_.wait();
  }

  Array x, h0, c0, y, hn, cn;

 private:
  Array& array(const std::string& name) {
    for (NamedArray& a : weights_.arrays)
      if (a.name == name) return a.array;
    throw Error("no array " + name);
  }
  memory over(Array& a, const memory::desc& d) { return memory(d, engine_, a.view().data); }
  // oneDNN puts the numbers into the order it likes best.
  memory matrices(const char* name, const memory::desc& liked) {
    memory given = over(array(name), desc({L, D, H, G, H}, tag_)), own(liked, engine_);
    dnnl::reorder(given, own).execute(stream_, given, own);
    stream_.wait();
    return own;
  }

  dnnl::engine engine_{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream_{engine_};
  ArrayFile weights_;
  Tag tag_;
  memory::dim L, D, G, bias_rows_;
};

constexpr auto inference = dnnl::prop_kind::forward_inference;

void run_primitive(Run& run, const RnnCell&) {
  run.run<dnnl::vanilla_rnn_forward>(
      [](auto direction, auto x, auto h, auto W, auto R, auto b, auto y) {
        return dnnl::vanilla_rnn_forward::desc(inference, dnnl::algorithm::eltwise_tanh, direction, x, h, W, R, b, y,
                                               h);
      },
      false);
}
void run_primitive(Run& run, const LstmCell&) {
  run.run<dnnl::lstm_forward>(
      [](auto direction, auto x, auto h, auto W, auto R, auto b, auto y) {
        return dnnl::lstm_forward::desc(inference, direction, x, h, h, W, R, b, y, h, h);
      },
      true);
}
template <class Primitive>
void run_gru(Run& run) {
  run.run<Primitive>([](auto direction, auto x, auto h, auto W, auto R, auto b,
                        auto y) { return typename Primitive::desc(inference, direction, x, h, W, R, b, y, h); },
                     false);
}
bool is_lbr(const RnnCell&) { return false; }
bool is_lbr(const LstmCell&) { return false; }
bool is_lbr(const GruCell& cell) { return cell.options().reset == GruOptions::Reset::after; }
void run_primitive(Run& run, const GruCell& cell) {
  is_lbr(cell) ? run_gru<dnnl::lbr_gru_forward>(run) : run_gru<dnnl::gru_forward>(run);
}

template <class C, class Options>
std::vector<C> cells(Options options, Index count) {
  Rng rng(3);
  options.biases = Init::uniform(0.5);
  std::vector<C> all;
  for (Index i = 0; i < count; ++i) all.emplace_back(H, H, rng, options);
  return all;
}

template <class C>
WeightMap weights(const std::vector<C>& all, Index directions, OnednnLayout layout) {
  std::vector<const C*> pointers;
  for (const C& c : all) pointers.push_back(&c);
  return onednn_weights(pointers, directions, layout);
}

template <class C, class Options>
void compare(const Options& options, Index layers, Index directions, OnednnLayout layout) {
  const std::vector<C> all = cells<C>(options, layers * directions);
  const WeightMap map = weights(all, directions, layout);
  const Index gates = all[0].parameter("W").shape()[1] / H;
  Run run(map, layout, layers, directions, gates, is_lbr(all[0]));
  run_primitive(run, all[0]);
  Tape tape;
  const Passed ours =
      run_layers(all, directions == 2, tape.constant(run.x), {tape.constant(run.h0), tape.constant(run.c0)});
  check_close("y", run.y, ours.y.value(), 2e-6);
  check_close("hn", run.hn, ours.last[0].value(), 2e-6);
  if (ours.last.size() > 1) check_close("cn", run.cn, ours.last[1].value(), 2e-6);
}

template <class C, class Options>
void compare_all(Options options) {
  for (const Bias bias : {Bias::one, Bias::two})
    for (const OnednnLayout layout : {OnednnLayout::ldigo, OnednnLayout::ldgoi}) {
      options.bias = bias;
      compare<C>(options, 1, 1, layout);
      compare<C>(options, 2, 1, layout);
      compare<C>(options, 1, 2, layout);
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

TEST_CASE("oneDNN's weights come back") {
  for (const Bias bias : {Bias::none, Bias::one})
    for (const auto reset : {GruOptions::Reset::before, GruOptions::Reset::after}) {
      auto made = cells<GruCell>(GruOptions{.bias = bias, .reset = reset}, 1);
      Rng rng(9);
      GruCell other(H, H, rng, {.bias = bias, .reset = reset});
      onednn_weights(other).set(onednn_weights(made[0]).get(), "arrays");
      for (std::size_t i = 0; i < other.parameters().size(); ++i)
        CHECK(other.parameters()[i].parameter->value() == made[0].parameters()[i].parameter->value());
    }
  // Two biases come back as one sum, but for the candidate's of lbr_gru.
  auto two = cells<GruCell>(GruOptions{.bias = Bias::two}, 1);
  const Array b = two[0].parameter("b").value(), br = two[0].parameter("br").value();
  onednn_weights(two[0]).set(onednn_weights(two[0]).get(), "arrays");
  for (Index i = 0; i < 9; ++i) {
    CHECK(two[0].parameter("b").value().at({i}) == static_cast<float>(i < 6 ? b.at({i}) + br.at({i}) : b.at({i})));
    CHECK(two[0].parameter("br").value().at({i}) == (i < 6 ? 0 : br.at({i})));
  }
}

TEST_CASE("cells that oneDNN does not hold together") {
  Rng rng(1);
  const LstmCell a(2, 3, rng), b(3, 3, rng);
  CHECK_THROWS_WITH_AS(onednn_weights(a, b),
                       "onednn_weights: oneDNN holds cells of one size and kind together, not lstm (2, 3) and (3, 3)",
                       Error);
  CHECK_THROWS_WITH_AS(onednn_weights(std::span<const LstmCell* const>(), 1, OnednnLayout::ldigo),
                       "onednn_weights: 0 cells are no layers of 1 directions", Error);
}
