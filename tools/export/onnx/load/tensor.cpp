#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <limits>

#include <fmt/format.h>

#include <rewind/core/error.h>
#include <rewind/core/shown.h>
#include <rewind/models/weights/element_types.h>
#include <rewind/tools/export/onnx/load/tensor.h>

namespace rw::detail::load {
namespace {

using T = onnx::TensorProto;
static_assert(std::endian::native == std::endian::little, "numbers of a file are little-endian, and read as they are");

/// An element type that is read.
struct Type {
  int type;
  std::size_t bytes;                        // of an element, as raw data
  std::string_view real;                    // safetensors' name of a real one
  std::int64_t (*whole)(const char* from);  // reads one that is not
};

template <class In>
std::int64_t whole(const char* from) {
  In in;
  std::memcpy(&in, from, sizeof in);
  if constexpr (sizeof in == 8 && std::is_unsigned_v<In>)
    if (in > static_cast<In>(std::numeric_limits<std::int64_t>::max())) throw Error(fmt::format("{} is too large", in));
  return static_cast<std::int64_t>(in);
}

constexpr std::array<Type, 13> types{{{T::FLOAT, 4, "F32", nullptr},
                                      {T::DOUBLE, 8, "F64", nullptr},
                                      {T::FLOAT16, 2, "F16", nullptr},
                                      {T::BFLOAT16, 2, "BF16", nullptr},
                                      {T::INT8, 1, "", whole<std::int8_t>},
                                      {T::INT16, 2, "", whole<std::int16_t>},
                                      {T::INT32, 4, "", whole<std::int32_t>},
                                      {T::INT64, 8, "", whole<std::int64_t>},
                                      {T::UINT8, 1, "", whole<std::uint8_t>},
                                      {T::UINT16, 2, "", whole<std::uint16_t>},
                                      {T::UINT32, 4, "", whole<std::uint32_t>},
                                      {T::UINT64, 8, "", whole<std::uint64_t>},
                                      {T::BOOL, 1, "", whole<std::uint8_t>}}};

const Type& type_of(int type) {
  const auto at = std::find_if(types.begin(), types.end(), [&](const Type& t) { return t.type == type; });
  if (at != types.end()) return *at;
  const bool known = type != T::UNDEFINED && T::DataType_IsValid(type);
  throw Error("elements of the type " +
              (known ? T::DataType_Name(static_cast<T::DataType>(type)) : std::to_string(type)) + " cannot be read");
}

void check_count(const Shape& shape, std::uint64_t expected, std::uint64_t found, const char* unit) {
  if (expected != found)
    throw Error(fmt::format("a tensor {} takes {} {}, and the file has {}", shape.str(), expected, unit, found));
}

/// Elements that do not stand as bytes, as bytes.
template <class Out, class Field>
std::string bytes_of(const Field& field) {
  std::string out(static_cast<std::size_t>(field.size()) * sizeof(Out), '\0');
  std::size_t at = 0;
  for (const auto value : field) {
    const Out narrow = static_cast<Out>(value);
    std::memcpy(out.data() + at, &narrow, sizeof narrow);
    at += sizeof narrow;
  }
  return out;
}

std::string bytes_in_fields(const T& t, const Type& type, const Shape& shape) {
  const auto checked = [&](const auto& field) -> const auto& {
    check_count(shape, static_cast<std::uint64_t>(shape.size()), static_cast<std::uint64_t>(field.size()), "numbers");
    return field;
  };
  switch (type.type) {
    case T::FLOAT: return bytes_of<float>(checked(t.float_data()));
    case T::DOUBLE: return bytes_of<double>(checked(t.double_data()));
    case T::INT64: return bytes_of<std::int64_t>(checked(t.int64_data()));
    case T::UINT64: return bytes_of<std::uint64_t>(checked(t.uint64_data()));
    case T::UINT32: return bytes_of<std::uint32_t>(checked(t.uint64_data()));
    default: break;
  }
  const auto& field = checked(t.int32_data());
  if (type.bytes == 4) return bytes_of<std::int32_t>(field);
  return type.bytes == 2 ? bytes_of<std::uint16_t>(field) : bytes_of<std::uint8_t>(field);
}

Constant numbers(const T& t) {
  if (t.data_location() == T::EXTERNAL || t.external_data_size() > 0) {
    std::string place = "another file";
    for (const onnx::StringStringEntryProto& e : t.external_data())
      if (e.key() == "location") place = "the file '" + shown(e.value()) + "'";
    throw Error("its numbers are in " + place + ", which is not read: export the model with its weights in it");
  }
  if (t.has_segment()) throw Error("it is a part of a tensor");
  const Type& type = type_of(t.data_type());
  if (t.dims_size() > max_rank)
    throw Error(fmt::format("it has {} axes, at most {} are read", t.dims_size(), max_rank));
  const std::vector<Index> lengths(t.dims().begin(), t.dims().end());
  const Shape shape(lengths);
  const std::uint64_t bytes = static_cast<std::uint64_t>(shape.size()) * type.bytes;
  std::string made;
  if (t.has_raw_data())
    check_count(shape, bytes, t.raw_data().size(), "bytes");
  else
    made = bytes_in_fields(t, type, shape);
  const char* from = t.has_raw_data() ? t.raw_data().data() : made.data();
  if (type.whole == nullptr) {
    const ElementType& real = *element_type(type.real);
    Array out(shape, real.dtype);
    real.read(from, out.view());
    return out;
  }
  Whole out{.shape = shape};
  out.values.reserve(static_cast<std::size_t>(shape.size()));
  for (Index i = 0; i < shape.size(); ++i)
    out.values.push_back(type.whole(from + static_cast<std::size_t>(i) * type.bytes));
  return out;
}

}  // namespace

bool is_real_type(int onnx_type) { return type_of(onnx_type).whole == nullptr; }

Constant read_tensor(const T& tensor) {
  try {
    return numbers(tensor);
  } catch (const Error& e) {
    throw Error("tensor '" + shown(tensor.name()) + "': " + e.what());
  }
}

}  // namespace rw::detail::load
