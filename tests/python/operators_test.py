"""The operators as Python sees them: loaded into torch, checked by torch's own tools and against plain formulas.

usage: operators_test.py LIBRARY     exit code 77: this Python has no torch 2.11
"""
import math
import sys

try:
    import torch
except (ImportError, OSError) as error:
    print(f"skipped: this Python has no torch: {error}")
    sys.exit(77)
if torch.__version__.split("+")[0] != "2.11.0":
    print(f"skipped: this Python's torch is {torch.__version__}, the library's is 2.11.0")
    sys.exit(77)


def chunk_attention_plain(query, key, value, indices, weights, scale, softmax_off_by_one):
    """The definition, a retrieved chunk at a time (docs/model.md, 7)."""
    heads = query.shape[3] // key.shape[3]
    key, value = (tensor.repeat_interleave(heads, dim=3) for tensor in (key, value))
    batch = torch.arange(query.shape[0])[:, None]
    output = torch.zeros_like(query)
    for k in range(indices.shape[2]):
        retrieved = indices[:, :, k]
        chunk_key, chunk_value = (tensor[batch, retrieved.clamp(min=0)] for tensor in (key, value))
        scores = torch.einsum("ncphd,ncshd->nchps", query, chunk_key) * scale
        maximum = scores.amax(-1, keepdim=True).clamp(min=0).detach()
        exponentials = torch.exp(scores - maximum)
        denominator = exponentials.sum(-1, keepdim=True) + softmax_off_by_one * torch.exp(-maximum)
        attended = torch.einsum("nchps,ncshd->ncphd", exponentials / denominator, chunk_value)
        output = output + attended * (weights[:, :, k] * (retrieved >= 0))[:, :, None, None, None]
    return output


def sliding_window_plain(query, key, value, window, alibi=True):
    """Masked attention over all positions, with or without ALiBi (docs/model.md, 3)."""
    num_heads = query.shape[2]
    key, value = (tensor.repeat_interleave(num_heads // key.shape[2], dim=2) for tensor in (key, value))
    past = key.shape[1] - query.shape[1]
    distance = past + torch.arange(query.shape[1])[:, None] - torch.arange(key.shape[1])
    slopes = 2.0 ** (-8.0 * torch.arange(1, num_heads + 1, dtype=query.dtype) / num_heads)
    scores = torch.einsum("nqhd,nkhd->nhqk", query, key) / math.sqrt(query.shape[3])
    scores = scores - alibi * slopes[:, None, None] * distance
    scores = scores.masked_fill((distance < 0) | (distance > window), -torch.inf)
    return torch.einsum("nhqk,nkhd->nqhd", scores.softmax(-1), value)


def chunk_arguments(dtype, softmax_off_by_one, head_dim=16):
    def random(*shape):
        return torch.randn(*shape, dtype=dtype, requires_grad=True)

    indices = torch.tensor([[[0, 3], [2, -1], [1, 1]], [[3, 0], [-1, -1], [2, 0]]])  # -1: nothing retrieved
    return (random(2, 3, 2, 4, head_dim), random(2, 4, 3, 2, head_dim), random(2, 4, 3, 2, head_dim), indices,
            random(2, 3, 2), head_dim**-0.5, softmax_off_by_one)


def window_arguments(dtype, past=2, head_dim=16):
    def random(*shape):
        return torch.randn(*shape, dtype=dtype, requires_grad=True)

    return random(2, 5, 4, head_dim), random(2, 5 + past, 2, head_dim), random(2, 5 + past, 2, head_dim), 3


def gradients(output, arguments, upstream):
    inputs = [argument for argument in arguments if isinstance(argument, torch.Tensor) and argument.requires_grad]
    return torch.autograd.grad(output, inputs, upstream)


def check_definition(name, operator, plain, arguments):
    expected = plain(*arguments)
    found = operator(*arguments)
    upstream = torch.randn_like(expected)
    tolerance = 1e-12 if expected.dtype == torch.float64 else 2e-5
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)
    for one, other in zip(gradients(found, arguments, upstream), gradients(expected, arguments, upstream)):
        torch.testing.assert_close(one, other, rtol=10 * tolerance, atol=10 * tolerance)
    print(f"ok  {name} {expected.dtype}: equals its definition, forward and backward")


def main():
    torch.ops.load_library(sys.argv[1])
    torch.manual_seed(0)
    operators = torch.ops.lookback
    cases = [("chunk_attention, softmax", operators.chunk_attention, chunk_attention_plain,
              lambda dtype: chunk_arguments(dtype, False)),
             ("chunk_attention, softmax-off-by-one", operators.chunk_attention, chunk_attention_plain,
              lambda dtype: chunk_arguments(dtype, True)),
             ("sliding_window_attention", operators.sliding_window_attention, sliding_window_plain, window_arguments),
             ("sliding_window_attention, no bias", operators.sliding_window_attention, sliding_window_plain,
              lambda dtype: (*window_arguments(dtype), False))]
    for name, operator, plain, make in cases:
        for dtype in (torch.float64, torch.float32):
            check_definition(name, operator, plain, make(dtype))
        assert torch.autograd.gradcheck(operator, make(torch.float64))
        print(f"ok  {name}: torch.autograd.gradcheck")
        for dtype in (torch.float64, torch.float32):
            print(f"ok  {name} {dtype}: torch.library.opcheck",
                  torch.library.opcheck(operator.default, make(dtype)))
    query, *rest = chunk_arguments(torch.float32, True)
    try:
        operators.chunk_attention(query[:, :, :, :, :8], *rest)
    except RuntimeError as error:
        assert "key" in str(error), error
        print(f"ok  misuse is named: {error}")
    else:
        raise AssertionError("a key of another head dimension was taken")


main()
