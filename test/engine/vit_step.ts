import {
  Arena,
  type ArenaEntry,
  adamW,
  arenaBlockElements,
  attention,
  crossEntropy,
  type Device,
  gather,
  layerNorm,
  linear,
  recordProgram,
  type Tensor,
} from "../../engine/index.ts";
import { randomSource } from "../../engine/testing/index.ts";

export interface VitShape {
  readonly width: number;
  readonly depth: number;
  readonly heads: number;
  readonly tokens: number;
  readonly batch: number;
  readonly classes: number;
}

/** One training step of a pre-norm ViT on token rows: parameters, moments and the recorded program. */
export function recordVitStep(device: Device, shape: VitShape) {
  const { width, tokens, batch } = shape;
  const parameters = new Arena(device, "parameters", entriesOf(shape));
  const gradients = parameters.like("gradients");
  const [firstMoment, secondMoment] = [parameters.like("first moment"), parameters.like("second moment")];
  writeStartValues(parameters);
  const blocks = (chunk: Tensor): number => chunk.size / arenaBlockElements;
  const groups = device.tensor([1, 0.05], [1, 2]);
  const program = recordProgram(device, (p) => {
    const x = p.input("x", [batch * tokens, width]);
    const labels = p.input("labels", [batch], "u32");
    const scalars = p.input("scalars", [12]);
    const loss = crossEntropy(classify(parameters, x, shape), labels);
    const names = parameters.entries.map(({ name }) => name);
    p.gradients(
      loss,
      names.map((name) => parameters.get(name)),
    ).forEach((gradient, i) => {
      p.assign(gradients.get(names[i] ?? ""), gradient);
    });
    parameters.chunks.forEach((chunk, i) => {
      const moments = { firstMoment: chunkOf(firstMoment, i), secondMoment: chunkOf(secondMoment, i) };
      const blockGroups = device.zeros([blocks(chunk)], "u32");
      adamW(p, { parameters: chunk, gradients: chunkOf(gradients, i), ...moments, blockGroups, groups, scalars });
    });
    return { loss };
  });
  return { program, parameters, firstMoment, secondMoment };
}

/** The same tokens and labels for every step of that number. */
export function vitBatch({ batch, tokens, width, classes }: VitShape, step: number) {
  const random = randomSource(1000 + step);
  return {
    x: Float32Array.from({ length: batch * tokens * width }, () => 2 * random() - 1),
    labels: Uint32Array.from({ length: batch }, () => Math.floor(random() * classes)),
  };
}

function chunkOf(arena: Arena, index: number): Tensor {
  const chunk = arena.chunks[index];
  if (!chunk) throw new Error(`${arena.name} has no chunk ${index}`);
  return chunk;
}

function entriesOf({ width, depth, classes }: VitShape): ArenaEntry[] {
  const layer = (name: string, inputs: number, outputs: number): ArenaEntry[] => [
    { name: `${name}.weight`, shape: [outputs, inputs] },
    { name: `${name}.bias`, shape: [outputs] },
  ];
  const norm = (name: string): ArenaEntry[] => [
    { name: `${name}.weight`, shape: [width] },
    { name: `${name}.bias`, shape: [width] },
  ];
  const blocks = Array.from({ length: depth }, (_, i) => [
    ...norm(`${i}.norm1`),
    ...layer(`${i}.qkv`, width, 3 * width),
    ...layer(`${i}.project`, width, width),
    ...norm(`${i}.norm2`),
    ...layer(`${i}.expand`, width, 4 * width),
    ...layer(`${i}.contract`, 4 * width, width),
  ]);
  return [...blocks.flat(), ...norm("norm"), ...layer("head", width, classes)];
}

/** Norm weights 1, biases 0, matrices uniform with variance 1 / inputs. */
function writeStartValues(parameters: Arena): void {
  const random = randomSource(7);
  for (const { name, shape } of parameters.entries) {
    const tensor = parameters.get(name);
    const [, inputs] = shape;
    const value = (): number => (inputs ? Math.sqrt(3 / inputs) * (2 * random() - 1) : name.endsWith("weight") ? 1 : 0);
    parameters.device.write(tensor, Float32Array.from({ length: tensor.size }, value));
  }
}

/** Logits of the class token, the first row of each image. */
function classify(parameters: Arena, tokenRows: Tensor, { depth, heads, tokens, batch }: VitShape): Tensor {
  const dense = (x: Tensor, name: string, options: { residual?: Tensor; activation?: "gelu" } = {}): Tensor =>
    linear(x, parameters.get(`${name}.weight`), { bias: parameters.get(`${name}.bias`), ...options });
  const norm = (x: Tensor, name: string): Tensor =>
    layerNorm(x, { weight: parameters.get(`${name}.weight`), bias: parameters.get(`${name}.bias`) });
  let x = tokenRows;
  for (let i = 0; i < depth; i++) {
    const qkv = dense(norm(x, `${i}.norm1`), `${i}.qkv`);
    const mixed = attention(qkv, { heads, segments: [{ firstRow: 0, batch, tokens }] });
    x = dense(mixed, `${i}.project`, { residual: x });
    const hidden = dense(norm(x, `${i}.norm2`), `${i}.expand`, { activation: "gelu" });
    x = dense(hidden, `${i}.contract`, { residual: x });
  }
  const first = Uint32Array.from({ length: batch }, (_, i) => i * tokens);
  const classTokens = gather(norm(x, "norm"), parameters.device.tensor(first, [batch], "u32"));
  return dense(classTokens, "head");
}
