#pragma once

#include <iosfwd>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <rewind/models/module.h>

namespace rw {

namespace detail::load {
struct File;
}  // namespace detail::load

/// A network from an ONNX file, as `load_onnx` gives it: a function of Tensors whose weights are Parameters, so that it
/// can be run, trained further, compiled and checked like any other. Link rewind::onnx.
///
///     OnnxModel voice = load_onnx("voice.onnx");
///     auto now = voice({{"x", x}, {"state0", h}, {"state1", c}});   // now.at("y"), now.at("last0"), ...
///     auto fast = compile([&](Tape&, Tensor x) { return voice(x); }, x0);
///
/// Weights have the file's names; what is between dots is the name of a part ("encoder.weight"). Weights are numbers
/// that the file keeps beside the nodes and that have at least one axis; single numbers, and those within a node
/// (Constant), are constants.
class OnnxModel : public Module {
 public:
  /// An input or an output.
  struct Port {
    std::string name;
    DType dtype = DType::f32;  // whole numbers and truth values of any width are i32
    bool has_shape = false;    // whether the file says one
    std::vector<Index> shape;  // -1: any length
  };
  using Values = std::map<std::string, Tensor>;

  /// What it takes, in the file's order.
  const std::vector<Port>& inputs() const;
  /// What it gives, in the file's order.
  const std::vector<Port>& outputs() const;

  /// Records the network on the inputs' tape and gives all outputs. Reals are of the tape's type, whatever the file's
  /// is; masks are 1 and 0. Throws Error for an input that is missing or that the file does not have, for one whose
  /// type, rank or known length is another one than the file says, and whatever its ops throw, naming the node.
  Values operator()(const Values& inputs) const;
  /// The first output of a network of one input. Throws Error when there are more inputs.
  Tensor operator()(Tensor x) const;

  /// A copy with weights of its own.
  OnnxModel clone() const;

  /// Use load_onnx: `weights` belong to `file`, in its order.
  OnnxModel(std::shared_ptr<const detail::load::File> file, std::vector<Array> weights);

 private:
  std::shared_ptr<const detail::load::File> file_;
  std::vector<Parameter*> weights_;  // in the order of the file
};

/// Reads an ONNX file (opset 9 to 17): what write_onnx writes, and what PyTorch exports for networks of nn.RNN, LSTM,
/// GRU, Linear and Embedding. docs/export.md lists the operators.
///
/// Throws Error, in one line, for a file that is damaged or says sizes that it does not have (checked before memory is
/// taken for them), for nodes in an order that cannot be run, for weights in another file, and for operators that are
/// not known: all of them are named at once. Also where the library was built without protobuf and ONNX' schema.
OnnxModel load_onnx(const std::string& path);
/// The same from a stream, to its end.
OnnxModel load_onnx(std::istream& in);

}  // namespace rw
