#pragma once

// Speech by espeak-ng, a program: words in voices, accents, paces and heights of its own.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <numbers>
#include <numeric>
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

constexpr Index espeak_rate = 16000;  // samples per second: f and s differ above what 8000 can hold

/// That of the West Midlands is not among them: its E is the A of others, so that one letter alone could be either.
constexpr std::string_view espeak_accents[] = {"en-us",  "en-gb",     "en-gb-scotland", "en-gb-x-rp",
                                               "en-029", "en-us-nyc", "en-gb-x-gbclan"};
/// Variants are voices with resonances, breath and pitches of their own; no two parts have one in common.
constexpr std::string_view espeak_training[] = {
    "Alex",        "Andy",    "Annie",    "Diogo",    "Gene",   "Gene2",   "Henrique", "Hugo",  "Jacky",
    "Lee",         "Marco",   "Michael",  "Mike",     "Storm",  "Tweaky",  "adam",     "anika", "antonio",
    "announcer",   "belinda", "benjamin", "boris",    "caleb",  "croak",   "david",    "ed",    "edward",
    "edward2",     "f1",      "f2",       "f5",       "fast",   "grandma", "iven",     "iven2", "iven3",
    "iven4",       "john",    "klatt",    "klatt2",   "klatt3", "klatt5",  "klatt6",   "linda", "m1",
    "m2",          "m3",      "m4",       "max",      "michel", "miguel",  "norbert",  "pablo", "quincy",
    "robert",      "steph",   "steph2",   "steph3",   "victor", "whisper", "whisperf", "zac",   "kaukovalta",
    "AnxiousAndy", "Demonic", "UniRobot", "robosoft7"};
constexpr std::string_view espeak_validation[] = {"travis", "klatt4", "marcelo", "rob",
                                                  "sandro", "Andrea", "grandpa", "pedro"};
constexpr std::string_view espeak_test[] = {"m5",    "m6",     "m7",    "m8",      "f3",   "f4",
                                            "Denis", "Alicia", "Mario", "gustave", "paul", "shelby"};

/// At another rate, below the first: each sample is a sum over those around it, under a low-pass filter (a sinc of 16
/// zeros under Hann's window) that keeps nine tenths of what the new rate can hold.
inline std::vector<float> resampled(std::span<const float> x, Index from, Index to) {
  const Index common = std::gcd(from, to), step = from / common, phases = to / common;
  const double width = 8 / 0.9 * static_cast<double>(from) / static_cast<double>(to);
  const auto reach = static_cast<Index>(width) + 1, taps = 2 * reach;
  std::vector<float> filters;  // one for each place that a new sample can have between two old ones
  for (Index phase = 0; phase < phases; ++phase)
    for (Index k = 1 - reach; k <= reach; ++k) {
      const double at = static_cast<double>(k) - static_cast<double>(phase) / static_cast<double>(phases);
      const double turn = std::clamp(at / width, -1.0, 1.0) * std::numbers::pi;
      const double sinc = turn == 0 ? 1 : std::sin(8 * turn) / (8 * turn);
      filters.push_back(static_cast<float>(sinc * (0.5 + 0.5 * std::cos(turn)) * 8 / width));
    }
  std::vector<float> padded(static_cast<std::size_t>(reach), 0), y;
  padded.insert(padded.end(), x.begin(), x.end());
  padded.resize(padded.size() + static_cast<std::size_t>(reach), 0);
  for (Index i = 0; i * step / phases < static_cast<Index>(x.size()); ++i) {
    const float* around = padded.data() + i * step / phases + 1;
    y.push_back(std::inner_product(around, around + taps, filters.data() + i * step % phases * taps, 0.0F));
  }
  return y;
}

/// Somebody: a voice, an accent, a pace and a height.
class EspeakVoice {
 public:
  /// Where training is for the test, the voices of validation are heard in training, too: settings have been chosen.
  EspeakVoice(Part part, bool for_test, Rng& rng) : training_(part == Part::training) {
    const auto one_of = [&](std::span<const std::string_view> all) {
      return std::string(all[static_cast<std::size_t>(rng.below(static_cast<Index>(all.size())))]);
    };
    const std::string accent = one_of(espeak_accents);
    std::vector<std::string_view> variants;
    const auto with = [&](const auto& voices) {
      variants.insert(variants.end(), std::begin(voices), std::end(voices));
    };
    if (training_) with(espeak_training);
    if (part == Part::validation || (training_ && for_test)) with(espeak_validation);
    if (part == Part::test) with(espeak_test);
    const std::string variant = one_of(variants);
    options_ = " -v " + accent + '+' + variant + " -s " + std::to_string(140 + rng.below(70)) + " -p " +
               std::to_string(20 + rng.below(60));
  }

  /// Texts as numbers of words, each said by itself: samples of a mean square of 1, `espeak_rate`. In training each is
  /// played slower or quicker, as throats are longer or shorter (speed perturbation; Ko et al., 2015). Throws Error
  /// without espeak-ng.
  std::vector<std::vector<float>> say(const std::vector<std::vector<std::int32_t>>& texts, Rng& rng) const {
    std::string spoken;  // by one run of the program, since to start it takes longer than to speak
    for (const auto& text : texts) spoken += "<s>" + spelled(text) + "</s><break time=\"1s\"/>";
    const Sound sound = run(spoken);
    std::vector<std::vector<float>> sounds;
    for (const std::span<const float> part : parts(sound.samples.span<float>(), sound.rate * 6 / 10)) {
      const Index pace = training_ ? 88 + rng.below(25) : 100;
      sounds.push_back(levelled(resampled(part, sound.rate, espeak_rate * pace / 100), rng));
    }
    if (sounds.size() != texts.size())
      throw Error("espeak-ng said " + std::to_string(sounds.size()) + " texts of " + std::to_string(texts.size()) +
                  ":" + options_ + " '" + spoken + "'");
    return sounds;
  }

 private:
  static std::string spelled(const std::vector<std::int32_t>& text) {
    static constexpr std::string_view digits[] = {"zero", "one", "two",   "three", "four",
                                                  "five", "six", "seven", "eight", "nine"};
    std::string spoken;
    for (const std::int32_t word : text)  // without a comma the letter A is an article
      spoken += word < 10 ? std::string(digits[word]) + ' ' : std::string(1, words[word].name) + ", ";
    return spoken;
  }
  Sound run(const std::string& spoken) const {
    const std::string file =
        (std::filesystem::temp_directory_path() / ("rewind-speech-" + std::to_string(::getpid()) + ".wav")).string();
    const std::string command = "espeak-ng -z -m" + options_ + " -w '" + file + "' '" + spoken + "' 2>/dev/null";
    if (std::system(command.c_str()) != 0)
      throw Error("espeak-ng cannot be run: install it (on Debian: apt install espeak-ng), or take --voices own\n  " +
                  command);
    Sound sound = read_wav(file);
    std::filesystem::remove(file);
    return sound;
  }
  /// What is between pauses of so many samples, or more.
  static std::vector<std::span<const float>> parts(std::span<const float> x, Index pause) {
    float loudest = 0;
    for (const float sample : x) loudest = std::max(loudest, std::abs(sample));
    std::vector<std::span<const float>> found;
    std::size_t first = 0, end = 0;  // of what may go on
    for (std::size_t i = 0; i < x.size(); ++i) {
      if (std::abs(x[i]) < 0.005F * loudest) continue;
      if (end > 0 && i - end >= static_cast<std::size_t>(pause)) found.push_back(x.subspan(first, end - first));
      if (end == 0 || i - end >= static_cast<std::size_t>(pause)) first = i;
      end = i + 1;
    }
    if (end > 0) found.push_back(x.subspan(first, end - first));
    return found;
  }
  /// With a mean square of 1, and some silence before and after.
  static std::vector<float> levelled(const std::vector<float>& sound, Rng& rng) {
    const double square = std::inner_product(sound.begin(), sound.end(), sound.begin(), 0.0);
    const auto scale = static_cast<float>(std::sqrt(static_cast<double>(sound.size()) / (square + 1e-9)));
    std::vector<float> y(static_cast<std::size_t>(espeak_rate / 50 + rng.below(espeak_rate / 10)), 0);
    for (const float sample : sound) y.push_back(scale * sample);
    y.resize(y.size() + static_cast<std::size_t>(espeak_rate / 50 + rng.below(espeak_rate / 10)), 0);
    return y;
  }

  bool training_;
  std::string options_;
};

}  // namespace rw
