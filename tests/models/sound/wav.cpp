#include <bit>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <rewind/core/error.h>
#include <rewind/models/sound/wav.h>
#include <rewind/models/weights/file.h>

#include "../folder.h"

using namespace rw;

namespace {

std::string bytes(std::uint64_t x, int size) {
  std::string text;
  for (; size-- > 0; x >>= 8) text += static_cast<char>(x & 255);
  return text;
}
std::string chunk(const std::string& name, const std::string& data) {
  return name + bytes(data.size(), 4) + data + std::string(data.size() % 2, '\0');
}
std::string format(int code, int channels, int rate, int bits) {
  const int frame = channels * bits / 8;
  return chunk("fmt ", bytes(static_cast<std::uint64_t>(code), 2) + bytes(static_cast<std::uint64_t>(channels), 2) +
                           bytes(static_cast<std::uint64_t>(rate), 4) +
                           bytes(static_cast<std::uint64_t>(rate * frame), 4) +
                           bytes(static_cast<std::uint64_t>(frame), 2) + bytes(static_cast<std::uint64_t>(bits), 2));
}
std::string riff(const std::string& chunks) { return chunk("RIFF", "WAVE" + chunks); }

Sound read(const std::string& file) {
  const test::Folder folder;
  write_file(folder / "a.wav", file);
  return read_wav(folder / "a.wav");
}
std::vector<float> samples(int code, int bits, const std::string& data) {
  const Sound sound = read(riff(format(code, 1, 8000, bits) + chunk("data", data)));
  const auto x = sound.samples.span<float>();
  return {x.begin(), x.end()};
}

}  // namespace

TEST_CASE("PCM of all widths is from -1 to 1, floats stay as they are") {
  CHECK(samples(1, 8, bytes(0x0080C0FF, 4)) == std::vector<float>{127.0F / 128, 0.5F, 0, -1});
  CHECK(samples(1, 16, bytes(0x0000C00040008000, 8)) == std::vector<float>{-1, 0.5F, -0.5F, 0});
  CHECK(samples(1, 16, bytes(0x00017FFF, 4)) == std::vector<float>{32767.0F / 32768, 1.0F / 32768});
  CHECK(samples(1, 24, bytes(0x800000, 3) + bytes(0x400000, 3)) == std::vector<float>{-1, 0.5F});
  CHECK(samples(1, 32, bytes(0x80000000, 4) + bytes(0x20000000, 4)) == std::vector<float>{-1, 0.25F});
  CHECK(samples(3, 32, bytes(std::bit_cast<std::uint32_t>(1.5F), 4)) == std::vector<float>{1.5F});
  CHECK(samples(3, 64, bytes(std::bit_cast<std::uint64_t>(-2.5), 8)) == std::vector<float>{-2.5F});
}

TEST_CASE("channels, rate, other chunks, the extensible form, no samples") {
  const std::string data = bytes(0x4000, 2) + bytes(0xC000, 2) + bytes(0, 2) + bytes(0x2000, 2);
  const Sound sound = read(riff(chunk("LIST", "odd") + format(1, 2, 22050, 16) + chunk("data", data) + "id3"));
  CHECK(sound.rate == 22050);
  REQUIRE(sound.samples.shape() == Shape{2, 2});
  CHECK(sound.samples.at({0, 0}) == 0.5);
  CHECK(sound.samples.at({0, 1}) == -0.5);
  CHECK(sound.samples.at({1, 1}) == 0.25);

  const std::string long_name = format(0xFFFE, 1, 44100, 16).substr(8) + bytes(22, 2) + bytes(16, 2) + bytes(4, 4) +
                                bytes(1, 2) + std::string(14, 'x');
  CHECK(read(riff(chunk("fmt ", long_name) + chunk("data", data))).samples.shape() == Shape{4, 1});
  CHECK(read(riff(format(1, 2, 8000, 8) + chunk("data", ""))).samples.shape() == Shape{0, 2});
}

TEST_CASE("a file that is none, or is cut anywhere, is an error that names it") {
  const auto says = [](const std::string& file, const char* what) {
    CHECK_THROWS_WITH_AS(read(file), doctest::Contains(what), Error);
  };
  says("", "a.wav: it is no WAV file");
  says("RIFX0000WAVE", "it is no WAV file");
  says(riff(""), "no data chunk");
  says(riff(chunk("data", "ab") + format(1, 1, 8000, 16)), "before the fmt chunk");
  says(riff(chunk("fmt ", "short") + chunk("data", "ab")), "fmt chunk has 5 bytes");
  says(riff(format(85, 1, 8000, 16) + chunk("data", "ab")), "16 bits in format 85");
  says(riff(format(1, 1, 8000, 12) + chunk("data", "ab")), "12 bits in format 1");
  says(riff(format(0xFFFE, 1, 8000, 16) + chunk("data", "ab")), "in format 65534");
  says(riff(format(1, 0, 8000, 16) + chunk("data", "ab")), "0 channels of 8000");
  says(riff(format(1, 1, 0, 16) + chunk("data", "ab")), "1 channels of 0");
  says(riff(format(1, 2, 8000, 16) + chunk("data", "abcdef")), "6 bytes of samples are no whole number of frames of 4");
  CHECK_THROWS_WITH_AS(read_wav("/no/such.wav"), doctest::Contains("/no/such.wav"), Error);

  const std::string whole = riff(format(1, 1, 8000, 16) + chunk("data", "abcdef"));
  for (std::size_t size = 0; size < whole.size(); ++size) CHECK_THROWS_AS(read(whole.substr(0, size)), Error);
  CHECK(read(whole).samples.size() == 3);
}
