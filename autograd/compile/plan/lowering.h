#pragma once

#include <array>
#include <map>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

#include <rewind/autograd/compile/choices/choices.h>
#include <rewind/autograd/compile/plan/plan.h>

namespace rw::ir {

/// Makes the steps of a plan from its graph and layout.
class Lowering {
 public:
  Lowering(Plan& plan, const CompileOptions& options)
      : p_(plan),
        g_(plan.graph_),
        passes_(options.passes),
        choices_(choices_of(options)),
        has_budget_(options.memory.has_value()),
        bf16_(options.matmul == Precision::bf16 && rw::detail::bf16_is_faster() && !has_budget_) {}
  void run();

 private:
  void lower(NodeId i);
  void pack_before(NodeId begin);
  std::vector<std::pair<std::uint32_t, std::uint32_t>> uses_of_packed(std::span<const LaneUnit> units) const;
  NodeId lower_kernel(NodeId begin);
  void lower_product(NodeId i);
  detail::Bf16Product* bf16_product(NodeId i, const Plan::Product& shape, bool add);
  Plan::Product shape_of(NodeId i) const;
  bool is_product(NodeId i) const;
  bool suits_packing(const Plan::Product& p) const;
  void lower_generic(NodeId i);
  void lower_copies(NodeId concat);
  void lower_copy(NodeId value, const Place& to, NodeId node);
  std::uint32_t pointer(const Place& place, DType dtype);
  std::uint32_t pointer(NodeId value) { return pointer(p_.layout_.places[value], g_.nodes[value].dtype); }
  void find_uses();
  std::uint32_t share(KernelProgram program);
  void find_direct_gradients();
  void find_shared_matrices();
  const float* packed(NodeId product, const Plan::Product& shape);
  const Parameter::Data* untrained(NodeId value) const;  // a parameter, in a plan without gradients; or null

  Plan& p_;
  const Graph& g_;
  Passes passes_;
  Choices choices_;
  bool has_budget_;
  bool bf16_;  // products run in bf16; not with a budget, as what they pack grows with their number
  std::vector<bool> used_outside_;
  std::vector<std::uint32_t> gradient_of_;  // by node: the parameter to whose gradient it is added
  std::unordered_map<std::uint64_t, int> uses_of_matrix_;
  std::unordered_map<std::uint64_t, const float*> packed_;
  std::map<std::array<Index, 9>, detail::Bf16Product*> bf16_products_;
  std::unordered_multimap<std::uint64_t, std::uint32_t> by_hash_;
  std::size_t next_copy_ = 0, next_input_ = 0;
  std::vector<NodeId> operands_;
};

}  // namespace rw::ir
