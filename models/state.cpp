#include <cstring>

#include <rewind/models/state.h>

namespace rw::detail {

void copy_row(ConstView from, View to, Index row) {
  const auto bytes = static_cast<std::size_t>(from.shape.without(0).size()) * size_of(from.dtype);
  const auto offset = static_cast<std::size_t>(row) * bytes;
  std::memcpy(static_cast<std::byte*>(to.data) + offset, static_cast<const std::byte*>(from.data) + offset, bytes);
}

void check_same_shapes(const SavedState& expected, const SavedState& given) {
  if (expected.size() != given.size())
    throw Error("a saved state of " + std::to_string(given.size()) + " tensors does not fit a state of " +
                std::to_string(expected.size()));
  for (std::size_t i = 0; i < given.size(); ++i)
    if (given[i].shape() != expected[i].shape() || given[i].dtype() != expected[i].dtype())
      throw Error("tensor " + std::to_string(i) + " of a saved state is " + std::string(name_of(given[i].dtype())) +
                  " " + given[i].shape().str() + "; the cell's is " + std::string(name_of(expected[i].dtype())) + " " +
                  expected[i].shape().str());
}

}  // namespace rw::detail
