"""Soft-max weights of the class token on the patches, by PyTorch in float64, for two small vision transformers.

Writes golden_attention.json beside this file: python3 golden_attention.py [FILE]  (needs torch; written with 1.13)
Parameters, positions and images are the numbers of one generator, so that none of them has to be stored.
"""

import json
import os
import sys

import torch
from torch.nn import functional as F

torch.set_default_dtype(torch.float64)
WIDTH, BLOCKS, HEADS, PATCH, MLP = 16, 2, 2, 4, 32
ROWS, COLUMNS = 2, 3
EPSILON = 1e-6


class Numbers:
    """A linear congruential generator modulo 2 ** 32; its upper 24 bits are exact in float32."""

    def __init__(self):
        self.state = 1

    def take(self, *shape, scale=1.0, shift=0.0):
        count = 1
        for length in shape:
            count *= length
        values = []
        for _ in range(count):
            self.state = (1664525 * self.state + 1013904223) % 2**32
            values.append(shift + scale * ((self.state >> 8) / 2**23 - 1))
        return torch.tensor(values).reshape(shape)


def model_of(kind, numbers):
    """In the order of the parameters' names in this package; weights of norms around 1."""
    parameters = {}

    def norm(name):
        parameters[name + ".weight"] = numbers.take(WIDTH, scale=0.5, shift=1.0)
        parameters[name + ".bias"] = numbers.take(WIDTH, scale=0.5)

    def linear(name, inputs, outputs):
        parameters[name + ".weight"] = numbers.take(outputs, inputs, scale=0.5)
        parameters[name + ".bias"] = numbers.take(outputs, scale=0.5)

    parameters["patch_embed.proj.weight"] = numbers.take(WIDTH, 3, PATCH, PATCH, scale=0.5)
    parameters["patch_embed.proj.bias"] = numbers.take(WIDTH, scale=0.5)
    parameters["cls_tokens.tokens"] = numbers.take(1, 1, WIDTH, scale=0.5)
    if kind == "postnorm":
        norm("embed_norm")
    for block in range(BLOCKS):
        prefix = f"blocks.{block}."
        norm(prefix + "norm1")
        linear(prefix + "attn.qkv", WIDTH, 3 * WIDTH)
        linear(prefix + "attn.proj", WIDTH, WIDTH)
        norm(prefix + "norm2")
        linear(prefix + "mlp.fc1", WIDTH, MLP)
        linear(prefix + "mlp.fc2", MLP, WIDTH)
    if kind == "prenorm":
        norm("norm")
    return parameters


def attention_of(kind, parameters, positions, image):
    """Per block [heads, patches]."""

    def norm(name, x):
        return F.layer_norm(x, (WIDTH,), parameters[name + ".weight"], parameters[name + ".bias"], EPSILON)

    def linear(name, x):
        return F.linear(x, parameters[name + ".weight"], parameters[name + ".bias"])

    def attend(name, x):
        q, k, v = linear(name + ".qkv", x).reshape(-1, 3, HEADS, WIDTH // HEADS).permute(1, 2, 0, 3)
        weights = torch.softmax(q @ k.transpose(-1, -2) * (WIDTH // HEADS) ** -0.5, dim=-1)
        found.append(weights[:, 0, 1:].tolist())
        return linear(name + ".proj", (weights @ v).transpose(0, 1).reshape(-1, WIDTH))

    def mlp(name, x):
        return linear(name + ".fc2", F.gelu(linear(name + ".fc1", x)))

    found = []
    patches = F.conv2d(
        image[None], parameters["patch_embed.proj.weight"], parameters["patch_embed.proj.bias"], stride=PATCH
    )
    x = patches.flatten(2).transpose(1, 2)[0] + positions.reshape(-1, WIDTH)
    x = torch.cat([parameters["cls_tokens.tokens"][0], x])
    if kind == "postnorm":
        x = norm("embed_norm", x)
    for block in range(BLOCKS):
        prefix = f"blocks.{block}."
        if kind == "prenorm":
            x = x + attend(prefix + "attn", norm(prefix + "norm1", x))
            x = x + mlp(prefix + "mlp", norm(prefix + "norm2", x))
        else:
            x = norm(prefix + "norm1", x + attend(prefix + "attn", x))
            x = norm(prefix + "norm2", x + mlp(prefix + "mlp", x))
    return found


def main():
    golden = {"width": WIDTH, "blocks": BLOCKS, "heads": HEADS, "patchPixels": PATCH, "mlpWidth": MLP}
    golden.update(heightPixels=ROWS * PATCH, widthPixels=COLUMNS * PATCH, epsilon=EPSILON, cases={})
    for kind in ("prenorm", "postnorm"):
        numbers = Numbers()
        parameters = model_of(kind, numbers)
        positions = numbers.take(1, ROWS, COLUMNS, WIDTH, scale=0.5)
        # Levels 0 … 255 of an image, interleaved, normalised as ImageNet's are.
        levels = torch.floor(numbers.take(ROWS * PATCH, COLUMNS * PATCH, 3, scale=128.0, shift=128.0))
        mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
        image = ((levels / 255 - mean) / deviation).permute(2, 0, 1)
        golden["cases"][kind] = attention_of(kind, parameters, positions, image)
    path = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(__file__), "golden_attention.json")
    with open(path, "w") as file:
        json.dump(golden, file, indent=1)
        file.write("\n")


main()
