#pragma once

#include <memory>
#include <vector>

#include <rewind/autograd/compile/kernel/kernel.h>
#include <rewind/autograd/compile/memory/layout.h>
#include <rewind/autograd/compile/plan/lanes.h>
#include <rewind/core/gemm/bf16.h>

namespace rw::ir {

constexpr std::uint32_t no_pack = 0xffffffff;

/// A graph as steps that are run one after another: what `lower` makes of it, and an Executor runs. Plain data: where
/// things stand is said by places, which become addresses there.
struct Plan {
  enum class Kind : std::uint8_t { generic, product, kernel, copy, pack };
  /// One thing to do. `pointer` is the first of its pointers.
  struct Step {
    Kind kind = Kind::generic;
    std::uint32_t index = 0;    // in the list of its kind
    std::uint32_t pointer = 0;  // inputs, then the output
    NodeId node = no_node;
  };
  /// An op by its own function.
  struct Generic {
    const OpInfo* info;
    const void* op;
    std::uint32_t first, inputs;  // of `views`; the output comes last
  };
  struct Product {
    bool ta = false, tb = false, add = false;
    DType dtype = DType::f32;
    Index m = 0, n = 0, k = 0, lda = 0, ldb = 0, ldc = 0;
    std::uint32_t packed = no_pack;       // of `packs`: who packs its matrix
    detail::Bf16Product* bf16 = nullptr;  // in place of all else
    bool operator==(const Product&) const = default;
  };
  /// A matrix packed for products that share it.
  struct Pack {
    bool tb = false;
    Index k = 0, n = 0, ldb = 0;
    detail::Bf16Product* bf16 = nullptr;         // in place of all else
    const Parameter::Data* parameter = nullptr;  // whose numbers need packing only after somebody edited them
    std::size_t bytes() const;
  };
  /// A value that is looked at after a replay.
  struct Value {
    Place place;
    Shape shape;
    DType dtype = DType::f32;
  };
  /// Steps [begin, end), in lanes or, without any, one by one.
  struct Section {
    std::uint32_t begin, end;
    std::unique_ptr<Lanes> lanes;
  };

  Graph graph;  // of a plan that was read from a listing: its store, its type and the parameters of its effects alone
  Layout layout;
  std::vector<Step> steps;
  std::vector<Section> sections;
  std::vector<Place> pointers;  // their offsets are in bytes
  std::vector<Generic> generics;
  std::vector<ConstView> views;  // without data
  std::vector<Product> products;
  std::vector<Pack> packs;
  std::vector<std::unique_ptr<detail::Bf16Product>> bf16_products;
  std::vector<KernelProgram> programs;
  std::vector<std::uint32_t> calls;  // program of each kernel step
  std::vector<Value> results;
  std::vector<Value> added;           // by effect
  std::vector<bool> direct;           // by effect: a product has added it already
  std::unique_ptr<Arena> attributes;  // of ops, in a plan that was read from a listing

  const KernelProgram& program(const Step& step) const { return programs[calls[step.index]]; }
  Value value(NodeId id) const { return {layout.places[id], graph.nodes[id].shape, graph.nodes[id].dtype}; }
  /// Bytes of packed matrices.
  std::size_t packed_bytes() const;
  /// Gives back memory that its lists do not need.
  void shrink();
  /// Whether some of its steps run side by side.
  bool has_lanes() const;
};

}  // namespace rw::ir
