import { Arena, type Tensor } from "../../engine/index.ts";
import {
  ContrastiveHead,
  type HeadConfig,
  headCounters,
  headParameters,
  headStatistics,
} from "../methods/refine/head.ts";
import { NeighbourQueue } from "../methods/refine/queue.ts";
import { goldenBounds } from "./bounds.ts";
import type { GoldenCase } from "./fixture.ts";

/** A head in the state that a variant stores. */
export async function loadHead(golden: GoldenCase, variant: string): Promise<ContrastiveHead> {
  const hyper = golden.json.get("hyper");
  const config: HeadConfig = {
    inputWidth: hyper.get("input_dim").number(),
    projectorWidth: hyper.get("proj_hidden_dim").number(),
    predictorWidth: hyper.get("pred_hidden_dim").number(),
    outputWidth: hyper.get("output_dim").number(),
    queueLength: hyper.get("queue_size").number(),
    projectorHiddenLayers: hyper.get("proj_hidden_layers").number(),
    predictorHiddenLayers: hyper.get("pred_hidden_layers").number(),
  };
  const { device } = golden;
  const head = new ContrastiveHead(
    config,
    new Arena(device, "head", headParameters(config)),
    new Arena(device, "head statistics", headStatistics(config)),
    new Arena(device, "head counters", headCounters(config), "u32"),
    new NeighbourQueue(device, config.queueLength, config.outputWidth),
  );
  const before = `${variant}/before/`;
  for (const stored of golden.names(before)) {
    const name = stored.slice(before.length);
    if (isQueueName(name)) await writeQueue(golden, head.queue.state[name], stored);
    else if (head.parameters.has(name)) device.write(head.parameters.get(name), await golden.floats(stored));
    else if (head.statistics.has(name)) device.write(head.statistics.get(name), await golden.floats(stored));
    else device.write(head.batches.get(name), Uint32Array.from(await golden.integers(stored)));
  }
  return head;
}

/** Queue and batch norms after the call. */
export async function checkStateAfter(golden: GoldenCase, variant: string, head: ContrastiveHead): Promise<void> {
  const after = `${variant}/after/`;
  for (const stored of golden.names(after)) {
    const name = stored.slice(after.length);
    if (name.endsWith("num_batches_tracked")) {
      await golden.compare(stored, await head.batches.get(name).read(), goldenBounds.exact);
    } else if (isQueueName(name)) {
      await golden.compare(
        stored,
        await head.queue.state[name].read(),
        name === "queue.x" ? goldenBounds.forward : goldenBounds.exact,
      );
    } else await golden.compare(stored, await head.statistics.get(name).read(), goldenBounds.forward);
  }
}

function isQueueName(name: string): name is keyof NeighbourQueue["state"] {
  return /^queue\.(x|idx|cls|age|ptr)$/.test(name);
}

/** Queue state from a stored tensor of floats or integers. */
export async function writeQueue(golden: GoldenCase, target: Tensor, stored: string): Promise<void> {
  if (target.dtype === "f32") golden.device.write(target, await golden.floats(stored));
  else if (target.dtype === "u32") golden.device.write(target, Uint32Array.from(await golden.integers(stored)));
  else golden.device.write(target, Int32Array.from(await golden.integers(stored)));
}
