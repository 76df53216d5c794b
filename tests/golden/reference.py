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


def logits(input_ids, weights, config):
    """input_ids [N, L] -> logits [N, L, vocabulary], and what each upper group of DRT retrieved (see `choose`)."""
    kind = config.get("lookback_model", "drt" if "decoder_layers" in config else "sliding-window")
    x, retrievals = drt(input_ids, weights, config, kind) if "decoder_layers" in config else \
        (stack(input_ids, weights, config, kind), [])
    return rms_norm(x, weights["model.norm.weight"], config["rms_norm_eps"]) @ embedding(weights).T, retrievals


# ---- What all models are made of (docs/model.md, 1 and 3)


def embedding(weights):
    return weights["model.embed_tokens.weight"]


def with_landmarks(input_ids, config):
    """[N, L] -> [N, C * P]; L is a multiple of S."""
    chunks = input_ids.unflatten(1, (-1, config["enc_chunk_size"]))
    return F.pad(chunks, (0, 1), value=config["chunk_id"]).flatten(1)


def rms_norm(x, weight, eps):
    return weight * x / (x.pow(2).mean(-1, keepdim=True) + eps).sqrt()


def split_heads(x, num_heads):
    """[..., T, num_heads * D] -> [..., num_heads, T, D]"""
    return x.unflatten(-1, (num_heads, -1)).transpose(-3, -2)


def join_heads(x):
    """[..., H, T, D] -> [..., T, H * D]"""
    return x.transpose(-3, -2).flatten(-2)


def distances(num_positions):
    """i - j of query i and key j: [T, T]"""
    position = torch.arange(num_positions)
    return position[:, None] - position


def slopes(num_heads, dtype):
    """ALiBi's: [H, 1, 1]"""
    return (2.0 ** (-8.0 * torch.arange(1, num_heads + 1, dtype=dtype) / num_heads))[:, None, None]


def rotate(x, config):
    """Rotary positions, halves of D paired: x [..., T, D], position t in row t."""
    num_positions, head_dim = x.shape[-2:]
    frequency = config.get("rope_theta", 10000.0) ** (-torch.arange(0, head_dim, 2, dtype=x.dtype) / head_dim)
    angle = torch.arange(num_positions, dtype=x.dtype)[:, None] * frequency
    first, second = x.chunk(2, -1)
    return torch.cat([first * angle.cos() - second * angle.sin(), second * angle.cos() + first * angle.sin()], -1)


def attend(query, key, value, bias=None):
    """query [..., T, D], key and value [..., J, D], bias [..., T, J]; a query that sees nothing gives 0."""
    scores = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])
    if bias is not None:
        # Filled, not only added, so that what is not seen gets no gradient, not even NaN.
        scores = (scores + bias).masked_fill(bias.isinf(), -math.inf)
    return scores.softmax(-1).nan_to_num() @ value


def window_attention(query, key, value, config):
    """All [N, H, T, D]."""
    positions = config.get("window_positions", "alibi")
    if positions == "rope":
        query, key = rotate(query, config), rotate(key, config)
    distance = distances(query.shape[-2])
    bias = -slopes(query.shape[-3], query.dtype) * distance * (positions == "alibi")
    outside = (distance < 0) | (distance > config["slide_window"])
    return attend(query, key, value, bias.masked_fill(outside, -math.inf))


class Layer:
    """The parts of a Llama layer whose parameters' names begin with `prefix`."""

    def __init__(self, weights, prefix, config, eps=None, num_kv_heads=None):
        self.weights, self.prefix = weights, prefix
        self.eps = eps or config["rms_norm_eps"]
        self.num_heads = config["num_attention_heads"]
        self.num_kv_heads = num_kv_heads or config["num_key_value_heads"]

    def weight(self, name):
        return self.weights[f"{self.prefix}.{name}"]

    def project(self, x, name):
        return x @ self.weight(f"{name}.weight").T

    def norm(self, x, name="input_layernorm"):
        return rms_norm(x, self.weight(f"{name}.weight"), self.eps)

    def query_heads(self, x, name="self_attn.q_proj"):
        return split_heads(self.project(x, name), self.num_heads)

    def key_heads(self, x, name):
        """Each as often as query heads read it."""
        return split_heads(self.project(x, name), self.num_kv_heads).repeat_interleave(
            self.num_heads // self.num_kv_heads, -3)

    def heads(self, x):
        """Of self-attention, from the normed x: query, key, value [..., H, T, D]."""
        x = self.norm(x)
        return self.query_heads(x), self.key_heads(x, "self_attn.k_proj"), self.key_heads(x, "self_attn.v_proj")

    def output(self, mixed, name="self_attn.o_proj"):
        return self.project(join_heads(mixed), name)

    def mlp(self, y):
        y = self.norm(y, "post_attention_layernorm")
        return self.project(F.silu(self.project(y, "mlp.gate_proj")) * self.project(y, "mlp.up_proj"), "mlp.down_proj")


def window_layer(x, layer, config):
    x = x + layer.output(window_attention(*layer.heads(x), config))
    return x + layer.mlp(x)


# ---- DRT and its variants (docs/model.md, 1 to 8, 13 to 15)


def drt(input_ids, weights, config, kind):
    """input_ids [N, L], L a multiple of S -> [N, L, d] before the last norm, and what each upper group retrieved."""
    x = embedding(weights)[with_landmarks(input_ids, config)]  # [N, C * P, d]
    num_chunks = input_ids.shape[1] // config["enc_chunk_size"]

    def by_chunk(rows):
        return rows.unflatten(1, (num_chunks, -1))

    num_lower, *num_upper = config["decoder_layers"]
    for i in range(num_lower):
        layer = Layer(weights, f"model.lower_layers.{i}", config)
        x = convolved(x, weights.get(f"{layer.prefix}.conv.weight"), lambda seen: window_layer(seen, layer, config))
    key, value, landmarks = encode_chunks(by_chunk(x), weights, config, kind)
    retrievals = []
    for group, num_layers in enumerate(num_upper):
        if kind == "rpt":
            retrieved = choose_fixed(input_ids.unflatten(1, (num_chunks, -1)), weights, config)
        else:
            asking = landmarks if config.get("query_from") == "landmark" else by_chunk(x)[:, :, -1]
            query = rms_norm(asking, weights[f"model.lmk_norms.{group}.weight"], RETRIEVER_EPS)
            if config.get("retrieval_projections"):
                query = query @ weights[f"model.lmk_q_proj.{group}.weight"].T
            more = 0
            if config.get("recency_bias"):
                more = -weights[f"model.lmk_recency.{group}"] * distances(num_chunks).clamp_min(1).double().log()
            if config.get("term_scores"):
                chunks = input_ids.unflatten(1, (num_chunks, -1))
                bm25 = torch.stack([bm25_scores(text.tolist(), config) for text in chunks])
                more = more + weights["model.lmk_terms"] * bm25 * math.sqrt(1024)
            retrieved = choose_learned(query, landmarks, config, group, more)
        if config.get("retrieve_successors"):
            retrieved = with_successors(retrieved)
        retrievals.append(retrieved)
        for j in range(num_layers):
            layer = Layer(weights, f"model.upper_layers.{group}.{j}", config)
            x = x + layer.output(window_attention(*layer.heads(x), config))
            query = layer.project(layer.norm(x, "gca.pre_norm"), "gca.q_proj")
            query = by_chunk(query).unflatten(-1, (layer.num_heads, -1))  # [N, C, P, H, D]
            mixed = chunk_attention(query, key, value, retrieved, config, kind)
            y = x + layer.project(mixed.flatten(-2).flatten(1, 2), "gca.o_proj")
            # In the paper the residual stays x, not y.
            into = "both" if config.get("residual_reset") else config.get("retrieved_into", "mlp")
            x = (x if into == "mlp" else y) + layer.mlp(x if into == "residual" else y)
    return by_chunk(x)[:, :, :-1].flatten(1, 2), retrievals


def before(x, weight):
    """What a short convolution gives a position of those before it: x [..., T, d], weight [k - 1, d] (16)."""
    rows = torch.zeros_like(x)
    for t in range(x.shape[-2]):
        for j in range(1, min(len(weight), t) + 1):
            rows[..., t, :] = rows[..., t, :] + weight[j - 1] * x[..., t - j, :]
    return rows


def convolved(x, weight, layer):
    """The layer sees x and what a convolution gives, which does not stay in the stream; None: there is none."""
    return layer(x) if weight is None else layer(x + before(x, weight)) - before(x, weight)


def with_successors(retrieved):
    """Behind the K chosen chunks the K that follow them, none behind the asking one (16)."""
    indices, weights = retrieved["indices"], retrieved["weights"]
    asking = torch.arange(indices.shape[1])[:, None]
    none = (indices < 0) | (indices + 1 > asking)
    return retrieved | {"indices": torch.cat([indices, (indices + 1).masked_fill(none, -1)], 2),
                        "weights": torch.cat([weights, weights.masked_fill(none, 0)], 2)}


def encode_chunks(lower, weights, config, kind):
    """Lower hidden states [N, C, P, d] -> keys, values [N, C, S, H, D], landmarks [N, C, d] (docs/model.md, 4, 5)."""
    num_heads = config["num_attention_heads"]
    x = rms_norm(lower, weights["model.enc_prenorm.weight"], config["rms_norm_eps"])
    if config.get("landmark_from") == "vector":
        landmark = weights["model.encoder.landmark"].expand(*x.shape[:2], 1, -1)
        x = torch.cat([x[:, :, :-1], landmark], 2)
    for i in range(config["encoder_layers"]):
        layer = Layer(weights, f"model.encoder.layers.{i}", config, ENCODER_EPS, num_heads)
        x = convolved(x, weights.get("model.encoder.conv.weight") if i == 0 else None,
                      lambda seen: encoder_layer(seen, layer, config))
    x = rms_norm(x, weights["model.encoder.norm.weight"], ENCODER_EPS)
    text = x[:, :, :-1]
    if kind == "compressed-memory":  # [N, C, m, d] (docs/model.md, 14)
        text = attend(weights["model.memory_queries"], text, text)
    keyed = text
    if config.get("key_conv_kernel"):
        keyed = weights["model.key_conv.own_weight"] * text + before(text, weights["model.key_conv.weight"])
    key, value = ((rows @ weights[f"model.chunk_{name}_proj.weight"].T).unflatten(-1, (num_heads, -1))
                  for name, rows in (("k", keyed), ("v", text)))
    landmarks = x[:, :, :-1].mean(2) if config.get("landmark_from") == "mean" else x[:, :, -1]
    if config.get("retrieval_projections"):
        landmarks = landmarks @ weights["model.lmk_proj.weight"].T
    return key, value, landmarks


def encoder_layer(x, layer, config):
    query, key, value = layer.heads(x)
    x = x + layer.output(attend(rotate(query, config), rotate(key, config), value))
    return x + layer.mlp(x)


def choose(scores, selection, top_k, uniform, stick_breaking=False, num_masked=0):
    """Of scores [N, C, C], the K whose `selection` is largest: indices (-1: nothing) and weights [N, C, K]."""
    num_chunks = scores.shape[1]
    earlier = torch.ones(num_chunks, num_chunks).tril(-1 - num_masked).bool()
    scores = scores.masked_fill(~earlier, -math.inf)
    picked = selection.masked_fill(~earlier, -math.inf).topk(min(top_k, num_chunks), -1).indices
    best = scores.gather(-1, picked)
    weights = best.softmax(-1).nan_to_num()  # 0 where nothing is earlier
    if uniform:
        weights = (~best.isinf()).to(best.dtype)
        weights = weights / weights.sum(-1, keepdim=True).clamp_min(1)
    if stick_breaking:
        weights = stick_breaking_weights(best, picked)
    return {"scores": scores, "indices": picked.masked_fill(best.isinf(), -1), "weights": weights}


def stick_breaking_weights(best, picked):
    """Of the scores [N, C, K] of chosen chunks; the nearest first takes its part of what is left (16)."""
    parts = best.sigmoid()  # 0 where nothing is earlier
    nearer = picked[..., None, :] > picked[..., :, None]  # is j nearer than k: [N, C, K, K]
    left = torch.where(nearer, 1 - parts[..., None, :], 1).prod(-1)
    return parts * left


def choose_learned(query, landmarks, config, group, more):
    """query, landmarks [N, C, d] (docs/model.md, 6, 15 and 16); more: is added to their scores."""
    scores = query @ landmarks.transpose(1, 2) / math.sqrt(query.shape[-1])
    scores = scores / config.get("retrieval_temperature", 1) + more
    selection = scores
    if config.get("random_retrieval"):
        chunks = range(scores.shape[1])
        selection = torch.tensor([[random_number(c, e, group) for e in chunks] for c in chunks], dtype=scores.dtype)
        selection = selection.expand_as(scores)
    num_masked = 0
    if config.get("mask_slide_window"):  # chunks that the first position served sees whole, but for the asking one
        num_masked = max(config["slide_window"] // (config["enc_chunk_size"] + 1) - 1, 0)
    return choose(scores, selection, config["chunk_topk"], config.get("uniform_chunk_weights", False),
                  config.get("stick_breaking", False), num_masked)


def random_number(chunk, landmark, group):
    """A hash in 31 bits."""
    mask = 0x7FFFFFFF
    number = (chunk * 0x2C1B3C6D + landmark * 0x297A2D39 + group * 0x1B873593) & mask
    for factor in (0x4B9F2C1D, 0x68E31DA5, 0x35FCB167):
        number = (((number ^ number >> 15) * factor) >> 7) & mask
    return number


def choose_fixed(chunks, weights, config):
    """chunks [N, C, S] of ids (docs/model.md, 13)."""
    if config["retriever"] == "bm25":
        scores = torch.stack([bm25_scores(text.tolist(), config) for text in chunks])
        steps = 4096
    else:
        mean = weights["model.retriever.embeddings"][chunks].mean(2).detach()
        key = mean / mean.norm(dim=-1, keepdim=True)
        scores = key @ key.transpose(1, 2) / math.sqrt(key.shape[-1])
        steps = 65536
    nearness = 1e-9 * torch.arange(chunks.shape[1])
    return choose(scores, (scores * steps).round() / steps + nearness, config["chunk_topk"], uniform=True)


def terms_of(ids, config):
    """A chunk's terms, hashed: of bytes words, else tokens."""
    if 256 <= config["vocab_size"] <= 264:
        letters = [chr(i).lower() if i < 128 and chr(i).isalnum() else chr(i) if 128 <= i < 256 else " " for i in ids]
        terms = [[ord(letter) for letter in word] for word in "".join(letters).split(" ") if word]
    else:
        terms = [[i] for i in ids]
    hashes = []
    for term in terms:
        value = 0xCBF29CE484222325  # FNV-1a
        for number in term:
            value = (value ^ number) * 0x100000001B3 % 2**64
        hashes.append(value % config.get("retriever_size", 1024))
    return hashes


def bm25_scores(chunks, config):
    """[C, C]: of chunk c for chunk e < c; the others are never read."""
    terms = [terms_of(ids, config) for ids in chunks]
    scores = torch.zeros(len(chunks), len(chunks), dtype=torch.float64)
    for c in range(len(chunks)):
        for term in set(terms[c]):
            found_in = sum(term in terms[e] for e in range(c))
            idf = math.log1p((c - found_in + 0.5) / (found_in + 0.5))
            for e in range(c):
                count = terms[e].count(term)
                scores[c, e] += idf * count * (1.2 + 1) / (count + 1.2)
    return scores / math.sqrt(config.get("retriever_size", 1024))


def chunk_attention(query, key, value, retrieved, config, kind):
    """query [N, C, P, H, D] -> [N, C, P, H, D]: chunk c attends to what chunk c - 1 retrieved (docs/model.md, 7)."""
    rows = []
    for n in range(query.shape[0]):
        chunks = [torch.zeros_like(query[n, 0])]
        for c in range(1, query.shape[1]):
            indices = retrieved["indices"][n, c - 1]
            chosen = indices[indices >= 0]
            weights = retrieved["weights"][n, c - 1][indices >= 0]
            scores = torch.einsum("phd,kshd->hpks", query[n, c], key[n, chosen]) / math.sqrt(query.shape[-1])
            if kind == "rpt":  # one softmax over all of them
                shares = scores.flatten(2).softmax(-1).view(scores.shape)
            elif config["enable_softmax_one"]:  # one more key, of score 0 and value 0
                shares = F.pad(scores, (0, 1)).softmax(-1)[..., :-1] * weights[:, None]
            else:
                shares = scores.softmax(-1) * weights[:, None]
            chunks.append(torch.einsum("hpks,kshd->phd", shares, value[n, chosen]))
        rows.append(torch.stack(chunks))
    return torch.stack(rows)


# ---- Stacks of layers (docs/model.md, 9 to 12)


def stack(input_ids, weights, config, kind):
    """input_ids [N, L] -> [N, L, d] before the last norm."""
    x = embedding(weights)[with_landmarks(input_ids, config) if kind == "landmark" else input_ids]
    for i in range(config["num_hidden_layers"]):
        layer = Layer(weights, f"model.layers.{i}", config)
        apply = window_layer
        if kind == "landmark":
            apply = landmark_layer
        elif kind == "block-recurrent" and i == config["memory_layer"]:
            apply = recurrent_layer
        elif kind == "memorizing" and i == config["memory_layer"]:
            apply = neurocache_layer if config.get("memory_width") else memorizing_layer
        x = convolved(x, weights.get(f"{layer.prefix}.conv.weight"), lambda seen: apply(seen, layer, config))
    return x if kind != "landmark" else x.unflatten(1, (-1, config["enc_chunk_size"] + 1))[:, :, :-1].flatten(1, 2)


def landmark_layer(x, layer, config):
    mixed, _ = landmark_attention(*layer.heads(x), config["enc_chunk_size"] + 1, config["slide_window"],
                                  config["chunk_topk"])
    x = x + layer.output(mixed)
    return x + layer.mlp(x)


def landmark_attention(query, key, value, block_size, window_size=0, top_k=None):
    """query, key, value [N, H, T, D] -> the output, the same shape, and each position's share of it [N, H, T, T].

    Without window_size and top_k: the paper's grouped softmax alone, without positions and over all earlier blocks.
    """
    num_positions = query.shape[2]
    choice_scores = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])
    scores = choice_scores - slopes(query.shape[1], query.dtype) * distances(num_positions).clamp(0, window_size)
    landmark = block_size - 1  # the last position of each block
    num_local = -(-window_size // block_size)
    rows = []
    for i in range(num_positions):
        block = i // block_size
        own = block * block_size
        text = list(range(own, min(i + 1, own + landmark)))
        landmarks = list(range(landmark, own, block_size))
        landmark_scores = scores[:, :, i, landmarks]
        num_far = max(block - num_local, 0)
        if top_k is not None and top_k < num_far:
            nearness = torch.arange(num_far - 1, -1, -1).clamp_max(top_k) / 10000
            chosen = (choice_scores[:, :, i, landmarks[:num_far]] - nearness).topk(top_k, -1).indices
            hidden = torch.ones(landmark_scores.shape).scatter(-1, chosen, 0).bool()
            hidden[..., num_far:] = False
            landmark_scores = landmark_scores.masked_fill(hidden, -math.inf)
        shares = torch.cat([scores[:, :, i, text], landmark_scores], -1).softmax(-1)
        row = scores.new_zeros(scores.shape[:2] + (num_positions,))
        row[..., text] = shares[..., :len(text)]
        for e in range(block):
            inside = slice(e * block_size, e * block_size + landmark)
            row[..., inside] = shares[..., len(text) + e, None] * scores[:, :, i, inside].softmax(-1)
        rows.append(row)
    probabilities = torch.stack(rows, 2)
    return probabilities @ value, probabilities


def recurrent_layer(x, layer, config):
    query, key, value = layer.heads(x)
    local = window_attention(query, key, value, config)
    token_query = layer.query_heads(layer.norm(x), "recurrence.token_q_proj")
    gate = torch.sigmoid(layer.weight("recurrence.gate_bias") + 1)
    state = x.new_zeros(x.shape[0], config["state_size"], x.shape[2])
    read = []
    for begin in range(0, x.shape[1], config["slide_window"]):
        block = slice(begin, begin + config["slide_window"])
        seen = layer.norm(state, "recurrence.norm") + layer.weight("recurrence.ids")
        state_key, state_value = (layer.key_heads(seen, f"recurrence.state_{name}_proj") for name in "kv")
        read.append(attend(token_query[:, :, block], state_key, state_value))
        of_states = attend(layer.query_heads(seen, "recurrence.state_q_proj"), state_key, state_value)
        of_block = attend(layer.query_heads(seen, "recurrence.block_q_proj"), key[:, :, block], value[:, :, block])
        z = layer.output(of_states, "recurrence.state_o_proj") + layer.output(of_block, "recurrence.block_o_proj")
        state = gate * state + (1 - gate) * (z + layer.weight("recurrence.z_bias"))
    x = x + layer.output(local) + layer.output(torch.cat(read, 2), "recurrence.token_o_proj")
    return x + layer.mlp(x)


def nearest_bias(scores, config):
    """0 at the memory_topk largest of scores [..., T, T] among the remembered positions, -inf elsewhere."""
    distance = distances(scores.shape[-1]) - config["slide_window"]
    outside = (distance < 1) | (distance > config["memory_size"])
    scores = scores.detach().masked_fill(outside, -math.inf)
    best = scores.topk(min(config["memory_topk"], scores.shape[-1]), -1).indices
    return torch.full_like(scores, -math.inf).scatter(-1, best, 0).masked_fill(outside, -math.inf)


def memorizing_layer(x, layer, config):
    query, key, value = layer.heads(x)
    memory = attend(query, key, value, nearest_bias(query @ key.transpose(-1, -2), config))
    gate = torch.sigmoid(layer.weight("memory.gate"))[:, None, None]
    local = window_attention(query, key, value, config)
    x = x + layer.output(gate * memory + (1 - gate) * local)
    return x + layer.mlp(x)


def neurocache_layer(x, layer, config):
    local = window_attention(*layer.heads(x), config)
    states = layer.project(layer.norm(x), "memory.state_proj")  # [N, T, r]
    bias = nearest_bias(states @ states.transpose(1, 2), config)[:, None]
    memory = attend(layer.query_heads(layer.norm(x), "memory.q_proj"), layer.key_heads(states, "memory.k_proj"),
                    layer.key_heads(states, "memory.v_proj"), bias)
    x = x + layer.output(local) + layer.output(memory, "memory.o_proj")
    return x + layer.mlp(x)


# ---- Loss


def next_token_loss(logits, labels):
    """Mean over where the next label is not -100; logits [N, L, vocabulary], labels [N, L] (docs/model.md, 2)."""
    return F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), ignore_index=-100)
