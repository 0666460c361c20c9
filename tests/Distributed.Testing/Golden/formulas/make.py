"""Tiny models with random weights and the logits that their architectures' formulas give in double precision.

Run in this folder: python3 make.py. It needs nothing but the standard library. The architectures are those that the reference data
in ../architectures does not have. Each is written down here once more, token by token, without anything of the project.
"""
import json, math, random, struct

HIDDEN, HEADS, KV_HEADS, HEAD, FFN, VOCAB, TOKENS, WINDOW, EPS = 32, 4, 2, 8, 48, 48, 22, 6, 1e-5


class Model:
    def __init__(self, name, arch, layers, **keys):
        self.name, self.arch, self.layers, self.tensors, self.random = name, arch, layers, {}, random.Random(name)
        self.keys = {"block_count": layers, "context_length": 512, "embedding_length": HIDDEN, "feed_forward_length": FFN,
                     "attention.head_count": HEADS, "attention.head_count_kv": KV_HEADS, "rope.freq_base": 10000.0}
        self.keys.update(keys)
        self.matrix("token_embd.weight", HIDDEN, VOCAB, 1.0)

    def add(self, name, dims, values):
        # What the file holds, in single precision.
        values = list(struct.unpack(f"<{len(values)}f", struct.pack(f"<{len(values)}f", *values)))
        self.tensors[name] = (dims, values)
        return values

    def matrix(self, name, columns, rows, scale=None):
        spread = scale or 1.3 / math.sqrt(columns)
        return self.add(name, [columns, rows], [self.random.gauss(0, spread) for _ in range(columns * rows)])

    def vector(self, name, count, mean=0.0, rows=None):
        return self.add(name, [count] + ([rows] if rows else []), [self.random.gauss(mean, 0.3) for _ in range(count * (rows or 1))])

    def norm(self, name, count=HIDDEN, bias=False, rows=None):
        self.vector(f"{name}.weight", count, 1.0, rows)
        if bias:
            self.vector(f"{name}.bias", count)

    def __getitem__(self, name):
        return self.tensors[name][1] if name in self.tensors else None

    def save(self, ids, logits):
        def text(s):
            return struct.pack("<Q", len(s.encode())) + s.encode()

        def pair(key, value):
            if isinstance(value, str):
                return text(key) + struct.pack("<I", 8) + text(value)
            return text(key) + (struct.pack("<If", 6, value) if isinstance(value, float) else struct.pack("<II", 4, value))

        pairs = [pair("general.architecture", self.arch), pair("general.name", self.name)]
        pairs += [pair(f"{self.arch}.{key}", value) for key, value in self.keys.items()]
        head, data = b"", b""
        for name, (dims, values) in self.tensors.items():
            head += text(name) + struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, 0, len(data))
            data += struct.pack(f"<{len(values)}f", *values)
            data += b"\0" * (-len(data) % 32)
        file = b"GGUF" + struct.pack("<IQQ", 3, len(self.tensors), len(pairs)) + b"".join(pairs) + head
        open(f"{self.name}.gguf", "wb").write(file + b"\0" * (-len(file) % 32) + data)
        flat = [x for row in logits for x in row]
        open(f"{self.name}.f32", "wb").write(struct.pack(f"<{len(flat)}f", *flat))
        prompt = {"ids": ids, "logits": f"{self.name}.f32", "shape": [len(ids), VOCAB]}
        json.dump({"architecture": self.arch, "model": f"{self.name}.gguf", "prompts": [prompt], "observed": {}},
                  open(f"{self.name}.json", "w"), indent=1)


def dot(a, b):
    return math.fsum(x * y for x, y in zip(a, b))


def product(matrix, x):
    return [dot(matrix[i:i + len(x)], x) for i in range(0, len(matrix), len(x))]


def plus(a, b):
    return a if b is None else [x + y for x, y in zip(a, b)]


def rms(x, weight):
    scale = 1 / math.sqrt(dot(x, x) / len(x) + EPS)
    return [v * scale * w for v, w in zip(x, weight)]


def layer_norm(x, weight, bias=None):
    mean = sum(x) / len(x)
    centred = [v - mean for v in x]
    return plus(rms(centred, weight), bias)


def silu(x):
    return x / (1 + math.exp(-x))


def gelu(x):
    return 0.5 * x * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x ** 3)))


def rotate(head, position, rope):
    """rope: (pairs, rotated, frequency of pair i, magnitude); None leaves the head as it is."""
    if rope is None:
        return head
    pairs, rotated, frequency, magnitude = rope
    out = list(head)
    for i in range(rotated // 2):
        a, b = (2 * i, 2 * i + 1) if pairs == "neighbours" else (i, i + rotated // 2)
        cos, sin = (f(position * frequency(i)) * magnitude for f in (math.cos, math.sin))
        out[a], out[b] = head[a] * cos - head[b] * sin, head[a] * sin + head[b] * cos
    return out


def plain_rope(pairs, rotated=HEAD, base=10000.0, divisor=lambda i: 1, magnitude=1.0):
    return pairs, rotated, lambda i: base ** (-2 * i / rotated) / divisor(i), magnitude


def attention(model, layer, x, cache, rope, head_norm=None, wide_norm=False, window=None, scale=None):
    """Attention of one token, whose normed hidden state is x; cache holds the keys and values before it and gets its own."""
    def get(name):
        return model[f"blk.{layer}.{name}"]

    if get("attn_qkv.weight"):
        fused = product(get("attn_qkv.weight"), x)
        q, k, v = fused[:32], fused[32:48], fused[48:]
    else:
        q, k, v = (plus(product(get(f"attn_{n}.weight"), x), get(f"attn_{n}.bias")) for n in "qkv")
    if wide_norm:
        q, k = rms(q, get("attn_q_norm.weight")), rms(k, get("attn_k_norm.weight"))
    position = len(cache)
    split = [[z[i:i + HEAD] for i in range(0, len(z), HEAD)] for z in (q, k, v)]
    if head_norm:
        for z, name in ((0, "attn_q_norm.weight"), (1, "attn_k_norm.weight")):
            split[z] = [head_norm(h, get(name)[i * HEAD:(i + 1) * HEAD]) for i, h in enumerate(split[z])]
    queries, keys = ([rotate(h, position, rope) for h in split[z]] for z in (0, 1))
    cache.append((keys, split[2]))
    output = []
    for head, query in enumerate(queries):
        kv = head // (HEADS // KV_HEADS)
        seen = [p for p in range(position + 1) if window is None or position - p < window]
        weights = [math.exp(dot(query, cache[p][0][kv]) * (scale or 1 / math.sqrt(HEAD))) for p in seen]
        for i in range(HEAD):
            output.append(sum(w * cache[p][1][kv][i] for w, p in zip(weights, seen)) / sum(weights))
    return plus(product(get("attn_output.weight"), output), get("attn_output.bias"))


def network(model, layer, x, gated=True, fused=False, activation=silu):
    def get(name):
        return model[f"blk.{layer}.{name}"]

    up = plus(product(get("ffn_up.weight"), x), get("ffn_up.bias"))
    if fused:
        gate, up = up[:FFN], up[FFN:]
    elif gated:
        gate = product(get("ffn_gate.weight"), x)
    middle = [activation(g) * u for g, u in zip(gate, up)] if gated else [activation(u) for u in up]
    return plus(product(get("ffn_down.weight"), middle), get("ffn_down.bias"))


def fill(model, norms=(), norm_bias=False, qkv_bias=False, output_bias=False, fused_qkv=False, ffn="gated", tied=False):
    for layer in range(model.layers):
        b = f"blk.{layer}."
        for name in norms:
            model.norm(b + name, bias=norm_bias)
        if fused_qkv:
            model.matrix(b + "attn_qkv.weight", HIDDEN, 64)
        else:
            for name, rows in (("q", 32), ("k", 16), ("v", 16)):
                model.matrix(b + f"attn_{name}.weight", HIDDEN, rows)
                if qkv_bias:
                    model.vector(b + f"attn_{name}.bias", rows)
        model.matrix(b + "attn_output.weight", 32, HIDDEN)
        if ffn == "gated":
            model.matrix(b + "ffn_gate.weight", HIDDEN, FFN)
        model.matrix(b + "ffn_up.weight", HIDDEN, 2 * FFN if ffn == "fused" else FFN)
        model.matrix(b + "ffn_down.weight", FFN, HIDDEN)
        if output_bias:
            model.vector(b + "attn_output.bias", HIDDEN)
            model.vector(b + "ffn_up.bias", FFN)
            model.vector(b + "ffn_down.bias", HIDDEN)
    model.norm("output_norm", bias=norm_bias)
    if not tied:
        model.matrix("output.weight", HIDDEN, VOCAB)


def run(model, step, final=lambda m, x: rms(x, m["output_norm.weight"]), embed=1.0, logits=1.0):
    """step(layer, hidden, cache) gives the hidden state behind a layer."""
    ids = [model.random.randrange(VOCAB) for _ in range(TOKENS)]
    caches, rows = [[] for _ in range(model.layers)], []
    for token in ids:
        x = [v * embed for v in model["token_embd.weight"][token * HIDDEN:(token + 1) * HIDDEN]]
        for layer in range(model.layers):
            x = step(layer, x, caches[layer])
        rows.append([v * logits for v in product(model["output.weight"] or model["token_embd.weight"], final(model, x))])
    model.save(ids, rows)


def pre_norm(model, ropes, norm=rms, residual=1.0, post=False, parallel=False, scale=None, window=lambda layer: None, head_norm=None, **ffn):
    """Norm, attention, add; norm, network, add. With post, norms behind both; in parallel, both read the first norm."""
    def step(layer, x, cache):
        def normed(name, value):
            weight, bias = model[f"blk.{layer}.{name}.weight"], model[f"blk.{layer}.{name}.bias"]
            return plus(norm(value, weight), bias)

        def added(to, value, name):
            value = normed(name, value) if post else value
            return [a + residual * b for a, b in zip(to, value)]

        first = normed("attn_norm", x)
        attended = attention(model, layer, first, cache, ropes(layer), head_norm, scale=scale, window=window(layer))
        if parallel:
            return plus(plus(x, attended), network(model, layer, first, **ffn))
        x = added(x, attended, "post_attention_norm")
        return added(x, network(model, layer, normed("ffn_norm", x), **ffn), "post_ffw_norm")

    return step


RMS, LAYER = {"attention.layer_norm_rms_epsilon": EPS}, {"attention.layer_norm_epsilon": EPS}
BOTH = ("attn_norm", "ffn_norm")


def final_layer_norm(model, x):
    return layer_norm(x, model["output_norm.weight"], model["output_norm.bias"])


def yarn(base, factor, original, fast=32.0, slow=1.0):
    def pair(turns):
        return HEAD * math.log(original / (turns * 2 * math.pi)) / (2 * math.log(base))

    low, high = max(0, math.floor(pair(fast))), min(HEAD - 1, math.ceil(pair(slow)))

    def frequency(i):
        ramp = min(1, max(0, (i - low) / max(0.001, high - low)))
        plain = base ** (-2 * i / HEAD)
        return plain * (1 - ramp) + plain / factor * ramp

    return "halves", HEAD, frequency, 1 + 0.1 * math.log(factor)


def olmo2(name, layers, local, rope, **keys):
    m = Model(name, "olmo2", layers, **RMS, **keys)
    for layer in range(layers):
        m.norm(f"blk.{layer}.attn_q_norm", 32)
        m.norm(f"blk.{layer}.attn_k_norm", 16)
    fill(m, ("post_attention_norm", "post_ffw_norm"))

    def step(layer, x, cache):
        turned = plain_rope("halves") if local(layer) else rope
        attended = attention(m, layer, x, cache, turned, wide_norm=True, window=WINDOW if local(layer) else None)
        x = plus(x, rms(attended, m[f"blk.{layer}.post_attention_norm.weight"]))
        return plus(x, rms(network(m, layer, x), m[f"blk.{layer}.post_ffw_norm.weight"]))

    run(m, step)


def head_norms(m):
    for layer in range(m.layers):
        m.norm(f"blk.{layer}.attn_q_norm", HEAD, rows=HEADS)
        m.norm(f"blk.{layer}.attn_k_norm", HEAD, rows=KV_HEADS)


def phi3(name, original, list_used):
    m = Model(name, "phi3", 2, **RMS, **{"rope.scaling.type": "longrope", "rope.scaling.original_context_length": original,
                                        "rope.scaling.attn_factor": 1.25})
    factors = {kind: m.add(f"rope_factors_{kind}.weight", [HEAD // 2], [1 + m.random.random() * 3 for _ in range(HEAD // 2)])
               for kind in ("long", "short")}
    fill(m, BOTH, fused_qkv=True, ffn="fused")
    run(m, pre_norm(m, lambda _: plain_rope("halves", divisor=lambda i: factors[list_used][i], magnitude=1.25), fused=True))


def main():
    olmo2("olmo2", 2, lambda _: False, plain_rope("halves"))
    olmo2("olmo3", 5, lambda layer: layer % 4 != 3, yarn(10000.0, 8.0, 64), **{
        "attention.sliding_window": WINDOW, "rope.scaling.type": "yarn", "rope.scaling.factor": 8.0,
        "rope.scaling.original_context_length": 64})

    m = Model("smollm3", "smollm3", 5, **RMS)
    fill(m, BOTH, tied=True)
    run(m, pre_norm(m, lambda layer: None if layer % 4 == 3 else plain_rope("neighbours")))

    m = Model("granite", "granite", 2, **RMS, **{"embedding_scale": 3.0, "residual_scale": 0.25, "attention.scale": 0.5, "logit_scale": 1.5})
    fill(m, BOTH, tied=True)
    run(m, pre_norm(m, lambda _: plain_rope("neighbours"), residual=0.25, scale=0.5), embed=3.0, logits=1 / 1.5)

    m = Model("starcoder2", "starcoder2", 2, **LAYER)
    fill(m, BOTH, norm_bias=True, qkv_bias=True, output_bias=True, ffn="up", tied=True)
    run(m, pre_norm(m, lambda _: plain_rope("halves"), layer_norm, gated=False, activation=gelu), final_layer_norm)

    m = Model("stablelm", "stablelm", 2, **LAYER, **{"rope.dimension_count": 4})
    fill(m, BOTH, norm_bias=True, qkv_bias=True)
    run(m, pre_norm(m, lambda _: plain_rope("halves", 4), layer_norm), final_layer_norm)

    m = Model("stablelm-parallel", "stablelm", 2, **LAYER, **{"rope.dimension_count": 4})
    head_norms(m)
    fill(m, ("attn_norm",), norm_bias=True)
    run(m, pre_norm(m, lambda _: plain_rope("halves", 4), layer_norm, parallel=True, head_norm=layer_norm), final_layer_norm)

    m = Model("glm4", "glm4", 2, **RMS, **{"rope.dimension_count": 4})
    fill(m, BOTH + ("post_attention_norm", "post_ffw_norm"), qkv_bias=True, ffn="fused")
    run(m, pre_norm(m, lambda _: plain_rope("neighbours", 4), post=True, fused=True))

    m = Model("command-r", "command-r", 2, **LAYER, **{"logit_scale": 0.25})
    head_norms(m)
    fill(m, ("attn_norm",), tied=True)
    run(m, pre_norm(m, lambda _: plain_rope("neighbours"), layer_norm, parallel=True, head_norm=layer_norm), final_layer_norm, logits=0.25)

    m = Model("cohere2", "cohere2", 5, **LAYER, **{"logit_scale": 0.5, "attention.sliding_window": WINDOW})
    fill(m, ("attn_norm",), tied=True)
    run(m, pre_norm(m, lambda layer: None if layer % 4 == 3 else plain_rope("neighbours"), layer_norm, parallel=True,
                    window=lambda layer: None if layer % 4 == 3 else WINDOW), final_layer_norm, logits=0.5)

    phi3("phi3-long", 16, "long")
    phi3("phi3-short", 4096, "short")

    m = Model("llama-fused", "llama", 2, **RMS)
    fill(m, BOTH, fused_qkv=True)
    run(m, pre_norm(m, lambda _: plain_rope("neighbours")))


main()
