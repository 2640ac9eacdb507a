#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

#include <rewind/core/error.h>
#include <rewind/models/weights/element_types.h>

namespace rw::detail {
namespace {

static_assert(std::endian::native == std::endian::little, "safetensors are little-endian, and read as they are");

void copied(const char* from, View to) {
  std::memcpy(to.data, from, static_cast<std::size_t>(to.size()) * size_of(to.dtype));
}

/// f(element of the file) for every element.
template <class In, class Out, class F>
void converted(const char* from, View to, F&& f) {
  Out* out = to.as<Out>();
  for (Index i = 0; i < to.size(); ++i) {
    In in;
    std::memcpy(&in, from + static_cast<std::size_t>(i) * sizeof in, sizeof in);
    out[i] = f(in);
  }
}

/// bfloat16 is the upper half of a float.
float from_bf16(std::uint16_t bits) { return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16); }

/// IEEE 754 binary16: 1 bit of sign, 5 of exponent (bias 15), 10 of fraction.
float from_f16(std::uint16_t bits) {
  const int exponent = (bits >> 10) & 0x1f, fraction = bits & 0x3ff;
  float size;
  if (exponent == 0x1f)  // inf, or nan with its bits
    size = std::bit_cast<float>(0x7f800000u | static_cast<std::uint32_t>(fraction) << 13);
  else if (exponent == 0)
    size = std::ldexp(static_cast<float>(fraction), -24);
  else
    size = std::ldexp(static_cast<float>(fraction + 0x400), exponent - 25);
  return (bits & 0x8000) != 0 ? -size : size;
}

std::int32_t from_i64(std::int64_t value) {
  if (value < std::numeric_limits<std::int32_t>::min() || value > std::numeric_limits<std::int32_t>::max())
    throw Error(std::to_string(value) + " does not fit i32");
  return static_cast<std::int32_t>(value);
}

constexpr std::array<ElementType, 6> types{{
    {"F32", 4, DType::f32, copied},
    {"F64", 8, DType::f64, copied},
    {"I32", 4, DType::i32, copied},
    {"BF16", 2, DType::f32, [](const char* from, View to) { converted<std::uint16_t, float>(from, to, from_bf16); }},
    {"F16", 2, DType::f32, [](const char* from, View to) { converted<std::uint16_t, float>(from, to, from_f16); }},
    {"I64", 8, DType::i32,
     [](const char* from, View to) { converted<std::int64_t, std::int32_t>(from, to, from_i64); }},
}};

}  // namespace

const ElementType* element_type(std::string_view name) {
  const auto* found = std::find_if(types.begin(), types.end(), [&](const ElementType& t) { return t.name == name; });
  return found == types.end() ? nullptr : &*found;
}

std::string readable_element_types() {
  std::string text;
  for (const ElementType& t : types)
    text += (text.empty() ? "" : &t == &types.back() ? " and " : ", ") + std::string(t.name);
  return text;
}

}  // namespace rw::detail
