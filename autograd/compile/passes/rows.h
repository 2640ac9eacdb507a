#pragma once

#include <vector>

#include <rewind/autograd/program/graph.h>

/// Values whose rows are those of many steps: who reads which rows, and of what they consist.
namespace rw::ir {

/// Some rows of a stack, each a step's; `end` of the rows.
struct RowPiece {
  NodeId value;
  Index end;
};

/// A view of some rows of a product.
struct RowRead {
  NodeId view;
  Index begin, end;
};

/// Who reads which rows of a product; `all` when somebody reads it as a whole.
struct RowReads {
  std::vector<RowRead> views;
  bool all = false;
};

/// Whether a product can be computed in parts, some rows in each.
bool has_parts_by_rows(const Graph& g, NodeId i);

/// Whether a node adds up all rows, to one.
bool adds_rows(const Graph& g, NodeId i);

/// Of each product that has parts by rows, who reads them.
std::vector<RowReads> row_reads(const Graph& g);

/// The pieces of which a value of rows of `cols` elements consists; none if it is no stack of rows.
std::vector<RowPiece> row_pieces(const Graph& g, NodeId value, Index cols);

}  // namespace rw::ir
