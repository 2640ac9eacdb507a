#include <ostream>

#include <rewind/core/error.h>
#include <rewind/tools/export/onnx.h>
#include <rewind/tools/export/onnx_model.h>

namespace rw {
namespace {

[[noreturn]] void throw_absent() {
  throw Error("this library was built without ONNX: install libprotobuf-dev and libonnx-dev, and build it again");
}

}  // namespace

std::string make_onnx(const RecordedSequence&, const OnnxOptions&) { throw_absent(); }
void write_onnx(std::ostream&, const RecordedSequence&, const OnnxOptions&) { throw_absent(); }

OnnxModel load_onnx(const std::string&) { throw_absent(); }
OnnxModel load_onnx(std::istream&) { throw_absent(); }
// Nobody has one: these are for the linker.
OnnxModel::OnnxModel(std::shared_ptr<const detail::load::File>, std::vector<Array>) { throw_absent(); }
const std::vector<OnnxModel::Port>& OnnxModel::inputs() const { throw_absent(); }
const std::vector<OnnxModel::Port>& OnnxModel::outputs() const { throw_absent(); }
OnnxModel::Values OnnxModel::operator()(const Values&) const { throw_absent(); }
Tensor OnnxModel::operator()(Tensor) const { throw_absent(); }
OnnxModel OnnxModel::clone() const { throw_absent(); }

}  // namespace rw
