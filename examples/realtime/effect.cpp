// A distortion circuit as an effect for sound, imitated by the LSTM in distortion.h: this program links nothing.
//
//     effect [IN.wav OUT.wav]        16-bit mono at any rate; without files, three seconds of plucked strings
//
// Prints how many times faster than real time it is, and the part of the circuit's energy that the imitation misses.
#include <chrono>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "circuit.h"
#include "distortion.h"

namespace {

struct Sound {
  std::uint32_t rate = circuit::rate;
  std::vector<float> samples;
};

std::uint32_t number(const std::vector<unsigned char>& bytes, std::size_t at, int count) {
  std::uint32_t n = 0;
  for (int i = 0; i < count; ++i) n |= static_cast<std::uint32_t>(bytes[at + static_cast<std::size_t>(i)]) << (8 * i);
  return n;
}

/// The samples of a 16-bit mono WAV file; false for anything else.
bool read_wav(const char* path, Sound& sound) {
  std::FILE* file = std::fopen(path, "rb");
  if (file == nullptr) return false;
  std::vector<unsigned char> bytes;
  unsigned char part[4096];
  for (std::size_t n; (n = std::fread(part, 1, sizeof part, file)) > 0;) bytes.insert(bytes.end(), part, part + n);
  std::fclose(file);
  if (bytes.size() < 12 || std::memcmp(bytes.data(), "RIFF", 4) != 0 || std::memcmp(&bytes[8], "WAVE", 4) != 0)
    return false;
  bool is_pcm = false;
  for (std::size_t at = 12; at + 8 <= bytes.size();) {
    const std::size_t size = number(bytes, at + 4, 4), begin = at + 8;
    const std::size_t there = size < bytes.size() - begin ? size : bytes.size() - begin;
    if (std::memcmp(&bytes[at], "fmt ", 4) == 0 && there >= 16) {
      is_pcm = number(bytes, begin, 2) == 1 && number(bytes, begin + 2, 2) == 1 && number(bytes, begin + 14, 2) == 16;
      sound.rate = number(bytes, begin + 4, 4);
    }
    if (std::memcmp(&bytes[at], "data", 4) == 0 && is_pcm) {
      for (std::size_t i = begin; i + 1 < begin + there; i += 2)
        sound.samples.push_back(static_cast<float>(static_cast<std::int16_t>(number(bytes, i, 2))) / 32768.0f);
      return true;
    }
    at = begin + there + there % 2;
  }
  return false;
}

void append(std::string& to, std::uint32_t n, int count) {
  for (int i = 0; i < count; ++i) to += static_cast<char>(n >> (8 * i) & 255);
}

bool write_wav(const char* path, const Sound& sound) {
  const auto size = static_cast<std::uint32_t>(2 * sound.samples.size());
  std::string bytes = "RIFF";
  append(bytes, 36 + size, 4);
  bytes += "WAVEfmt ";
  append(bytes, 16, 4);
  append(bytes, 1, 2);  // PCM
  append(bytes, 1, 2);  // mono
  append(bytes, sound.rate, 4);
  append(bytes, 2 * sound.rate, 4);
  append(bytes, 2, 2);
  append(bytes, 16, 2);
  bytes += "data";
  append(bytes, size, 4);
  for (const float v : sound.samples) {
    const float clipped = v > 1 ? 1 : (v < -1 ? -1 : v);
    append(bytes, static_cast<std::uint32_t>(static_cast<std::int32_t>(clipped * 32767.0f)), 2);
  }
  std::FILE* file = std::fopen(path, "wb");
  if (file == nullptr) return false;
  const bool whole = std::fwrite(bytes.data(), 1, bytes.size(), file) == bytes.size();
  return std::fclose(file) == 0 && whole;
}

}  // namespace

int main(int argc, char** argv) {
  Sound in;
  if (argc == 1) in.samples = circuit::plucked(3, 99);  // none that it learnt from
  if (argc != 1 && (argc != 3 || !read_wav(argv[1], in))) {
    std::fprintf(stderr, "effect: give two files, IN.wav of 16-bit mono and OUT.wav, or none\n");
    return 2;
  }
  if (in.samples.empty()) {
    std::fprintf(stderr, "effect: there is no sound in %s\n", argv[1]);
    return 1;
  }

  const distortion::Model model;
  distortion::State state;
  model.reset(state);
  Sound out{in.rate, std::vector<float>(in.samples.size())};
  const auto begin = std::chrono::steady_clock::now();
  model.run(in.samples.data(), in.samples.size(), state, out.samples.data());  // what an audio callback would do
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();

  const double sound = static_cast<double>(in.samples.size()) / in.rate;
  const double missed = circuit::error_to_signal(out.samples, circuit::distorted(in.samples));
  std::printf(
      "%.2f s of sound in %.4f s: %.0f times real time, %.0f ns a sample; misses %.2f%% of the circuit's energy\n",
      sound, seconds, sound / seconds, 1e9 * seconds / static_cast<double>(in.samples.size()), 100 * missed);
  if (argc == 3 && !write_wav(argv[2], out)) {
    std::fprintf(stderr, "effect: cannot write %s\n", argv[2]);
    return 1;
  }
  return argc == 1 && missed > 0.001 ? 1 : 0;
}
