// One step of a recurrent model, written by Rewind: 297 weights, a state of 8 numbers, 292 bytes of locals.
// C++17; no heap, lock, exception, RTTI or global state.
//
//   controller::State state;
//   controller::Model model;
//   model.reset(state);                // as before the first step
//   model.step(x, state, y);           // float x[3] -> float y[1]
//   model.run(x, T, state, y);         // T steps: x[T * 3] -> y[T * 1]
//
// A model is looked at and never changed: any number of threads may share it, each with a state of its own.
// clang-format off
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace controller {

// By its contents, so that one program may hold several versions of this header, as plug-ins do.
inline namespace of_cd25d3914234f71a {

using Real = float;
constexpr std::size_t inputs = 3, outputs = 1;

/// What is carried from step to step. Arrays are as long as loops that are rounded up.
struct State {
  Real s0[8] = {};  // (1, 8)
};

struct Weights {
  alignas(64) Real cell_W[72];  // (3, 24)
  Real cell_b[24];  // (24)
  alignas(64) Real cell_R[192];  // (8, 24)
  Real head_W[8];  // (8, 1)
  Real head_b[1];  // (1)
};

namespace math {

/// a b, and 0 where either is 0.
inline Real times0(Real a, Real b) { return a == 0 || b == 0 ? Real(0) : a * b; }

using Bits = std::uint32_t;
constexpr float smallest_normal = 0x1p-126f;
inline Bits bits(float x) {
  Bits b;
  std::memcpy(&b, &x, sizeof b);
  return b;
}
inline float from_bits(Bits b) {
  float x;
  std::memcpy(&x, &b, sizeof x);
  return x;
}

/// e^x = 2^k (1 + p), |x| <= 105.
struct Power {
  Bits k;
  float p;
};
inline Power power(float x) {
  const float shifted = x * 0x1.715476p+0f + 0x1.8p23f, n = shifted - 0x1.8p23f;
  const float r = (x - n * 0x1.63p-1f) + n * 0x1.bd0106p-13f;
  float q = 0x1.6da0cep-10f;
  q = q * r + 0x1.122d8ep-7f;
  q = q * r + 0x1.55547ep-5f;
  q = q * r + 0x1.5554a8p-3f;
  q = q * r + 0.5f;
  return {bits(shifted) - bits(0x1.8p23f), r + r * r * q};
}
/// 2^k, of a normal number.
inline float two_to(Bits k) { return from_bits((k + 127u) << 23); }

/// e^x - 1, |x| < 40.
inline Real expm1_near(Real x) {
  const Power e = power(x);
  const Real scale = two_to(e.k);
  return scale * e.p + (scale - 1);
}

/// Within 3 ULP.
inline Real tanh(Real x) {
  const Real a = std::fabs(x), e = expm1_near(2 * (a > Real(19.5) ? Real(19.5) : a));
  return std::copysign(e / (e + 2), x);
}

/// 1 / (1 + e^-x), within 3 ULP for x > -87; below, within 1e-37.
inline float sigmoid(float x) {
  const float a = -std::fabs(x);
  const Power p = power(a < -87 ? -87 : a);
  const float scale = two_to(p.k), e = scale * p.p + scale;
  return (x < 0 ? e : 1.0f) / (1 + e);
}

/// y [N] += x [K] w [K, N].
template <std::size_t K, std::size_t N>
inline void add_product(const Real* x, const Real* w, Real* y) {
  constexpr std::size_t eights = K / 8 * 8, fours = K % 8 < 4 ? eights : eights + 4;
  for (std::size_t k = 0; k < eights; k += 8) {
    const Real* r = w + k * N;
    for (std::size_t j = 0; j < N; ++j)
      y[j] += ((x[k] * r[j] + x[k + 1] * r[N + j]) + (x[k + 2] * r[2 * N + j] + x[k + 3] * r[3 * N + j])) +
              ((x[k + 4] * r[4 * N + j] + x[k + 5] * r[5 * N + j]) +
               (x[k + 6] * r[6 * N + j] + x[k + 7] * r[7 * N + j]));
  }
  if constexpr (fours > eights) {
    const Real* r = w + eights * N;
    for (std::size_t j = 0; j < N; ++j)
      y[j] += (x[eights] * r[j] + x[eights + 1] * r[N + j]) +
              (x[eights + 2] * r[2 * N + j] + x[eights + 3] * r[3 * N + j]);
  }
  if constexpr (K > fours)
    for (std::size_t k = fours; k < K; ++k)
      for (std::size_t j = 0; j < N; ++j) y[j] += x[k] * w[k * N + j];
}

/// The sum of a[i] b[i], i < N.
template <std::size_t N>
inline Real dot(const Real* a, const Real* b) {
  constexpr std::size_t eights = N / 8 * 8;
  Real sum = 0;
  if constexpr (eights > 0) {
    Real part[8] = {};
    for (std::size_t i = 0; i < eights; i += 8)
      for (std::size_t j = 0; j < 8; ++j) part[j] += a[i + j] * b[i + j];
    sum = ((part[0] + part[4]) + (part[2] + part[6])) + ((part[1] + part[5]) + (part[3] + part[7]));
  }
  if constexpr (N > eights)
    for (std::size_t i = eights; i < N; ++i) sum += a[i] * b[i];
  return sum;
}

/// y [N] += x [K] w [N, K] transposed.
template <std::size_t K, std::size_t N>
inline void add_dots(const Real* x, const Real* w, Real* y) {
  for (std::size_t j = 0; j < N; ++j) y[j] += dot<K>(x, w + j * K);
}

}  // namespace math

inline constexpr Weights weights = {
    {-0.21029207f, 0.038809173f, -0.5394406f, -0.1762355f, 0.65907544f, -0.18507726f, -0.4932961f, -0.5221964f,
     0.5787754f, -0.48032963f, 0.10368126f, -0.284125f, 0.21920982f, 0.21881357f, -0.049314037f, 0.5416167f,
     -0.60417646f, -0.07537415f, -0.10066421f, 0.56888723f, -0.4240023f, 0.5142911f, -0.087322615f, -0.2669461f,
     0.42866385f, -0.2222095f, 0.43680635f, -0.45655397f, -0.58776283f, -0.42224097f, -0.27266693f, 0.25687382f,
     -0.6389041f, -0.6043809f, 0.020383034f, -0.16601716f, -0.010862333f, -0.29042605f, 0.5601285f, -0.514438f,
     -0.10873834f, -0.6627234f, -0.730136f, 0.68587613f, -0.7024199f, -0.69460386f, 0.13105246f, 0.6232577f,
     -0.11972992f, 0.6075496f, -0.41011906f, -0.49666822f, -0.19724761f, 0.21062823f, -0.49894336f, -0.47644654f,
     0.44171223f, 0.28160366f, 0.41113347f, 0.27928877f, -0.19618668f, -0.3241347f, -0.6848323f, -0.53362715f,
     0.7172898f, 0.21715479f, -0.15499997f, 0.3928644f, 0.17169616f, -0.5054098f, 0.62783134f, -0.4155723f},  // cell_W
    {0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f,
     0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f},  // cell_b
    {-0.33628204f, 0.5548515f, -0.15362431f, -0.31637716f, -0.58100414f, -0.22645304f, -0.109184794f, -0.23364745f,
     -0.2396314f, -0.065067776f, -0.55823165f, -0.032529466f, 0.052456222f, 0.49238673f, 0.42179987f, -0.45005637f,
     -0.06847489f, -0.1713414f, 0.7737853f, 0.16520976f, -0.12624486f, 0.24378814f, 0.5059343f, 0.092603646f,
     0.46342868f, -0.50485915f, -0.30274254f, -0.11411792f, -0.29011428f, -0.522804f, -0.14839242f, -0.21485925f,
     0.13395168f, -0.21940808f, 0.03213785f, 0.73746f, -0.23708615f, -0.1543072f, 0.53004277f, 0.16754417f,
     0.6748969f, 0.3794129f, 0.09266789f, -0.0812239f, -0.5789071f, 0.0857006f, -0.112900056f, 0.17364043f,
     -0.5935993f, -0.2697475f, -0.59495395f, 0.11833403f, 0.3025552f, 0.052030284f, -0.21541323f, -0.2573972f,
     -0.10106668f, -0.7521313f, -0.19117332f, 0.11365088f, 0.41856402f, -0.3056883f, -0.28354764f, -0.15993701f,
     -0.005417945f, 0.2699378f, -0.24843107f, 0.51019263f, 0.28076923f, 0.52796036f, 0.028788712f, 0.49667642f,
     -0.16638419f, -0.34037754f, 0.42530468f, -0.70846033f, 0.090908214f, 0.193224f, -0.32450318f, -0.15085477f,
     -0.46751502f, 0.18496108f, 0.08803488f, 0.28613028f, 0.5784795f, 0.30400005f, -0.01318687f, 0.4799687f,
     -0.21863373f, -0.55712557f, -0.033050727f, 0.14692108f, -0.43423003f, -0.12602639f, -0.36093652f, 0.5333092f,
     -0.17976764f, -0.067875855f, -0.21635965f, -0.27469522f, 0.004718745f, -0.25050074f, -0.07681231f, 0.8787118f,
     0.5428375f, -0.20555606f, -0.4111982f, -0.26925203f, 0.09324414f, 0.21262442f, 0.09142712f, 0.59935886f,
     0.3083334f, 0.07279798f, 0.16576187f, 0.30168986f, 0.35650975f, -0.7382634f, 0.10154609f, 0.31415528f,
     -0.13819034f, 0.18248478f, 0.4039135f, 0.25325412f, 0.36227018f, -0.6506312f, -0.4029528f, -0.0582015f,
     0.17448086f, -0.38511357f, 0.4666934f, 0.12546536f, -0.15974891f, 0.7026559f, -0.24128613f, -0.10117135f,
     0.027169185f, -0.036676418f, -0.059192076f, -0.7547833f, 0.22981945f, 0.06621972f, 0.25284424f, 0.5509836f,
     -0.44306186f, -0.4524419f, 0.36848542f, 0.3927741f, -0.53465044f, -0.029471247f, 0.11680832f, 0.092604995f,
     0.042898506f, 0.23733625f, -0.50017154f, 0.4654592f, -0.26954052f, 0.093710735f, -0.6272226f, 0.012860819f,
     -0.14359418f, 0.26090887f, 0.5464115f, -0.15296328f, 0.2838353f, 0.094625846f, -0.70381945f, 0.066824846f,
     0.21068361f, 0.077620775f, -0.06444496f, 0.27766347f, -0.24769102f, 0.38524306f, -0.79525965f, 0.16166726f,
     -0.60736525f, -0.3175216f, -0.077388294f, -0.23540813f, -0.56950665f, -0.0129249515f, -0.024088893f, 0.3792049f,
     -0.61283636f, 0.6072187f, -0.017674206f, -0.0106679825f, -0.34794128f, -0.283242f, 0.17486109f, 0.15305343f},  // cell_R
    {0.25500154f, 0.034743942f, 0.70716196f, 0.48263174f, -0.022820882f, 0.6801801f, -0.36251503f, -0.5565142f},  // head_W
    {0.0f},  // head_b
};

class Model {
 public:
  explicit Model(const Weights& w = weights) : weights_(&w) {}

  /// The state before the first step.
  void reset(State& state) const {
    state = State();
  }

  /// One step: x [inputs] -> y [outputs], which may be x itself.
  void step(const Real* x, State& state, Real* y) const;

  /// T steps, one after the other: x [T, inputs] -> y [T, outputs].
  void run(const Real* x, std::size_t T, State& state, Real* y) const {
    for (std::size_t t = 0; t < T; ++t) step(x + t * inputs, state, y + t * outputs);
  }

 private:
  const Weights* weights_;
};

inline void Model::step([[maybe_unused]] const Real* x, [[maybe_unused]] State& state, Real* y) const {
  [[maybe_unused]] const Weights& w = *weights_;
  // readout: matmul (1, 3) x (3, 24)
  Real add_5[24];
  for (std::size_t j = 0; j < 24; ++j) {
    add_5[j] = w.cell_b[j];
  }
  math::add_product<3, 24>(x, w.cell_W, add_5);
  // readout: matmul (1, 8) x (8, 24)
  Real matmul_7[24];
  for (std::size_t j = 0; j < 24; ++j) {
    matmul_7[j] = 0;
  }
  math::add_product<8, 24>(state.s0, w.cell_R, matmul_7);
  // readout: add, sigmoid (1, 16)
  Real sigmoid_11[16];
  for (std::size_t j = 0; j < 16; ++j) {
    const Real v10 = add_5[j] + matmul_7[j];
    sigmoid_11[j] = math::sigmoid(v10);
  }
  // readout: mul, add, tanh, sub, mul, add (1, 8)
  Real add_21[8];
  for (std::size_t j = 0; j < 8; ++j) {
    const Real v15 = sigmoid_11[j] * matmul_7[16 + j];
    const Real v17 = add_5[16 + j] + v15;
    const Real v18 = math::tanh(v17);
    const Real v19 = state.s0[j] - v18;
    const Real v20 = sigmoid_11[8 + j] * v19;
    add_21[j] = v18 + v20;
  }
  // readout: matmul (1, 8) x (8, 1)
  Real add_25[1];
  {
    add_25[0] = w.head_b[0];
  }
  math::add_product<8, 1>(add_21, w.head_W, add_25);
  // Results.
  std::memcpy(state.s0, add_21, 8 * sizeof(Real));
  std::memcpy(y, add_25, 1 * sizeof(Real));
}

/// Adds the step's loss to `loss` and its gradient to `g`; `d` is what flows back into the state, after the step and
/// then before it.
inline void add_gradient(const Real* x, const Real* target, const State& state, State& d, const Weights& w, Weights& g,
                         Real* loss) {
  static_cast<void>(x);
  static_cast<void>(target);
  static_cast<void>(state);
  static_cast<void>(w);
  // readout: matmul (1, 3) x (3, 24)
  Real add_7[24];
  for (std::size_t j = 0; j < 24; ++j) {
    add_7[j] = w.cell_b[j];
  }
  math::add_product<3, 24>(x, w.cell_W, add_7);
  // readout: matmul (1, 8) x (8, 24)
  Real matmul_9[24];
  for (std::size_t j = 0; j < 24; ++j) {
    matmul_9[j] = 0;
  }
  math::add_product<8, 24>(state.s0, w.cell_R, matmul_9);
  // readout: add, sigmoid (1, 16)
  Real sigmoid_13[16];
  for (std::size_t j = 0; j < 16; ++j) {
    const Real v12 = add_7[j] + matmul_9[j];
    sigmoid_13[j] = math::sigmoid(v12);
  }
  // readout: mul, add, tanh, sub, mul, add (1, 8)
  Real tanh_20[8];
  Real sub_21[8];
  Real add_23[8];
  for (std::size_t j = 0; j < 8; ++j) {
    const Real v17 = sigmoid_13[j] * matmul_9[16 + j];
    const Real v19 = add_7[16 + j] + v17;
    const Real v20 = math::tanh(v19);
    tanh_20[j] = v20;
    const Real v21 = state.s0[j] - v20;
    sub_21[j] = v21;
    const Real v22 = sigmoid_13[8 + j] * v21;
    add_23[j] = v20 + v22;
  }
  // readout: matmul (1, 8) x (8, 1)
  Real add_27[1];
  {
    add_27[0] = w.head_b[0];
  }
  math::add_product<8, 1>(add_23, w.head_W, add_27);
  // sub, square, mul, times0 (1, 1)
  Real square_29[1];
  Real times0_37[1];
  {
    const Real v28 = add_27[0] - target[0];
    square_29[0] = v28 * v28;
    const Real v36 = 2.0f * v28;
    times0_37[0] = math::times0(1.0f, v36);
  }
  // sum_to ()
  Real sum_to_30[1];
  for (std::size_t j = 0; j < 1; ++j) sum_to_30[j] = 0;
  for (std::size_t i0 = 0; i0 < 1; ++i0) {
    for (std::size_t i1 = 0; i1 < 1; ++i1) {
      sum_to_30[0] += square_29[1 * i0 + 1 * i1];
    }
  }
  // readout: sum_to (1)
  Real sum_to_38[1];
  for (std::size_t j = 0; j < 1; ++j) sum_to_38[j] = 0;
  for (std::size_t i0 = 0; i0 < 1; ++i0) {
    for (std::size_t i1 = 0; i1 < 1; ++i1) {
      sum_to_38[0] += times0_37[1 * i0 + 1 * i1];
    }
  }
  // readout: matmul (1, 1) x (8, 1)
  Real matmul_39[8];
  for (std::size_t j = 0; j < 8; ++j) {
    matmul_39[j] = 0;
  }
  math::add_dots<1, 8>(times0_37, w.head_W, matmul_39);
  // readout: matmul (1, 8) x (1, 1)
  Real matmul_40[8];
  for (std::size_t j = 0; j < 8; ++j) {
    matmul_40[j] = 0;
  }
  for (std::size_t b = 0; b < 1; ++b) {
    for (std::size_t r = 0; r < 8; ++r) {
      for (std::size_t k = 0; k < 1; ++k) {
        for (std::size_t j = 0; j < 1; ++j) {
          matmul_40[8 * b + 1 * r + j] += add_23[8 * b + 8 * k + r] * times0_37[1 * b + 1 * k + j];
        }
      }
    }
  }
  // times0, add_n, times0, times0, neg, add_n, mul, sub, times0, times0 (1, 8)
  Real times0_42[8];
  Real times0_43[8];
  Real times0_48[8];
  Real times0_49[8];
  for (std::size_t j = 0; j < 8; ++j) {
    const Real v33 = math::times0(1.0f, d.s0[j]);
    const Real v41 = v33 + matmul_39[j];
    times0_42[j] = math::times0(v41, sub_21[j]);
    const Real v43 = math::times0(v41, sigmoid_13[8 + j]);
    times0_43[j] = v43;
    const Real v44 = -v43;
    const Real v45 = v41 + v44;
    const Real v46 = tanh_20[j] * tanh_20[j];
    const Real v47 = 1.0f - v46;
    const Real v48 = math::times0(v45, v47);
    times0_48[j] = v48;
    times0_49[j] = math::times0(v48, matmul_9[16 + j]);
  }
  // readout: concat (1, 16)
  Real concat_51[16];
  std::memcpy(concat_51 + 0, times0_49, 8 * sizeof(Real));
  std::memcpy(concat_51 + 8, times0_42, 8 * sizeof(Real));
  // readout: times0 (1, 8)
  Real times0_50[8];
  for (std::size_t j = 0; j < 8; ++j) {
    times0_50[j] = math::times0(times0_48[j], sigmoid_13[j]);
  }
  // readout: sub, mul, times0 (1, 16)
  Real times0_54[16];
  for (std::size_t j = 0; j < 16; ++j) {
    const Real v52 = 1.0f - sigmoid_13[j];
    const Real v53 = sigmoid_13[j] * v52;
    times0_54[j] = math::times0(concat_51[j], v53);
  }
  // readout: concat (1, 24)
  Real concat_55[24];
  std::memcpy(concat_55 + 0, times0_54, 16 * sizeof(Real));
  std::memcpy(concat_55 + 16, times0_50, 8 * sizeof(Real));
  // readout: concat (1, 24)
  Real concat_58[24];
  std::memcpy(concat_58 + 0, times0_54, 16 * sizeof(Real));
  std::memcpy(concat_58 + 16, times0_48, 8 * sizeof(Real));
  // readout: matmul (1, 24) x (8, 24)
  Real matmul_56[8];
  for (std::size_t j = 0; j < 8; ++j) {
    matmul_56[j] = 0;
  }
  math::add_dots<24, 8>(concat_55, w.cell_R, matmul_56);
  // readout: matmul (1, 8) x (1, 24)
  Real matmul_57[192];
  for (std::size_t j = 0; j < 192; ++j) {
    matmul_57[j] = 0;
  }
  for (std::size_t b = 0; b < 1; ++b) {
    for (std::size_t r = 0; r < 8; ++r) {
      for (std::size_t k = 0; k < 1; ++k) {
        for (std::size_t j = 0; j < 24; ++j) {
          matmul_57[192 * b + 24 * r + j] += state.s0[8 * b + 8 * k + r] * concat_55[24 * b + 24 * k + j];
        }
      }
    }
  }
  // readout: sum_to (24)
  Real sum_to_59[24];
  for (std::size_t j = 0; j < 24; ++j) sum_to_59[j] = 0;
  for (std::size_t i0 = 0; i0 < 1; ++i0) {
    for (std::size_t i1 = 0; i1 < 24; ++i1) {
      sum_to_59[1 * i1] += concat_58[24 * i0 + 1 * i1];
    }
  }
  // readout: matmul (1, 3) x (1, 24)
  Real matmul_60[72];
  for (std::size_t j = 0; j < 72; ++j) {
    matmul_60[j] = 0;
  }
  for (std::size_t b = 0; b < 1; ++b) {
    for (std::size_t r = 0; r < 3; ++r) {
      for (std::size_t k = 0; k < 1; ++k) {
        for (std::size_t j = 0; j < 24; ++j) {
          matmul_60[72 * b + 24 * r + j] += x[3 * b + 3 * k + r] * concat_58[24 * b + 24 * k + j];
        }
      }
    }
  }
  // add_n (1, 8)
  Real add_n_61[8];
  for (std::size_t j = 0; j < 8; ++j) {
    add_n_61[j] = times0_43[j] + matmul_56[j];
  }
  // Results.
  std::memcpy(d.s0, add_n_61, 8 * sizeof(Real));
  for (std::size_t j = 0; j < 72; ++j) g.cell_W[j] += matmul_60[j];
  for (std::size_t j = 0; j < 192; ++j) g.cell_R[j] += matmul_57[j];
  for (std::size_t j = 0; j < 24; ++j) g.cell_b[j] += sum_to_59[j];
  for (std::size_t j = 0; j < 8; ++j) g.head_W[j] += matmul_40[j];
  g.head_b[0] += sum_to_38[0];
  loss[0] += sum_to_30[0];
}

/// Adam (Kingma and Ba, 2015); `rate` and `root` are corrected for the moments' start.
inline void move(Real* w, const Real* g, Real* m, Real* v, std::size_t n, Real rate, Real root) {
  for (std::size_t i = 0; i < n; ++i) {
    m[i] = Real(0.9) * m[i] + Real(0.1) * g[i];
    v[i] = Real(0.999) * v[i] + Real(0.001) * (g[i] * g[i]);
    w[i] -= rate * m[i] / (std::sqrt(v[i]) * root + Real(1e-8));
  }
}

/// What learns while it runs: weights of its own, and the steps since they last moved.
struct Trainer {
  static constexpr std::size_t window = 16, targets = 1;

  Weights weights, gradient = {};
  Weights mean = {}, square = {};
  State state, before[window] = {};
  Real xs[window * inputs] = {};
  Real wanted[window * targets] = {};
  std::size_t steps = 0;  // since weights moved
  Real rate = 0.003f, loss = 0;

  explicit Trainer(const Weights& w = ::controller::weights) : weights(w) { Model(weights).reset(state); }

  /// One step: x [inputs] -> y [outputs], which should be near target [targets]. Whether weights moved.
  bool step(const Real* x, const Real* target, Real* y) {
    std::memcpy(xs + steps * inputs, x, inputs * sizeof *x);
    std::memcpy(wanted + steps * targets, target, targets * sizeof *target);
    before[steps] = state;
    Model(weights).step(x, state, y);
    if (++steps < window) return false;
    learn();
    return true;
  }

  /// Moves weights by the gradient of the mean loss of the steps since they last moved, if there are any.
  void learn() {
    if (steps == 0) return;
    gradient = Weights();
    State d;
    Real total = 0;
    for (std::size_t t = steps; t-- > 0;)
      add_gradient(xs + t * inputs, wanted + t * targets, before[t], d, weights, gradient, &total);
    loss = total / Real(steps);
    scale();
    update();
    steps = 0;
  }

 private:
  void scale() {
    const Real factor = 1 / Real(steps);
    for (std::size_t i = 0; i < 72; ++i) gradient.cell_W[i] *= factor;
    for (std::size_t i = 0; i < 24; ++i) gradient.cell_b[i] *= factor;
    for (std::size_t i = 0; i < 192; ++i) gradient.cell_R[i] *= factor;
    for (std::size_t i = 0; i < 8; ++i) gradient.head_W[i] *= factor;
    for (std::size_t i = 0; i < 1; ++i) gradient.head_b[i] *= factor;
  }
  void update() {
    first *= 0.9;
    second *= 0.999;
    const Real corrected = Real(double(rate) / (1 - first)), root = Real(1 / std::sqrt(1 - second));
    move(weights.cell_W, gradient.cell_W, mean.cell_W, square.cell_W, 72, corrected, root);
    move(weights.cell_b, gradient.cell_b, mean.cell_b, square.cell_b, 24, corrected, root);
    move(weights.cell_R, gradient.cell_R, mean.cell_R, square.cell_R, 192, corrected, root);
    move(weights.head_W, gradient.head_W, mean.head_W, square.head_W, 8, corrected, root);
    move(weights.head_b, gradient.head_b, mean.head_b, square.head_b, 1, corrected, root);
  }
  double first = 1, second = 1;  // powers of the moments' decay
};

}  // namespace of_cd25d3914234f71a
}  // namespace controller
