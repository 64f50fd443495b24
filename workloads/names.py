"""Which aten ops do what in a trace, by name."""

from __future__ import annotations


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


ALIASES = _names(
    "clone _to_copy contiguous alias detach lift_fresh lift_fresh_copy _unsafe_view repeat expand_copy "
    "view_copy permute_copy as_strided dropout native_dropout pixel_shuffle pixel_unshuffle channel_shuffle"
)
SHAPE_ONLY = _names(
    "new_zeros new_ones new_empty new_empty_strided new_full zeros_like ones_like empty_like full_like rand_like "
    "randn_like zero fill empty_permuted"
)
NONLINEAR = _names(
    "gelu silu tanh sigmoid relu relu6 leaky_relu elu selu celu hardswish hardsigmoid mish softplus "
    "log_sigmoid_forward exp exp2 expm1 log log2 log1p erf rsqrt sqrt reciprocal sin cos prelu _prelu_kernel"
)
ELEMENTWISE = _names(
    "add sub rsub mul div neg abs maximum minimum clamp clamp_min clamp_max where masked_fill eq ne lt le gt ge "
    "square sign round floor ceil trunc fmod remainder lerp addcmul addcdiv logical_and logical_or logical_not "
    "bitwise_and bitwise_or bitwise_not tril triu floor_divide"
)
UPSAMPLES = _names("upsample_bilinear2d upsample_bicubic2d _upsample_bilinear2d_aa _upsample_bicubic2d_aa")
NEAREST_UPSAMPLES = _names("upsample_nearest2d _upsample_nearest_exact2d")
REDUCE = _names(
    "mean sum prod amax amin max min argmax argmin any all var std var_mean linalg_vector_norm norm logsumexp "
    "avg_pool1d avg_pool2d _adaptive_avg_pool2d adaptive_max_pool2d max_pool2d_with_indices"
)
COPIES = _names(
    "cat stack constant_pad_nd reflection_pad2d replication_pad2d roll flip im2col scatter slice_scatter "
    "select_scatter index_put"
)
GATHERS = _names("embedding index index_select gather take_along_dim")
SCANS = _names("cumsum cumprod cummax")
# Where aten spells one function in several ways, or in its own, the name that traces use.
FUNCTIONS = {
    "maximum": "max",
    "minimum": "min",
    "clamp_min": "max",
    "clamp_max": "min",
    "amax": "max",
    "amin": "min",
    "rsub": "sub",
    "linalg_vector_norm": "norm",
    "log_sigmoid_forward": "log_sigmoid",
    "max_pool2d_with_indices": "max_pool",
    "adaptive_max_pool2d": "max_pool",
    "avg_pool1d": "avg_pool",
    "avg_pool2d": "avg_pool",
    "_adaptive_avg_pool2d": "avg_pool",
    "upsample_nearest2d": "upsample_nearest",
    "_upsample_nearest_exact2d": "upsample_nearest",
    "upsample_bilinear2d": "upsample_bilinear",
    "upsample_bicubic2d": "upsample_bicubic",
    "_upsample_bilinear2d_aa": "upsample_bilinear_antialias",
    "_upsample_bicubic2d_aa": "upsample_bicubic_antialias",
}
