#pragma once

#include <span>
#include <string>
#include <vector>

#include <rewind/models/module.h>
#include <rewind/models/weights/serialize.h>

namespace rw {

/// Which arrays of another library are which parameters of modules: their names, shapes and layouts there.
/// `torch_weights`, `keras_weights` and `onednn_weights` make the map of a layer; a model's map is put together from
/// them as its state dict is:
///
///     WeightMap map;
///     map.add("embedding.", torch_weights(embedding));
///     map.add("lstm.", torch_weights(stack)).add("out.", torch_weights(out));
///     map.load("model.safetensors");
///
/// The modules must outlive the map; they may be moved.
class WeightMap {
 public:
  /// A matrix within an array: its element (r, c) is number start + r * row + c * column, row-major.
  struct Block {
    Index start = 0, row = 0, column = 1;
  };
  /// Which way numbers go.
  enum class Way {
    both,  ///< numbers go in when loading, and out when saving
    load,  ///< only in: what several arrays give to one parameter is summed
    save,  ///< only out: what several parameters give to one array is summed
    zero   ///< the array's numbers must be 0, since the module has no place for them
  };
  /// A block of an array that is a block of a parameter, times `factor` (1 or -1).
  struct Link {
    std::size_t array = 0;
    Parameter* parameter = nullptr;
    Index rows = 0, columns = 0;
    Block there, here;
    double factor = 1;
    Way way = Way::both;
    std::string reason = "";  ///< Way::zero: what is said when a number is not 0
    std::size_t part = 0;     ///< set by `add`
  };

  /// All of another map, with `prefix` before its names. Throws Error for a name that is there already.
  WeightMap& add(const std::string& prefix, const WeightMap& part);
  /// One more array; its number for links.
  std::size_t array(std::string name, const Shape& shape);
  /// One more block of an array that is a block of a parameter.
  void link(Link link) { links_.push_back(std::move(link)); }

  /// Sets the parameters, each in its own type. Strict: throws Error, listing all names that are missing, not expected
  /// or of another shape, and for numbers that the modules have no place for; the modules are then as they were.
  /// `source` names the arrays in messages.
  void set(std::span<const NamedArray> arrays, const std::string& source) const;
  /// The parameters as the other library has them, f64 when one of an array's parameters is.
  std::vector<NamedArray> get() const;

  /// `set` from a safetensors file; returns its metadata.
  Metadata load(const std::string& path) const;
  /// `get` into a safetensors file.
  void save(const std::string& path, const Metadata& metadata = {}) const;

 private:
  struct NamedShape {
    std::string name;
    Shape shape;
  };
  std::vector<NamedShape> arrays_;
  std::vector<Link> links_;
  std::size_t parts_ = 1;
};

}  // namespace rw
