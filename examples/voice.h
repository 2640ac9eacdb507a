#pragma once

// Speech without a recording: digits and letters, spoken by voices that a random number each makes. A source (a buzz of
// the voice's pitch, or noise) goes through the resonances of a mouth on its way from phone to phone, after Klatt
// ("Software for a cascade/parallel formant synthesizer", 1980), much simplified.

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <numbers>
#include <string>
#include <string_view>
#include <vector>

#include <rewind/core/random.h>

namespace rw {

constexpr Index samples_per_second = 8000;

/// What a voice is for: those of the tests are never heard in training, and settings are chosen by the validation's.
enum class Part { training, validation, test };

/// One sound of speech: silence first (the mouth is closed before a p), then so long; how loud the voice is, breath
/// through the mouth, and hiss at the teeth, around what frequency; the first three resonances.
struct Phone {
  char name;
  double closed_ms, ms, voice, breath, hiss, hiss_hz;
  std::array<double, 3> formants;
};

constexpr Phone phones[] = {
    {'i', 0, 90, 1, 0, 0, 3000, {270, 2290, 3010}},         {'I', 0, 70, 1, 0, 0, 3000, {390, 1990, 2550}},
    {'e', 0, 80, 1, 0, 0, 3000, {530, 1840, 2480}},         {'V', 0, 80, 1, 0, 0, 3000, {640, 1190, 2390}},
    {'a', 0, 90, 1, 0, 0, 3000, {730, 1090, 2440}},         {'o', 0, 90, 1, 0, 0, 3000, {490, 850, 2410}},
    {'u', 0, 90, 1, 0, 0, 3000, {300, 870, 2240}},          {'r', 0, 80, 0.8, 0, 0, 3000, {430, 1200, 1600}},
    {'l', 0, 80, 0.7, 0, 0, 3000, {380, 900, 2700}},        {'w', 0, 60, 0.7, 0, 0, 3000, {290, 620, 2200}},
    {'j', 0, 50, 0.7, 0, 0, 3000, {260, 2200, 3000}},       {'m', 0, 90, 0.4, 0, 0, 3000, {260, 1000, 2200}},
    {'n', 0, 90, 0.4, 0, 0, 3000, {260, 1650, 2600}},       {'s', 0, 120, 0, 0, 0.5, 3700, {320, 1700, 2600}},
    {'z', 0, 100, 0.3, 0, 0.3, 3700, {300, 1700, 2600}},    {'f', 0, 110, 0, 0.03, 0.1, 2400, {340, 1100, 2100}},
    {'v', 0, 70, 0.3, 0.02, 0.06, 2400, {300, 1100, 2100}}, {'T', 0, 100, 0, 0.03, 0.1, 3200, {320, 1400, 2600}},
    {'p', 60, 40, 0, 0.3, 0, 3000, {400, 900, 2200}},       {'b', 50, 12, 0.3, 0.2, 0, 3000, {300, 900, 2200}},
    {'t', 60, 40, 0, 0.1, 0.5, 3500, {400, 1800, 2700}},    {'d', 50, 12, 0.3, 0, 0.3, 3400, {300, 1750, 2700}},
    {'k', 60, 45, 0, 0.2, 0.4, 1900, {350, 2000, 2400}},    {'C', 60, 80, 0, 0, 0.6, 2600, {320, 1900, 2600}},
    {'J', 50, 50, 0.2, 0, 0.4, 2600, {300, 1900, 2600}}};

struct Word {
  char name;
  std::string_view phones;
};

constexpr Word words[] = {
    {'0', "ziroou"}, {'1', "wVVn"},  {'2', "tuu"},     {'3', "Trii"},  {'4', "foor"}, {'5', "faaIv"},
    {'6', "sIks"},   {'7', "sevVn"}, {'8', "eeIt"},    {'9', "naaIn"}, {'A', "eeII"}, {'B', "bii"},
    {'C', "sii"},    {'D', "dii"},   {'E', "iii"},     {'F', "eef"},   {'G', "Jii"},  {'H', "eeIC"},
    {'I', "aaaI"},   {'J', "JeII"},  {'K', "keII"},    {'L', "eell"},  {'M', "eemm"}, {'N', "eenn"},
    {'O', "oouu"},   {'P', "pii"},   {'Q', "kjuu"},    {'R', "aarr"},  {'S', "ees"},  {'T', "tii"},
    {'U', "juuu"},   {'V', "vii"},   {'W', "dVbljuu"}, {'X', "eeks"},  {'Y', "waaI"}, {'Z', "zed"}};

/// A resonance of two poles: Klatt's, with a gain of 1 at frequency 0.
class Resonance {
 public:
  void set(double hz, double bandwidth) {
    constexpr double turn = 2 * std::numbers::pi / static_cast<double>(samples_per_second);
    c_ = -std::exp(-turn * bandwidth);
    b_ = 2 * std::exp(-turn * bandwidth / 2) * std::cos(turn * std::min(hz, 3900.0));
  }
  double operator()(double x) {
    const double y = (1 - b_ - c_) * x + b_ * before_ + c_ * earlier_;
    earlier_ = before_, before_ = y;
    return y;
  }

 private:
  double b_ = 0, c_ = 0, before_ = 0, earlier_ = 0;
};

/// Somebody: how high, how fast, how long a throat, and an accent, by which each resonance of each phone is off.
class Voice {
 public:
  explicit Voice(Rng rng)
      : pitch_(80 * std::pow(3, rng.uniform())), tract_(rng.uniform(0.88, 1.15)), pace_(rng.uniform(0.75, 1.2)) {
    for (auto& phone : accent_)
      for (double& formant : phone) formant = 1 + 0.03 * rng.normal();
  }

  /// Numbers of words, spoken one after the other: samples, of a mean square of 1. No two times the same.
  std::vector<float> say(const std::vector<std::int32_t>& text, Rng& rng) const {
    Mouth mouth;
    for (const std::int32_t word : text) {
      mouth.hold(rng, ms(rng, rng.uniform(20, 90)), pitch_);
      const double pitch = pitch_ * rng.uniform(0.85, 1.15);
      for (const char name : words[word].phones) pronounce(name, pitch, mouth, rng);
    }
    mouth.go_to(Phone{});
    mouth.hold(rng, ms(rng, 60), pitch_);
    return mouth.recording();
  }

 private:
  /// Where the mouth is on its way to a phone, and what came out of it.
  class Mouth {
   public:
    void go_to(const Phone& phone) { to_ = phone; }
    void hold(Rng& rng, Index samples, double pitch) {
      for (Index i = 0; i < samples; ++i) {
        if (i % 16 == 0) shape();
        now_.voice += 0.03 * (to_.voice - now_.voice), now_.breath += 0.03 * (to_.breath - now_.breath);
        now_.hiss += 0.03 * (to_.hiss - now_.hiss);
        phase_ += pitch / static_cast<double>(samples_per_second);
        phase_ -= std::floor(phase_);
        const double noise = rng.uniform(-1, 1), buzz = 1 - 2 * phase_;
        double y = now_.voice * buzz + now_.breath * noise;
        for (Resonance& formant : formants_) y = formant(y);
        out_.push_back(static_cast<float>(y + now_.hiss * hiss_(noise)));
      }
    }
    std::vector<float> recording() {
      double square = 0;
      for (const float x : out_) square += x * x / static_cast<double>(out_.size());
      for (float& x : out_) x /= static_cast<float>(std::sqrt(square) + 1e-9);
      return out_;
    }

   private:
    void shape() {
      for (std::size_t f = 0; f < 3; ++f) {
        now_.formants[f] += 0.1 * (to_.formants[f] - now_.formants[f]);
        formants_[f].set(now_.formants[f], 60 + 40 * static_cast<double>(f));
      }
      hiss_.set(to_.hiss_hz, 600);
    }
    Phone now_{' ', 0, 0, 0, 0, 0, 3000, {500, 1500, 2500}}, to_ = now_;
    std::array<Resonance, 3> formants_;
    Resonance hiss_;
    double phase_ = 0;
    std::vector<float> out_;
  };

  Index ms(Rng& rng, double length) const {
    return static_cast<Index>(length * pace_ * rng.uniform(0.85, 1.15) * static_cast<double>(samples_per_second) /
                              1000);
  }
  void pronounce(char name, double pitch, Mouth& mouth, Rng& rng) const {
    std::size_t number = 0;
    while (phones[number].name != name) ++number;
    Phone phone = phones[number], silent = phone;
    for (std::size_t f = 0; f < 3; ++f) silent.formants[f] = phone.formants[f] *= tract_ * accent_[number][f];
    silent.voice = silent.breath = silent.hiss = 0;
    mouth.go_to(silent);
    mouth.hold(rng, ms(rng, phone.closed_ms), pitch);
    mouth.go_to(phone);
    mouth.hold(rng, ms(rng, phone.ms), pitch);
  }

  double pitch_, tract_, pace_;
  std::array<std::array<double, 3>, std::size(phones)> accent_;
};

}  // namespace rw
