#pragma once

#include <iosfwd>
#include <string>

#include <rewind/tools/export/recorded_sequence.h>

namespace rw {

struct OnnxOptions {
  /// The graph's name.
  std::string name = "model";
};

/// A recorded sequence as the bytes of an ONNX file (opset 17), for any length and batch: "x" [T, N, ...] and the state
/// before the first step, "state0", "state1", ..., to "y" and the state after the last one, "last0", "last1", ...
/// Weights have the parameters' dotted names. A loop over the steps is an operator LSTM, GRU or RNN where it computes
/// what that does, whatever it is called, and a Scan otherwise. Link rewind::onnx.
///
/// Throws Error, naming op and scope, for what draws random numbers (a model that trains), for ops without a form in
/// ONNX, for a program whose ops depend on the length or the batch in another way than by loops over all steps, for a
/// model over the 2 GB that a file can have, and where the library was built without protobuf and ONNX' schema.
std::string make_onnx(const RecordedSequence& sequence, const OnnxOptions& options = {});

/// The same written to a stream:
///
///     write_onnx(file, record_sequence(network, 3), {.name = "voice"});
void write_onnx(std::ostream& out, const RecordedSequence& sequence, const OnnxOptions& options = {});

}  // namespace rw
