"""The models of docs/model.md once more, written for reading: dense tensors of PyTorch, loops where they are clearer,
no cache and no kernel. The golden numbers (tests/fixtures/golden) are checked with it and made by it; the C++ code
shares nothing with it.

Every function computes in the type of what it is given (make_golden.py gives float64), and autograd differentiates it.
`weights` are a model's tensors by their names in model.safetensors, `config` is its config.json. Shapes have the
letters of docs/model.md: N sequences, L tokens, C chunks of S tokens and P = S + 1 positions, K retrieved chunks, H
heads of size D, width d, T positions of any kind.
"""
import math

import torch
import torch.nn.functional as F

ENCODER_EPS = 1e-6  # the chunk encoder's norms have an eps of their own, and so have the retrievers'
RETRIEVER_EPS = 1e-5


# ---- What all layers are made of (docs/model.md, 3)


def rms_norm(x, weight, eps):
    return weight * x / (x.pow(2).mean(-1, keepdim=True) + eps).sqrt()


def split_heads(x, num_heads):
    """[..., T, num_heads * D] -> [..., num_heads, T, D]"""
    return x.unflatten(-1, (num_heads, -1)).transpose(-3, -2)


def rotate(x):
    """Rotary positions, halves of D paired, base 10,000: x [..., T, D], position t in row t."""
    num_positions, head_dim = x.shape[-2:]
    frequency = 10000.0 ** (-torch.arange(0, head_dim, 2, dtype=x.dtype) / head_dim)
    angle = torch.arange(num_positions, dtype=x.dtype)[:, None] * frequency
    first, second = x.chunk(2, -1)
    return torch.cat([first * angle.cos() - second * angle.sin(), second * angle.cos() + first * angle.sin()], -1)


def window_bias(num_positions, num_heads, window_size, dtype):
    """ALiBi inside of the window, -inf elsewhere: [H, T, T]"""
    position = torch.arange(num_positions)
    distance = position[:, None] - position
    slope = 2.0 ** (-8.0 * torch.arange(1, num_heads + 1, dtype=dtype) / num_heads)
    return (-slope[:, None, None] * distance).masked_fill((distance < 0) | (distance > window_size), -math.inf)


def self_attention(x, weights, prefix, num_heads, num_kv_heads, bias=None, rotary=False):
    """x [..., T, d]; bias [H, T, T] is added to the scores."""
    def project(name, heads):
        return split_heads(x @ weights[f"{prefix}.{name}_proj.weight"].T, heads)

    query, key, value = project("q", num_heads), project("k", num_kv_heads), project("v", num_kv_heads)
    if rotary:
        query, key = rotate(query), rotate(key)
    key, value = (t.repeat_interleave(num_heads // num_kv_heads, -3) for t in (key, value))
    scores = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])
    if bias is not None:
        scores = scores + bias
    mixed = (scores.softmax(-1) @ value).transpose(-3, -2).flatten(-2)
    return mixed @ weights[f"{prefix}.o_proj.weight"].T


def swiglu(x, weights, prefix):
    gate, up, down = (weights[f"{prefix}.{name}_proj.weight"].T for name in ("gate", "up", "down"))
    return (F.silu(x @ gate) * (x @ up)) @ down


def decoder_layer(x, weights, prefix, config, bias, chunk_attention=None):
    """A Llama layer that sees a window; an upper layer of DRT where there is chunk_attention (docs/model.md, 7)."""
    eps = config["rms_norm_eps"]
    normed = rms_norm(x, weights[f"{prefix}.input_layernorm.weight"], eps)
    x = x + self_attention(normed, weights, f"{prefix}.self_attn", config["num_attention_heads"],
                           config["num_key_value_heads"], bias)
    y = x if chunk_attention is None else x + chunk_attention(x)
    # The residual stays x, not y.
    return x + swiglu(rms_norm(y, weights[f"{prefix}.post_attention_layernorm.weight"], eps), weights, f"{prefix}.mlp")


def encoder_layer(x, weights, prefix, num_heads):
    """x [..., P, d]: every position of a chunk sees every other one."""
    normed = rms_norm(x, weights[f"{prefix}.input_layernorm.weight"], ENCODER_EPS)
    x = x + self_attention(normed, weights, f"{prefix}.self_attn", num_heads, num_heads, rotary=True)
    normed = rms_norm(x, weights[f"{prefix}.post_attention_layernorm.weight"], ENCODER_EPS)
    return x + swiglu(normed, weights, f"{prefix}.mlp")


# ---- Models


def sliding_window_logits(input_ids, weights, config):
    """input_ids [N, L] -> [N, L, vocabulary] (docs/model.md, 9)."""
    embedding = weights["model.embed_tokens.weight"]
    x = embedding[input_ids]
    bias = window_bias(x.shape[1], config["num_attention_heads"], config["slide_window"], x.dtype)
    for i in range(config["num_hidden_layers"]):
        x = decoder_layer(x, weights, f"model.layers.{i}", config, bias)
    return rms_norm(x, weights["model.norm.weight"], config["rms_norm_eps"]) @ embedding.T


def encode_chunks(lower, weights, config):
    """Lower hidden states [N, C, P, d] -> keys, values [N, C, S, H, D], landmarks [N, C, d] (docs/model.md, 4, 5)."""
    num_heads = config["num_attention_heads"]
    x = rms_norm(lower, weights["model.enc_prenorm.weight"], config["rms_norm_eps"])
    for i in range(config["encoder_layers"]):
        x = encoder_layer(x, weights, f"model.encoder.layers.{i}", num_heads)
    x = rms_norm(x, weights["model.encoder.norm.weight"], ENCODER_EPS)
    key, value = ((x[:, :, :-1] @ weights[f"model.chunk_{name}_proj.weight"].T).unflatten(-1, (num_heads, -1))
                  for name in "kv")
    return key, value, x[:, :, -1]


def retrieve(query, landmarks, top_k):
    """query, landmarks [N, C, d] -> scores [N, C, C], indices (-1: nothing), weights [N, C, K] (docs/model.md, 6)."""
    num_chunks = query.shape[1]
    earlier = torch.ones(num_chunks, num_chunks).tril(-1).bool()
    scores = (query @ landmarks.transpose(1, 2) / math.sqrt(query.shape[-1])).masked_fill(~earlier, -math.inf)
    best, indices = scores.topk(min(top_k, num_chunks), -1)
    weights = best.softmax(-1).nan_to_num()  # 0 where nothing is earlier
    return {"scores": scores, "indices": indices.masked_fill(best.isinf(), -1), "weights": weights}


def chunk_attention(query, key, value, retrieved, plus_one):
    """query [N, C, P, H, D] -> [N, C, P, H, D]: chunk c attends to what chunk c - 1 retrieved (docs/model.md, 7)."""
    rows = []
    for n in range(query.shape[0]):
        chunks = [torch.zeros_like(query[n, 0])]
        for c in range(1, query.shape[1]):
            chosen = retrieved["indices"][n, c - 1].clamp_min(0)  # where there is nothing, the weight is 0
            scores = torch.einsum("phd,kshd->khps", query[n, c], key[n, chosen]) / math.sqrt(query.shape[-1])
            # plus_one: one more key, of score 0 and value 0.
            shares = F.pad(scores, (0, 1)).softmax(-1)[..., :-1] if plus_one else scores.softmax(-1)
            weights = retrieved["weights"][n, c - 1]
            chunks.append(torch.einsum("k,khps,kshd->phd", weights, shares, value[n, chosen]))
        rows.append(torch.stack(chunks))
    return torch.stack(rows)


def drt_logits(input_ids, weights, config):
    """input_ids [N, L], L a multiple of S -> logits [N, L, vocabulary], and what each upper group retrieved."""
    embedding = weights["model.embed_tokens.weight"]
    num_heads, eps = config["num_attention_heads"], config["rms_norm_eps"]
    chunks = input_ids.unflatten(1, (-1, config["enc_chunk_size"]))  # [N, C, S]
    x = embedding[F.pad(chunks, (0, 1), value=config["chunk_id"]).flatten(1)]  # [N, C * P, d]

    def by_chunk(rows):
        return rows.unflatten(1, (chunks.shape[1], -1))

    bias = window_bias(x.shape[1], num_heads, config["slide_window"], x.dtype)
    num_lower, *num_upper = config["decoder_layers"]
    for i in range(num_lower):
        x = decoder_layer(x, weights, f"model.lower_layers.{i}", config, bias)
    key, value, landmarks = encode_chunks(by_chunk(x), weights, config)
    retrievals = []
    for group, num_layers in enumerate(num_upper):
        at_landmarks = by_chunk(x)[:, :, -1]
        query = rms_norm(at_landmarks, weights[f"model.lmk_norms.{group}.weight"], RETRIEVER_EPS)
        retrieved = retrieve(query, landmarks, config["chunk_topk"])
        retrievals.append(retrieved)
        for j in range(num_layers):
            prefix = f"model.upper_layers.{group}.{j}"

            def attend(x, gca=f"{prefix}.gca", retrieved=retrieved):
                normed = rms_norm(x, weights[f"{gca}.pre_norm.weight"], eps)
                query = by_chunk(normed @ weights[f"{gca}.q_proj.weight"].T).unflatten(-1, (num_heads, -1))
                mixed = chunk_attention(query, key, value, retrieved, config["enable_softmax_one"])
                return mixed.flatten(-2).flatten(1, 2) @ weights[f"{gca}.o_proj.weight"].T

            x = decoder_layer(x, weights, prefix, config, bias, attend)
    x = by_chunk(rms_norm(x, weights["model.norm.weight"], eps))
    return x[:, :, :-1].flatten(1, 2) @ embedding.T, retrievals


def landmark_attention(query, key, value, block_size):
    """The paper's grouped softmax: no position bias, all earlier blocks are read (docs/model.md, 10).

    query, key, value [N, H, T, D] -> output, the same shape, and each position's share of it [N, H, T, T].
    """
    num_positions = query.shape[2]
    scores = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])
    landmark = block_size - 1  # the last position of each block
    rows = []
    for i in range(num_positions):
        own = i // block_size * block_size  # where i's block begins
        text = list(range(own, min(i + 1, own + landmark)))
        landmarks = list(range(landmark, own, block_size))
        shares = scores[:, :, i, text + landmarks].softmax(-1)
        row = scores.new_zeros(scores.shape[:2] + (num_positions,))
        row[..., text] = shares[..., :len(text)]
        for e in range(len(landmarks)):
            block = slice(e * block_size, e * block_size + landmark)
            row[..., block] = shares[..., len(text) + e, None] * scores[:, :, i, block].softmax(-1)
        rows.append(row)
    probabilities = torch.stack(rows, 2)
    return probabilities @ value, probabilities


# ---- Loss and training


def next_token_loss(logits, labels):
    """Mean over where the next label is not -100; logits [N, L, vocabulary], labels [N, L] (docs/model.md, 2)."""
    return F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), ignore_index=-100)


class AdamW:
    """Decoupled weight decay (arXiv 1711.05101) after clipping by the norm of all gradients."""

    def __init__(self, weights, settings):
        self.weights, self.settings, self.num_steps = weights, settings, 0
        self.first = {name: torch.zeros_like(weight) for name, weight in weights.items()}
        self.second = {name: torch.zeros_like(weight) for name, weight in weights.items()}

    @torch.no_grad()
    def clip_and_step(self):
        """Takes the gradients and forgets them; returns their norm before clipping."""
        settings = self.settings
        self.num_steps += 1
        norm = math.sqrt(sum(weight.grad.pow(2).sum().item() for weight in self.weights.values()))
        scale = min(1.0, settings["clip_grad_norm"] / (norm + 1e-6))
        (beta1, beta2), lr = settings["betas"], settings["lr"]
        for name, weight in self.weights.items():
            gradient = weight.grad * scale
            self.first[name].mul_(beta1).add_((1 - beta1) * gradient)
            self.second[name].mul_(beta2).add_((1 - beta2) * gradient**2)
            mean = self.first[name] / (1 - beta1**self.num_steps)
            deviation = (self.second[name] / (1 - beta2**self.num_steps)).sqrt()
            weight.mul_(1 - lr * settings["weight_decay"]).sub_(lr * mean / (deviation + settings["eps"]))
            weight.grad = None
        return norm
