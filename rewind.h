#pragma once

// All of Rewind.
#include <rewind/autograd/backward.h>
#include <rewind/autograd/compile/compile.h>
#include <rewind/autograd/tape.h>
#include <rewind/core/array.h>
#include <rewind/core/dtype.h>
#include <rewind/core/error.h>
#include <rewind/core/random.h>
#include <rewind/core/shape.h>
#include <rewind/core/threads.h>
#include <rewind/core/view.h>
#include <rewind/models/models.h>
#include <rewind/ops/elementwise.h>
#include <rewind/ops/ops.h>
#include <rewind/tools/flow/flow.h>
#include <rewind/tools/gradcheck/check_op.h>
#include <rewind/tools/gradcheck/gradcheck.h>
#include <rewind/tools/graph/dot.h>
#include <rewind/tools/graph/dot_render.h>
#include <rewind/tools/graph/fold.h>
#include <rewind/tools/graph/html.h>
