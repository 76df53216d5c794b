// Views of tensors for programs that use LibTorch themselves: link lookback::torch. The library needs none of this.
#pragma once

#include <ATen/ATen.h>

#include <vector>

#include "lookback/error.h"
#include "lookback/tensor.h"

namespace lookback {

inline at::ScalarType scalar_type(DataType type) {
  switch (type) {
    case DataType::float32:
      return at::kFloat;
    case DataType::bfloat16:
      return at::kBFloat16;
    case DataType::int64:
      return at::kLong;
  }
  throw Error("a tensor's view has a data type that is none of lookback/tensor.h");
}

inline DataType data_type(at::ScalarType type) {
  switch (type) {
    case at::kFloat:
      return DataType::float32;
    case at::kBFloat16:
      return DataType::bfloat16;
    case at::kLong:
      return DataType::int64;
    default:
      throw Error("a view of a tensor: its elements are none of float32, bfloat16 and int64");
  }
}

// A view of the tensor's memory, good for as long as that lives. Throws Error for a tensor that is not on the CPU, and
// for elements of other types than DataType has.
inline TensorView view_of(const at::Tensor& tensor) {
  if (!tensor.is_cpu()) throw Error("a view of a tensor: it is not on the CPU; copy it there first");
  return {tensor.const_data_ptr(), data_type(tensor.scalar_type()), tensor.sizes().vec(), tensor.strides().vec()};
}

// A tensor over the view's memory, which must outlive it and must not be written to through it: at::Tensor has no
// const.
inline at::Tensor tensor_of(const TensorView& view) {
  return at::from_blob(const_cast<void*>(view.data), view.shape, view.strides,
                       at::TensorOptions(scalar_type(view.type)));
}

}  // namespace lookback
