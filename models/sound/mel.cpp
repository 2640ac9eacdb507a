#include <algorithm>
#include <cmath>
#include <numbers>
#include <vector>

#include <fmt/format.h>

#include <rewind/models/sound/mel.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/elementwise.h>
#include <rewind/ops/matmul.h>
#include <rewind/ops/view.h>

namespace rw {
namespace {

double mel(double hz) { return 2595 * std::log10(1 + hz / 700); }

void check(Tensor sound, const MelOptions& o) {
  Tape& tape = sound.tape();
  const Shape& shape = sound.shape();
  const auto fail = [&](const std::string& what) { throw tape.error("log_mel", what); };
  if (shape.rank() != 3 || shape.cols() < 1)
    fail(fmt::format("needs sound in blocks [T, N, samples], not {}", shape.str()));
  if (o.blocks < 1 || o.bands < 1 || o.rate < 1)
    fail(fmt::format("frames of {} blocks, {} bands and {} samples a second: there must be 1 or more", o.blocks,
                     o.bands, o.rate));
  if (sound.size(0) < o.blocks) fail(fmt::format("{} has fewer blocks than a frame, {}", shape.str(), o.blocks));
  if (!(o.low >= 0 && o.low < o.high && 2 * o.high <= static_cast<double>(o.rate)))
    fail(fmt::format("bands from {} Hz to {} Hz: they must lie between 0 and half of {} samples a second", o.low,
                     o.high, o.rate));
  if (!(o.floor > 0)) fail(fmt::format("the floor is {}: it must be above 0", o.floor));
}

/// Of a spectrum's frequencies those up to the end of the last band.
Index count_frequencies(Index frame, const MelOptions& o) {
  const double last = o.high * static_cast<double>(frame) / static_cast<double>(o.rate);
  return std::min(static_cast<Index>(last), frame / 2) + 1;
}

/// [frequencies, bands]: triangles, from one band's middle to the next one's.
Array triangles(const Tape& tape, Index frame, const MelOptions& o) {
  const double hz = static_cast<double>(o.rate) / static_cast<double>(frame);
  const double width = (mel(o.high) - mel(o.low)) / static_cast<double>(o.bands + 1);
  const Index frequencies = count_frequencies(frame, o);
  Array m({frequencies, o.bands}, DType::f64);
  for (Index b = 0; b < o.bands; ++b) {
    double all = 0;
    for (Index f = 0; f < frequencies; ++f) {
      const double place = (mel(hz * static_cast<double>(f)) - mel(o.low)) / width;
      const double weight = std::max(0.0, 1 - std::abs(place - static_cast<double>(b + 1)));
      m.set({f, b}, weight);
      all += weight;
    }
    if (all == 0)
      throw tape.error("log_mel",
                       fmt::format("band {} of {} has no frequency in it, of those that a frame of {} samples "
                                   "has every {:.4g} Hz: take fewer bands or longer frames",
                                   b, o.bands, frame, hz));
  }
  return m;
}

/// [frame, frequencies]: a frame times these is a part of its spectrum, the real or the imaginary one.
Array waves(Index frame, Index frequencies, bool imaginary) {
  Array m({frame, frequencies}, DType::f64);
  const double turn = 2 * std::numbers::pi / static_cast<double>(frame);
  for (Index t = 0; t < frame; ++t)
    for (Index f = 0; f < frequencies; ++f) {
      const double angle = turn * static_cast<double>(t * f % frame);
      const double window = 0.5 - 0.5 * std::cos(turn * static_cast<double>(t));
      m.set({t, f}, window * (imaginary ? std::sin(angle) : std::cos(angle)));
    }
  return m;
}

}  // namespace

Tensor log_mel(Tensor sound, const MelOptions& options) {
  check(sound, options);
  Tape& tape = sound.tape();
  const Index frames = sound.size(0) - options.blocks + 1, length = options.blocks * sound.size(2);
  std::vector<Tensor> parts;
  for (Index b = 0; b < options.blocks; ++b) parts.push_back(slice(sound, 0, b, frames));
  const Tensor x = concat(parts, 2), bands = tape.constant(triangles(tape, length, options));
  const Index frequencies = bands.size(0);
  const Tensor real = matmul(x, tape.constant(waves(length, frequencies, false)));
  const Tensor imaginary = matmul(x, tape.constant(waves(length, frequencies, true)));
  return log(matmul(square(real) + square(imaginary), bands) + options.floor);
}

Tensor mfcc(Tensor log_mel, Index coefficients) {
  Tape& tape = log_mel.tape();
  if (log_mel.shape().rank() < 2)
    throw tape.error("mfcc", fmt::format("needs features [..., T, bands], not {}", log_mel.shape().str()));
  const Index bands = log_mel.size(-1);
  if (coefficients < 1 || coefficients > bands)
    throw tape.error("mfcc", fmt::format("{} coefficients of features {}: there must be 1 to {}", coefficients,
                                         log_mel.shape().str(), bands));
  Array m({bands, coefficients}, DType::f64);
  for (Index b = 0; b < bands; ++b)
    for (Index c = 0; c < coefficients; ++c) {
      const double angle = std::numbers::pi * static_cast<double>((2 * b + 1) * c) / static_cast<double>(2 * bands);
      m.set({b, c}, std::sqrt((c == 0 ? 1.0 : 2.0) / static_cast<double>(bands)) * std::cos(angle));
    }
  return matmul(log_mel, tape.constant(m));
}

}  // namespace rw
