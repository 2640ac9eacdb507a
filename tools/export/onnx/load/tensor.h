#pragma once

// Internal to tools/export/.

#include <onnx/onnx_pb.h>

#include <rewind/tools/export/onnx/load/graph.h>

namespace rw::detail::load {

/// Whether a type of elements is one of the reals. Throws Error for one that cannot be read.
bool is_real_type(int onnx_type);

/// The numbers of a tensor in a file: halves as f32. Throws Error for lengths that a shape cannot have, for another
/// number of bytes than those take, before memory is taken, for numbers in another file, and for elements that are none
/// of the numbers there are.
Constant read_tensor(const onnx::TensorProto& tensor);

}  // namespace rw::detail::load
