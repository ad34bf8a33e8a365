"""Computes the works of ../work/rows.mjs with PyTorch on the processor; asked and answering by JSON lines (torch.mjs)."""

import json
import os
import resource
import sys
import time

import torch
import torch.nn.functional as F

folder = sys.argv[1]
torch.set_grad_enabled(False)


def loaded(arrays):
    tensors = {}
    for array in arrays:
        dtype = torch.int32 if array["integer"] else torch.float32
        with open(array["file"], "rb") as file:
            tensors[array["name"]] = torch.frombuffer(bytearray(file.read()), dtype=dtype).reshape(array["shape"])
    return tensors


def linear(p, name, x):
    return F.linear(x, p[name + ".weight"], p[name + ".bias"])


def norm(p, name, x, epsilon):
    return F.layer_norm(x, x.shape[-1:], p[name + ".weight"], p[name + ".bias"], epsilon)


def attention(qkv, heads):
    batch, tokens, width = qkv.shape[0], qkv.shape[1], qkv.shape[2] // 3
    q, k, v = qkv.reshape(batch, tokens, 3, heads, width // heads).permute(2, 0, 3, 1, 4)
    weights = torch.softmax((q * (width // heads) ** -0.5) @ k.transpose(-2, -1), -1)
    return (weights @ v).transpose(1, 2).reshape(batch, tokens, width)


def encode(p, x, s):
    epsilon = s["layerNormEpsilon"]
    for i in range(s["depth"]):
        x = x + linear(p, f"{i}.projection", attention(linear(p, f"{i}.qkv", norm(p, f"{i}.norm1", x, epsilon)), s["heads"]))
        x = x + linear(p, f"{i}.contract", F.gelu(linear(p, f"{i}.expand", norm(p, f"{i}.norm2", x, epsilon))))
    return norm(p, "norm", x, epsilon)


def as_torch_stores(p):
    """Weights are given as [in, out]; PyTorch's layers hold [out, in]."""
    return {n: t.T.contiguous() if n.endswith(".weight") and t.dim() == 2 else t for n, t in p.items()}


def pure(compute):
    return compute, compute


def vit_forward(p, s):
    pixels = p.pop("pixels")
    p = as_torch_stores(p)
    patch, width = s["patch"], s["width"]
    kernel = p["embed.weight"].reshape(width, 3, patch, patch)

    def compute():
        patches = F.conv2d(pixels, kernel, p["embed.bias"], stride=patch).flatten(2).transpose(1, 2)
        x = torch.cat([p["class"].expand(len(pixels), -1, -1), patches], 1) + p["position"]
        return encode(p, x, s)

    return pure(compute)


def train_step(p, s):
    x, labels = p.pop("x"), p.pop("labels").long()
    p = {n: t.requires_grad_() for n, t in as_torch_stores(p).items()}
    optimizer = torch.optim.AdamW(
        p.values(),
        lr=s["learningRate"],
        betas=(s["beta1"], s["beta2"]),
        eps=s["epsilon"],
        weight_decay=s["weightDecay"],
    )

    def step():
        with torch.enable_grad():
            loss = F.cross_entropy(linear(p, "head", encode(p, x, s)[:, 0]), labels)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
        optimizer.step()
        return loss.detach()

    return step, lambda: torch.stack([step() for _ in range(s["steps"])])


def prepared(kind, p, s):
    if kind == "vit-ti forward":
        return vit_forward(p, s)
    if kind == "train step":
        return train_step(p, s)
    works = {
        "matmul": lambda: torch.matmul(p["a"], p["b"]),
        "softmax": lambda: torch.softmax(p["x"], -1),
        "layernorm": lambda: F.layer_norm(p["x"], p["x"].shape[-1:], eps=s["layerNormEpsilon"]),
        "gelu": lambda: F.gelu(p["x"]),
        "nearest": lambda: (p["queries"] @ p["bank"].T).topk(s["k"]).indices.int(),
    }
    if kind == "conv2d":
        x, weight = (p[name].permute(0, 3, 1, 2).contiguous() for name in ("x", "weight"))
        run = lambda: F.conv2d(x, weight, padding=1)
        return run, lambda: run().permute(0, 2, 3, 1)
    return pure(works[kind])


def cpu_seconds():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def timed(run, count):
    start, before = time.perf_counter(), cpu_seconds()
    for _ in range(count):
        run()
    after = cpu_seconds()
    return {"ms": 1000 * (time.perf_counter() - start) / count, "cpuMs": 1000 * (after - before) / count}


run = result = None
for line in sys.stdin:
    request = json.loads(line)
    kind = request["type"]
    answer = {}
    try:
        if kind == "prepare":
            run, result = prepared(request["kind"], loaded(request["arrays"]), request["settings"])
        elif kind == "time":
            answer = timed(run, request["count"])
        elif kind == "result":
            values = result().contiguous()
            answer = {"file": os.path.join(folder, "result.bin"), "integer": not values.is_floating_point()}
            values.numpy().tofile(answer["file"])
        elif kind == "release":
            run = result = None
    except Exception as error:  # told to the one who asked, as every contestant does
        answer = {"failure": f"{type(error).__name__}: {error}"}
    print(json.dumps(answer), flush=True)
