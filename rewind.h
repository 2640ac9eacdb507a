#pragma once

// All of Rewind.
#include <rewind/core/dtype.h>
#include <rewind/core/error.h>
#include <rewind/core/shape.h>
#include <rewind/core/view.h>
