#include <cstring>
#include <limits>
#include <vector>

#include <fmt/format.h>

#include <rewind/core/error.h>
#include <rewind/models/c/tensors.h>

namespace rw::c {
namespace {

constexpr int on_processor = 1, integer = 0, real = 2;

[[noreturn]] void refuse(const std::string& name, const std::string& why) {
  throw Fault(RW_BAD_ARGUMENT, name + " " + why);
}

Shape shape_of(const DLTensor& t, const std::string& name) {
  if (t.ndim > 0 && t.shape == nullptr) refuse(name, "has axes and no shape");
  std::vector<Index> dims;
  for (int i = 0; i < t.ndim; ++i) {
    if (t.shape[i] < 0) refuse(name, fmt::format("has a length of {}", t.shape[i]));
    dims.push_back(t.shape[i]);
  }
  try {
    return Shape(std::span<const Index>(dims));
  } catch (const Error& error) {
    refuse(name, std::string("has a shape that is none: ") + error.what());
  }
}

Shape checked_shape(const DLTensor* t, const std::string& name) {
  if (t == nullptr) refuse(name, "is a null pointer");
  if (t->device.device_type != on_processor) refuse(name, "is not in the processor's memory");
  const bool width = t->dtype.bits == 32 || t->dtype.bits == 64;
  if (!width || t->dtype.lanes != 1 || (t->dtype.code != integer && t->dtype.code != real))
    refuse(name, "has elements that are neither int32, int64, float32 nor float64");
  if (t->ndim < 0 || t->ndim > 8) refuse(name, fmt::format("has {} axes", t->ndim));
  const Shape shape = shape_of(*t, name);
  if (shape.size() > 0 && t->data == nullptr) refuse(name, "has elements and no data");
  return shape;
}

// Calls f with the address of each element, row-major.
template <class F>
void for_each_element(const DLTensor& t, const Shape& shape, F&& f) {
  const auto bytes = static_cast<std::int64_t>(t.dtype.bits / 8);
  char* const first = static_cast<char*>(t.data) + t.byte_offset;
  std::vector<Index> at(static_cast<std::size_t>(t.ndim), 0);
  for (Index n = 0; n < shape.size(); ++n) {
    std::int64_t offset = t.strides == nullptr ? n : 0;
    if (t.strides != nullptr)
      for (int i = 0; i < t.ndim; ++i) offset += at[static_cast<std::size_t>(i)] * t.strides[i];
    f(first + offset * bytes);
    for (int i = t.ndim - 1; i >= 0; --i) {
      if (++at[static_cast<std::size_t>(i)] < t.shape[i]) break;
      at[static_cast<std::size_t>(i)] = 0;
    }
  }
}

template <class T>
T loaded(const char* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

template <class From, class To>
Array read_as(const DLTensor& t, const Shape& shape, DType dtype, const std::string& name) {
  Array out(shape, dtype);
  To* to = shape.size() > 0 ? out.span<To>().data() : nullptr;
  for_each_element(t, shape, [&](const char* from) {
    const From value = loaded<From>(from);
    if constexpr (std::is_same_v<From, std::int64_t>)
      if (value < std::numeric_limits<std::int32_t>::min() || value > std::numeric_limits<std::int32_t>::max())
        refuse(name, fmt::format("has the number {}", value));
    *to++ = static_cast<To>(value);
  });
  return out;
}

}  // namespace

Array read_tensor(const DLTensor* t, const std::string& name, DType dtype, int rank) {
  const Shape shape = checked_shape(t, name);
  if (rank >= 0 && t->ndim != rank)
    refuse(name, fmt::format("has the shape {}: {} axes are needed", shape.str(), rank));
  const bool integers = dtype == DType::i32;
  if ((t->dtype.code == integer) != integers)
    refuse(name, integers ? "has reals: integers are needed" : "has integers: reals are needed");
  const bool wide = t->dtype.bits == 64;
  switch (dtype) {
    case DType::i32:
      return wide ? read_as<std::int64_t, std::int32_t>(*t, shape, dtype, name)
                  : read_as<std::int32_t, std::int32_t>(*t, shape, dtype, name);
    case DType::f64:
      return wide ? read_as<double, double>(*t, shape, dtype, name) : read_as<float, double>(*t, shape, dtype, name);
    default:
      return wide ? read_as<double, float>(*t, shape, dtype, name) : read_as<float, float>(*t, shape, dtype, name);
  }
}

void check_room(const Shape& shape, const DLTensor* t, const std::string& name) {
  const Shape given = checked_shape(t, name);
  if (t->dtype.code != real) refuse(name, "has integers: reals are needed");
  if (!(given == shape)) refuse(name, fmt::format("has the shape {}: {} is needed", given.str(), shape.str()));
}

void write_tensor(const Array& array, DLTensor* t, const std::string& name) {
  check_room(array.shape(), t, name);
  const std::vector<double> values = array.to_vector<double>();
  auto from = values.begin();
  for_each_element(*t, array.shape(), [&](char* to) {
    const double value = *from++;
    const auto narrow = static_cast<float>(value);
    if (t->dtype.bits == 64)
      std::memcpy(to, &value, sizeof value);
    else
      std::memcpy(to, &narrow, sizeof narrow);
  });
}

}  // namespace rw::c
