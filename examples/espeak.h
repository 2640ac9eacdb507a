#pragma once

// Speech by espeak-ng, a program: words in voices, accents, paces and heights of its own.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <numbers>
#include <span>
#include <string>
#include <string_view>
#include <unistd.h>
#include <vector>

#include <rewind/core/error.h>
#include <rewind/core/random.h>
#include <rewind/models/sound/wav.h>

#include "voice.h"

namespace rw {

/// At another rate, below the first: each sample is a sum over those around it, under a low-pass filter (a sinc of 16
/// zeros under Hann's window) that keeps nine tenths of what the new rate can hold.
inline std::vector<float> resampled(std::span<const float> x, Index from, Index to) {
  const double ratio = static_cast<double>(from) / static_cast<double>(to), width = 8 * ratio / 0.9;
  std::vector<float> y;
  for (Index i = 0; i < static_cast<Index>(static_cast<double>(x.size()) / ratio); ++i) {
    const double at = ratio * static_cast<double>(i);
    const auto first = std::max<Index>(0, static_cast<Index>(std::ceil(at - width)));
    const auto last = std::min(static_cast<Index>(x.size()) - 1, static_cast<Index>(at + width));
    double sum = 0;
    for (Index k = first; k <= last; ++k) {
      const double turn = std::numbers::pi * (static_cast<double>(k) - at) / width;  // from -pi to pi
      const double sinc = turn == 0 ? 1 : std::sin(8 * turn) / (8 * turn);
      sum += static_cast<double>(x[static_cast<std::size_t>(k)]) * sinc * (0.5 + 0.5 * std::cos(turn));
    }
    y.push_back(static_cast<float>(sum * 8 / width));
  }
  return y;
}

/// Somebody. Those of the tests are never heard in training.
class EspeakVoice {
 public:
  EspeakVoice(bool test, Rng& rng) {
    static constexpr std::string_view accents[] = {"en-us", "en-gb", "en-gb-scotland", "en-gb-x-rp", "en-029"};
    static constexpr std::string_view heard[] = {
        "m1",    "m2",    "m3",    "m4",      "f1",      "f2",       "Andy",  "linda",  "Alex",    "Annie",
        "Diogo", "Gene",  "Jacky", "Marco",   "Michael", "Henrique", "adam",  "anika",  "antonio", "aunty",
        "david", "boris", "caleb", "belinda", "edward",  "grandma",  "iven2", "victor", "john",    "quincy"};
    static constexpr std::string_view unheard[] = {"m5", "m6", "m7", "m8", "f3", "f4", "Denis", "Alicia"};
    const auto one_of = [&](const auto& all) {
      return std::string(all[rng.below(static_cast<Index>(std::size(all)))]);
    };
    const std::string accent = one_of(accents);
    options_ = " -v " + accent + '+' + (test ? one_of(unheard) : one_of(heard)) + " -s " +
               std::to_string(140 + rng.below(70)) + " -p " + std::to_string(20 + rng.below(60));
  }

  /// Numbers of words: samples of a mean square of 1, `samples_per_second`. Throws Error without espeak-ng.
  std::vector<float> say(const std::vector<std::int32_t>& text) const {
    static constexpr std::string_view digits[] = {"zero", "one", "two",   "three", "four",
                                                  "five", "six", "seven", "eight", "nine"};
    std::string spoken;
    for (const std::int32_t word : text)  // without a comma the letter A is an article
      spoken += word < 10 ? std::string(digits[word]) + ' ' : std::string(1, words[word].name) + ", ";
    const std::string file =
        (std::filesystem::temp_directory_path() / ("rewind-speech-" + std::to_string(::getpid()) + ".wav")).string();
    const std::string command = "espeak-ng -z" + options_ + " -w '" + file + "' '" + spoken + "' 2>/dev/null";
    if (std::system(command.c_str()) != 0)
      throw Error("espeak-ng cannot be run: install it (on Debian: apt install espeak-ng)\n  " + command);
    const Sound sound = read_wav(file);
    std::filesystem::remove(file);
    std::vector<float> x = resampled(sound.samples.span<float>(), sound.rate, samples_per_second);
    double square = 0;
    for (const float sample : x) square += sample * sample / static_cast<double>(x.size());
    for (float& sample : x) sample /= static_cast<float>(std::sqrt(square) + 1e-9);
    return x;
  }

 private:
  std::string options_;
};

}  // namespace rw
