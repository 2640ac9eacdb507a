#include <algorithm>
#include <bit>
#include <cstdint>
#include <optional>
#include <string_view>

#include <fmt/format.h>

#include <rewind/core/error.h>
#include <rewind/models/sound/wav.h>
#include <rewind/models/weights/file.h>

namespace rw {
namespace {

constexpr Index pcm = 1, ieee_float = 3, extensible = 0xFFFE;

/// `size` bytes, the lowest first.
std::uint64_t number(std::string_view bytes, std::size_t at, std::size_t size) {
  std::uint64_t x = 0;
  for (std::size_t i = size; i-- > 0;) x = x << 8 | static_cast<unsigned char>(bytes[at + i]);
  return x;
}

struct Format {
  Index code, channels, rate, bits;
};

/// Of the bytes of a `fmt ` chunk. The extensible form has the code at the head of a longer name.
Format format_of(std::string_view bytes) {
  const auto field = [&](std::size_t at, std::size_t size) { return static_cast<Index>(number(bytes, at, size)); };
  if (bytes.size() < 16) throw Error(fmt::format("its fmt chunk has {} bytes, not 16 or more", bytes.size()));
  Format format{field(0, 2), field(2, 2), field(4, 4), field(14, 2)};
  if (format.code == extensible && bytes.size() >= 26) format.code = field(24, 2);
  const Index bits = format.bits;
  const bool known = (format.code == pcm && (bits == 8 || bits == 16 || bits == 24 || bits == 32)) ||
                     (format.code == ieee_float && (bits == 32 || bits == 64));
  if (!known)
    throw Error(
        fmt::format("samples of {} bits in format {} are not read, but PCM (1) of 8, 16, 24 or 32, and floats (3) of "
                    "32 or 64",
                    bits, format.code));
  if (format.channels == 0 || format.rate == 0)
    throw Error(fmt::format("it has {} channels of {} samples a second", format.channels, format.rate));
  return format;
}

float sample(std::string_view bytes, std::size_t at, const Format& format) {
  const std::size_t size = static_cast<std::size_t>(format.bits) / 8;
  const std::uint64_t x = number(bytes, at, size);
  if (format.code == ieee_float && size == 4) return std::bit_cast<float>(static_cast<std::uint32_t>(x));
  if (format.code == ieee_float) return static_cast<float>(std::bit_cast<double>(x));
  const auto half = static_cast<double>(1LL << (format.bits - 1));
  auto value = static_cast<double>(x);
  if (size == 1)
    value -= half;  // PCM of 8 bits has no sign; wider PCM has
  else if (value >= half)
    value -= 2 * half;
  return static_cast<float>(value / half);
}

Sound sound_of(std::string_view bytes, const Format& format) {
  const auto width = static_cast<std::size_t>(format.bits / 8);
  const std::size_t frame = width * static_cast<std::size_t>(format.channels);
  if (bytes.size() % frame != 0)
    throw Error(fmt::format("{} bytes of samples are no whole number of frames of {}", bytes.size(), frame));
  Sound sound{Array({static_cast<Index>(bytes.size() / frame), format.channels}, DType::f32), format.rate};
  std::size_t i = 0;
  for (float& x : sound.samples.span<float>()) x = sample(bytes, width * i++, format);
  return sound;
}

Sound decode(std::string_view file) {
  if (file.size() < 12 || file.substr(0, 4) != "RIFF" || file.substr(8, 4) != "WAVE")
    throw Error("it is no WAV file: it does not begin with RIFF and WAVE");
  std::optional<Format> format;
  for (std::size_t at = 12; file.size() - at >= 8;) {
    const std::string_view name = file.substr(at, 4);
    const std::size_t size = number(file, at + 4, 4);
    at += 8;
    if (size > file.size() - at)
      throw Error(fmt::format("it is cut short: a chunk of {} bytes, of which {} are there", size, file.size() - at));
    if (name == "fmt ") format = format_of(file.substr(at, size));
    if (name == "data" && !format) throw Error("its samples come before the fmt chunk that says what they are");
    if (name == "data") return sound_of(file.substr(at, size), *format);
    at += std::min(size + size % 2, file.size() - at);
  }
  throw Error("it has no data chunk");
}

}  // namespace

Sound read_wav(const std::string& path) {
  const std::string file = read_file(path);
  try {
    return decode(file);
  } catch (const Error& e) {
    throw Error(path + ": " + e.what());
  }
}

}  // namespace rw
