#include <ostream>

#include <rewind/core/error.h>
#include <rewind/tools/export/onnx.h>

namespace rw {
namespace {

[[noreturn]] void throw_absent() {
  throw Error("this library was built without ONNX: install libprotobuf-dev and libonnx-dev, and build it again");
}

}  // namespace

std::string make_onnx(const RecordedSequence&, const OnnxOptions&) { throw_absent(); }
void write_onnx(std::ostream&, const RecordedSequence&, const OnnxOptions&) { throw_absent(); }

}  // namespace rw
