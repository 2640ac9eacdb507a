#pragma once

// A distortion pedal's heart, simulated: a resistor into a capacitor with two diodes across it, back to back (Yeh, Abel
// and Smith, "Simulation of the diode limiter", DAFx 2007),
//
//     dv/dt = (u - v) / (R C) - 2 I / C sinh(v / V),
//
// by the trapezoidal rule, with Newton's method for what is implicit in it. Plain C++: the effect compares with it.

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace circuit {

constexpr int rate = 44100;

/// Volts in, volts out, one after the other.
class Clipper {
 public:
  double operator()(double u) {
    const double known = v_ + 0.5 * step * slope(v_, u_);
    double v = v_;
    for (int i = 0; i < 50; ++i) {
      const double off = v - known - 0.5 * step * slope(v, u);
      const double move = off / (1 + 0.5 * step * (1 / (R * C) + 2 * I / (C * V) * std::cosh(v / V)));
      v -= std::fmax(-0.1, std::fmin(0.1, move));  // far from the solution, Newton's step is too long
      if (std::fabs(move) < 1e-12) break;
    }
    u_ = u;
    return v_ = v;
  }

 private:
  static constexpr double R = 2200, C = 1e-8, I = 2.52e-9, V = 0.04525, step = 1.0 / rate;
  static double slope(double v, double u) { return (u - v) / (R * C) - 2 * I / C * std::sinh(v / V); }
  double u_ = 0, v_ = 0;
};

/// A signal in [-1, 1] through a gain, the circuit, and back to about [-1, 1].
inline std::vector<float> distorted(const std::vector<float>& x) {
  Clipper clipper;
  std::vector<float> y;
  for (const float v : x) y.push_back(static_cast<float>(clipper(6.0 * static_cast<double>(v)) * 1.4));
  return y;
}

/// Plucked strings at random: tones from 80 to 700 Hz with some harmonics, which die away, several at a time.
inline std::vector<float> plucked(double seconds, std::uint32_t seed) {
  const auto random = [&seed](double lo, double hi) {
    seed = seed * 1664525u + 1013904223u;
    return lo + (hi - lo) * static_cast<double>(seed >> 8) / 16777216.0;
  };
  std::vector<float> x(static_cast<std::size_t>(seconds * rate));
  for (std::size_t begin = 0; begin < x.size(); begin += static_cast<std::size_t>(random(0.05, 0.3) * rate)) {
    const double tone = 80 * std::pow(8.75, random(0, 1)), loud = 0.6 * std::pow(10, random(-1.5, 0));
    const double decay = random(3, 10), bright = random(0.3, 0.8);
    for (std::size_t i = begin; i < x.size() && i < begin + rate; ++i) {
      const double t = static_cast<double>(i - begin) / rate;
      double wave = 0, part = 1;
      for (int k = 1; k <= 6; ++k, part *= bright) wave += part * std::sin(6.283185307179586 * tone * k * t);
      x[i] += static_cast<float>(loud * std::exp(-decay * t) * std::fmin(1, t * 500) * wave);
    }
  }
  for (float& v : x) v = std::tanh(v);  // within [-1, 1]
  return x;
}

/// The part of the signal's energy that an imitation misses.
inline double error_to_signal(const std::vector<float>& imitation, const std::vector<float>& signal) {
  double missed = 0, all = 0;
  for (std::size_t i = 0; i < signal.size(); ++i) {
    const double s = static_cast<double>(signal[i]), d = static_cast<double>(imitation[i]) - s;
    missed += d * d;
    all += s * s;
  }
  return missed / all;
}

}  // namespace circuit
