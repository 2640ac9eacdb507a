#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include <rewind/core/error.h>
#include <rewind/models/layers/linear.h>
#include <rewind/models/weights/file.h>
#include <rewind/models/weights/serialize.h>

#include "../folder.h"

using namespace rw;
using rw::test::Folder;
namespace fs = std::filesystem;

namespace {

ArrayFile sample() {
  ArrayFile file;
  file.arrays.push_back({"layer.W", Array({1.5f, -2.f, 3.f, 4.f, 5.f, 6.f}, {2, 3})});
  file.arrays.push_back({"double", Array({1e300, -0.1, 5e-324}, {3})});
  file.arrays.push_back({"zahl \u00e4", Array({-7, 2147483647}, {2, 1})});
  file.arrays.push_back({"scalar", full({}, 2.5)});
  file.arrays.push_back({"empty", zeros(0, 4)});
  file.metadata = {{"format", "test"}, {"note", "a \"quote\" and \u00fc"}};
  return file;
}

std::string file_bytes(const std::string& header, const std::string& data) {
  std::string bytes(8, '\0');
  const std::uint64_t length = header.size();
  std::memcpy(bytes.data(), &length, 8);
  return bytes + header + data;
}

std::string refusal(const std::string& path, const std::string& bytes) {
  write_file(path, bytes);
  try {
    load_arrays(path);
  } catch (const Error& e) {
    const std::string what = e.what();
    CHECK(what.substr(0, path.size() + 2) == path + ": ");
    CHECK(what.find('\n') == std::string::npos);
    return what.substr(path.size() + 2);
  }
  return "accepted";
}

std::string one_tensor(const std::string& dtype, const std::string& shape, const std::string& offsets) {
  return R"({"a":{"dtype":)" + dtype + R"(,"shape":)" + shape + R"(,"data_offsets":)" + offsets + "}}";
}

}  // namespace

TEST_CASE("arrays and metadata come back as they were") {
  const Folder folder;
  const ArrayFile file = sample();
  save_arrays(folder / "a.safetensors", file);
  const ArrayFile back = load_arrays(folder / "a.safetensors");
  CHECK(back.metadata == file.metadata);
  REQUIRE(back.arrays.size() == file.arrays.size());
  for (const NamedArray& a : file.arrays) {
    CAPTURE(a.name);
    CHECK(back.at(a.name).dtype() == a.array.dtype());
    CHECK(back.at(a.name) == a.array);
  }
  CHECK(back.find("nobody") == nullptr);
  CHECK_THROWS_WITH_AS(back.at("nobody"), "there is no array 'nobody'", Error);
  CHECK(folder.files() == 1);
  save_arrays(folder / "none.safetensors", ArrayFile());
  CHECK(load_arrays(folder / "none.safetensors").arrays.empty());
}

TEST_CASE("the layout is that of the format: numbers aligned, the longest first") {
  const Folder folder;
  save_arrays(folder / "a", sample());
  const std::string bytes = read_file(folder / "a");
  std::uint64_t length = 0;
  std::memcpy(&length, bytes.data(), 8);
  CHECK(length % 8 == 0);
  CHECK(bytes[8] == '{');
  double first = 0;
  std::memcpy(&first, bytes.data() + 8 + length, 8);
  CHECK(first == 1e300);
  CHECK(bytes.size() == 8 + length + 24 + 24 + 8 + 4);
}

TEST_CASE("a reader of a few lines of Python opens it") {
  if (std::system("python3 -c pass >/dev/null 2>&1") != 0) return;
  const Folder folder;
  save_arrays(folder / "a", sample());
  write_file(folder / "read.py", R"(
import json, struct, sys
data = open(sys.argv[1], 'rb').read()
n = struct.unpack('<Q', data[:8])[0]
header, body = json.loads(data[8:8 + n]), data[8 + n:]
def read(name, code):
    b, e = header[name]['data_offsets']
    return list(struct.unpack('<%d%s' % ((e - b) // struct.calcsize(code), code), body[b:e]))
assert read('layer.W', 'f') == [1.5, -2, 3, 4, 5, 6] and header['layer.W']['shape'] == [2, 3]
assert header['layer.W']['dtype'] == 'F32' and header['double']['dtype'] == 'F64'
assert read('double', 'd') == [1e300, -0.1, 5e-324]
assert read('zahl \u00e4', 'i') == [-7, 2147483647] and header['zahl \u00e4']['dtype'] == 'I32'
assert read('scalar', 'f') == [2.5] and header['scalar']['shape'] == []
assert read('empty', 'f') == [] and header['empty']['shape'] == [0, 4]
assert header['__metadata__']['note'] == 'a "quote" and \u00fc'
)");
  CHECK(std::system(("python3 '" + (folder / "read.py") + "' '" + (folder / "a") + "'").c_str()) == 0);
}

TEST_CASE("what is no safetensors file, or a damaged one, gets one clear line") {
  const Folder folder;
  const std::string path = folder / "bad";
  const std::string good = one_tensor(R"("F32")", "[2]", "[0,8]"), eight(8, '\1');
  CHECK(refusal(path, file_bytes(good, eight)) == "accepted");
  CHECK(refusal(path, "") == "it is too short for a safetensors file");
  CHECK(refusal(path, "hello, world") == "it is not a safetensors file (the header would be too long)");
  CHECK(refusal(path, std::string("\x50\0\0\0\0\0\0\0{}", 10)) ==
        "it is truncated within the header, or not a safetensors file");
  CHECK(refusal(path, file_bytes(good, "1234567")) == "it is truncated: 8 bytes of numbers expected, 7 there");
  CHECK(refusal(path, file_bytes(good, "123456789")) == "it has 1 bytes too many");
  const char* no_json = "its header is not JSON: it is not a safetensors file, or is damaged";
  for (const char* text : {"", "{", "nonsense", "{\"a\"}", "{\"\xff\":1}"})
    CHECK(refusal(path, file_bytes(text, "")) == no_json);
  CHECK(refusal(path, file_bytes("[]", "")) == "its header is not a JSON object");
  CHECK(refusal(path, file_bytes(R"({"a":{"shape":[2],"shape":[2]}})", "")) == "its header names 'shape' twice");
  CHECK(refusal(path, file_bytes("{\"a\":{\"b\":" + std::string(100000, '['), "")) ==
        "its header is nested too deeply");
  CHECK(refusal(path, file_bytes(R"({"__metadata__":{"a":1}})", "")) == "its metadata 'a' is not text");
  CHECK(refusal(path, file_bytes(R"({"__metadata__":7})", "")) == "its metadata is not an object");
  CHECK(refusal(path, file_bytes(R"({"a":7})", "")) == "tensor 'a' is not described by an object");
  CHECK(refusal(path, file_bytes(R"({"a":{"dtype":"F32"}})", "")) == "tensor 'a' has no shape");
}

TEST_CASE("types, lengths and offsets are checked, and cannot overflow") {
  const Folder folder;
  const std::string path = folder / "bad", eight(8, '\1');
  const auto refused = [&](const char* dtype, const char* shape, const char* offsets) {
    return refusal(path, file_bytes(one_tensor(dtype, shape, offsets), eight));
  };
  const std::string readable = "; F32, F64, I32, BF16, F16 and I64 can be read";
  CHECK(refused(R"("U8")", "[8]", "[0,8]") == "tensor 'a' has element type \"U8\"" + readable);
  CHECK(refused("3", "[2]", "[0,8]") == "tensor 'a' has element type 3" + readable);
  CHECK(refused(R"("I64")", "[1]", "[0,8]") == "tensor 'a': 72340172838076673 does not fit i32");
  CHECK(refused(R"("BF16")", "[5]", "[0,8]") == "tensor 'a': its offsets do not fit its shape (5)");
  CHECK(refused(R"("F32")", "2", "[0,8]") == "tensor 'a': its shape is not a list");
  for (const char* length : {"[-2]", "[2.0]", "[\"2\"]", "[null]"})
    CHECK(refused(R"("F32")", length, "[0,8]") ==
          "tensor 'a': a length in its shape is not a whole number of 0 or more");
  CHECK(refused(R"("F32")", "[18446744073709551615]", "[0,8]") == "tensor 'a': a length is too large");
  CHECK(refused(R"("F32")", "[4294967296,4294967296,2]", "[0,8]").substr(0, 12) == "tensor 'a': ");
  CHECK(refused(R"("F32")", "[1,1,1,1,1,1,1,2]", "[0,8]").substr(0, 12) == "tensor 'a': ");
  CHECK(refused(R"("F32")", "[4611686018427387906]", "[0,8]") ==
        "tensor 'a': a shape too large to address: (4611686018427387906)");
  CHECK(refused(R"("F32")", "[3]", "[0,8]") == "tensor 'a': its offsets do not fit its shape (3)");
  CHECK(refused(R"("F64")", "[2]", "[8,0]") == "tensor 'a': its offsets do not fit its shape (2)");
  CHECK(refused(R"("F32")", "[2]", "[0,-8]") == "tensor 'a': an offset is not a whole number of 0 or more");
  CHECK(refused(R"("F32")", "[2]", "[0]") == "tensor 'a': data_offsets is not a pair");
  CHECK(refused(R"("F32")", "[1]", "[4,8]") == "tensor 'a' overlaps another, or leaves a gap");
  CHECK(refused(R"("F32")", "[1000000,1000000]", "[0,4000000000000]") ==
        "it is truncated: 4000000000000 bytes of numbers expected, 8 there");
  const std::string two = R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
                          R"("b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})";
  CHECK(refusal(path, file_bytes(two, eight)) == "tensor 'b' overlaps another, or leaves a gap");
}

TEST_CASE("no damage of one byte, and no truncation, crashes the reader") {
  const Folder folder;
  save_arrays(folder / "a", sample());
  const std::string good = read_file(folder / "a");
  int refused = 0;
  for (std::size_t i = 0; i < good.size(); ++i)
    for (const char change : {'\x01', '\x80'}) {
      std::string bad = good;
      bad[i] = static_cast<char>(bad[i] ^ change);
      std::ofstream(folder / "b", std::ios::binary) << bad;
      try {
        load_arrays(folder / "b");
      } catch (const Error&) {
        ++refused;
      }
    }
  CHECK(refused > 100);
  for (std::size_t length = 0; length < good.size(); ++length) {
    std::ofstream(folder / "b", std::ios::binary) << good.substr(0, length);
    CHECK_THROWS_AS(load_arrays(folder / "b"), Error);
  }
}

TEST_CASE("names that the format cannot have are refused before the file is touched") {
  const Folder folder;
  const std::string path = folder / "a";
  write_file(path, "old");
  const Array x = zeros(1);
  const std::vector<NamedView> twice{{"x", x}, {"x", x}}, reserved{{"__metadata__", x}}, bytes{{"\xff", x}};
  CHECK_THROWS_WITH_AS(save_arrays(path, twice), (path + ": two arrays cannot be saved under one name, 'x'").c_str(),
                       Error);
  CHECK_THROWS_AS(save_arrays(path, reserved), Error);
  CHECK_THROWS_WITH_AS(save_arrays(path, bytes), (path + ": names and metadata must be UTF-8").c_str(), Error);
  CHECK(read_file(path) == "old");
}

TEST_CASE("a view with gaps between its rows is packed") {
  const Folder folder;
  const Array whole({1.f, 2.f, 3.f, 4.f, 5.f, 6.f}, {2, 3});
  const std::vector<NamedView> views{{"part", ConstView{whole.view().data, {2, 2}, 3, DType::f32}}};
  save_arrays(folder / "a", views);
  CHECK(load_arrays(folder / "a").at("part") == Array({1.f, 2.f, 4.f, 5.f}, {2, 2}));
}

TEST_CASE("a model is saved and loaded by dotted names") {
  const Folder folder;
  Rng rng(1);
  const Linear a(3, 2, rng), b(3, 2, rng);
  save_model(folder / "m", a, {{"kind", "linear"}});
  CHECK(load_model(folder / "m", b).at("kind") == "linear");
  CHECK(b.parameter("W").value() == a.parameter("W").value());
  b.to(DType::f64);  // a file of the other precision is converted
  load_model(folder / "m", b);
  CHECK(b.parameter("W").value() == a.parameter("W").value().to(DType::f64));
}

TEST_CASE("a file that does not fit a model: every name is listed and nothing changes") {
  const Folder folder;
  const std::string path = folder / "m";
  Rng rng(1);
  const Linear model(3, 2, rng);
  const Array before = model.parameter("W").value(), wrong = zeros(2, 2), whole = arange(2);
  const std::vector<NamedView> arrays{{"W", wrong}, {"U", wrong}, {"V", wrong}};
  save_arrays(path, arrays);
  CHECK_THROWS_WITH_AS(load_model(path, model),
                       (path + ": it does not fit the model 'linear': missing: b; not expected: U, V; of another "
                               "shape: W (f32 (2, 2), not (3, 2))")
                           .c_str(),
                       Error);
  const std::vector<NamedView> integers{{"W", before}, {"b", whole}};
  save_arrays(path, integers);
  CHECK_THROWS_AS(load_model(path, model), Error);
  CHECK(model.parameter("W").value() == before);
}

namespace {

template <class T>
Array read_as(const std::string& path, const std::string& type, const std::vector<T>& elements) {
  const std::size_t bytes = elements.size() * sizeof(T);
  const std::string data(reinterpret_cast<const char*>(elements.data()), bytes);
  const std::string count = std::to_string(elements.size());
  write_file(path,
             file_bytes(one_tensor("\"" + type + "\"", "[" + count + "]", "[0," + std::to_string(bytes) + "]"), data));
  return load_arrays(path).at("a");
}

}  // namespace

TEST_CASE("halves and long whole numbers become the types that have their values") {
  const Folder folder;
  const std::string path = folder / "types";
  const float inf = std::numeric_limits<float>::infinity();
  using Half = std::vector<std::uint16_t>;
  // 1, -2.5, the largest, the smallest, -0, -inf of bfloat16
  const Array b = read_as(path, "BF16", Half{0x3f80, 0xc020, 0x7f7f, 0x0001, 0x8000, 0xff80});
  CHECK(b.dtype() == DType::f32);
  CHECK(b.to_vector<float>() == std::vector<float>{1, -2.5f, 0x1.fep127f, 0x1p-133f, 0, -inf});
  CHECK(std::signbit(b.span<float>()[4]));
  // 1, -2.5, 65504, the smallest normal, the largest and the smallest subnormal, -0, inf of binary16
  const Array h = read_as(path, "F16", Half{0x3c00, 0xc100, 0x7bff, 0x0400, 0x03ff, 0x0001, 0x8000, 0x7c00});
  CHECK(h.to_vector<float>() == std::vector<float>{1, -2.5f, 65504, 0x1p-14f, 1023 * 0x1p-24f, 0x1p-24f, 0, inf});
  CHECK(std::signbit(h.span<float>()[6]));
  for (const auto& [type, bits] : {std::pair("BF16", std::uint16_t{0xffc1}), std::pair("F16", std::uint16_t{0x7e01})})
    CHECK(std::isnan(read_as(path, type, Half{bits}).item()));
  const Array i = read_as(path, "I64", std::vector<std::int64_t>{7, -1, 2147483647, -2147483648LL});
  CHECK(i.dtype() == DType::i32);
  CHECK(i.to_vector<std::int32_t>() == std::vector<std::int32_t>{7, -1, 2147483647, -2147483647 - 1});
  CHECK(read_as(path, "F16", Half{}).shape() == Shape{0});
}

TEST_CASE("a model's tied weights are saved once, its buffers too, and come back") {
  class Model : public Module {
   public:
    explicit Model(double value)
        : Module("model"),
          a_(param("a", full({2}, value))),
          b_(param("b", full({2}, value))),
          scale_(buffer("scale", full({1}, value))) {
      b_.tie(a_);
    }
    Parameter &a_, &b_, &scale_;
  };
  const Folder folder;
  const std::string path = folder / "model";
  const Model from(3), to(5);
  save_model(path, from);
  CHECK(load_arrays(path).arrays.size() == 2);
  load_model(path, to);
  CHECK(to.b_.value() == from.a_.value());
  CHECK(to.scale_.value().item() == 3);
  ArrayFile file = load_arrays(path);
  std::erase_if(file.arrays, [](const NamedArray& a) { return a.name == "scale"; });
  CHECK_THROWS_WITH_AS(set_parameters(to, file.arrays, "x"), "x: it does not fit the model 'model': missing: scale",
                       Error);
}

TEST_CASE("a header of many arrays is read in time that grows with their number") {
  const Folder folder;
  std::string header = "{";
  constexpr int arrays = 40000;
  for (int i = 0; i < arrays; ++i)
    header += (i > 0 ? ",\"" : "\"") + std::to_string(i) + R"(":{"dtype":"F32","shape":[0],"data_offsets":[0,0]})";
  write_file(folder / "a", file_bytes(header + "}", ""));
  CHECK(load_arrays(folder / "a").arrays.size() == arrays);  // 10 s when every end of one searched all
}

TEST_CASE("what a header can claim is bounded") {
  const Folder folder;
  const std::string path = folder / "a";
  std::string many = R"({"a":{"dtype":"F32","data_offsets":[0,4],"shape":[1)";
  for (int i = 0; i < 2000; ++i) many += ",1";
  CHECK(refusal(path, file_bytes(many + "]}}", "1234")) == "a list in its header is too long");
  std::string metadata = R"({"__metadata__":{"-":"")";
  for (int i = 0; i < 70000; ++i) metadata += ",\"" + std::to_string(i) + "\":\"\"";
  CHECK(refusal(path, file_bytes(metadata + "}}", "")) == "its metadata has too many entries");
}

TEST_CASE("names from a file are printed as text, and not without end") {
  const Folder folder;
  const std::string path = folder / "a";
  const std::string red = R"({"\u001b[31m":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}})";
  CHECK(refusal(path, file_bytes(red, "1234")) == "tensor '\\x1b[31m': its offsets do not fit its shape (2)");
  const std::string name(1'000'000, 'n');
  CHECK(refusal(path, file_bytes("{\"" + name + "\":5}", "")).size() < 200);
  Rng rng(1);
  const Linear linear(1, 1, rng);
  ArrayFile other;
  for (int i = 0; i < 3000; ++i) other.arrays.push_back({"\x1b" + std::to_string(i), zeros(1)});
  try {
    set_parameters(linear, other.arrays, "x");
    FAIL("it fits");
  } catch (const Error& e) {
    const std::string what = e.what();
    CHECK(what.find('\x1b') == std::string::npos);
    CHECK(what.size() < 10000);
  }
}

TEST_CASE("any text may be a name or metadata, and comes back") {
  const Folder folder;
  std::string all;
  for (int c = 0; c < 128; ++c) all += static_cast<char>(c);
  ArrayFile file{.arrays = {{all, zeros(1)}}, .metadata = {{all, all + "\u00e9"}, {"", ""}}};
  save_arrays(folder / "a", file);
  const ArrayFile back = load_arrays(folder / "a");
  CHECK(back.metadata == file.metadata);
  CHECK(back.find(all) != nullptr);
}
