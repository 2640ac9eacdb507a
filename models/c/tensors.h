#pragma once
// Arrays that go in and out of the C interface. Internal to it.
#include <stdexcept>
#include <string>

#include <rewind/core/array.h>
#include <rewind/models/c/rewind_c.h>

namespace rw::c {

/// What a caller did wrong, with its code.
class Fault : public std::runtime_error {
 public:
  Fault(rw_code code, const std::string& text) : std::runtime_error(text), code(code) {}
  rw_code code;
};

/// The numbers of a tensor as an array of `dtype`: integers for i32, reals for the others. Throws Fault, which begins
/// with `name`, for a null pointer, another device or type, a rank other than `rank` (-1: any), and integers that do
/// not fit.
Array read_tensor(const DLTensor* tensor, const std::string& name, DType dtype, int rank);

/// Writes an array of reals to a tensor of the same shape, of 32 or 64 bits. Throws Fault as `read_tensor` does.
void write_tensor(const Array& array, DLTensor* tensor, const std::string& name);

/// Throws Fault unless `write_tensor` would take an array of this shape: before work is done for it.
void check_room(const Shape& shape, const DLTensor* tensor, const std::string& name);

}  // namespace rw::c
