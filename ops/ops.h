#pragma once

// All ops.
#include <rewind/ops/activation.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/clip_gradient.h>
#include <rewind/ops/compare.h>
#include <rewind/ops/control_flow.h>
#include <rewind/ops/ctc.h>
#include <rewind/ops/dropout.h>
#include <rewind/ops/einsum.h>
#include <rewind/ops/functions.h>
#include <rewind/ops/linear_algebra.h>
#include <rewind/ops/linear_recurrence.h>
#include <rewind/ops/lookup.h>
#include <rewind/ops/loss.h>
#include <rewind/ops/matmul.h>
#include <rewind/ops/padding.h>
#include <rewind/ops/reduce.h>
#include <rewind/ops/scan.h>
#include <rewind/ops/softmax.h>
#include <rewind/ops/sort.h>
#include <rewind/ops/view.h>
