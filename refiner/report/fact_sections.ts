import { type Fact, factList, formatNumber, formatPercent, table } from "./html.ts";
import { knnStates } from "./knn_section.ts";
import type { RunRecord } from "./report_data.ts";

/** The few numbers to see first. */
export function headlines(run: RunRecord): string {
  const { data } = run;
  const facts: Fact[] = [...neighbourFacts(run), ...trainingFacts(run)];
  const seconds = data.timings.reduce((sum, one) => sum + one.seconds, 0);
  if (seconds > 0) facts.push(["Time", formatDuration(seconds), String(data.device.name ?? "")]);
  return factList(facts);
}

function neighbourFacts({ metrics }: RunRecord): Fact[] {
  const { before, after } = knnStates(metrics.knn);
  const last = (of: typeof before): number => of?.accuracy.at(-1) ?? Number.NaN;
  const best = (of: typeof before): number => (of ? Math.max(...of.accuracy) : Number.NaN);
  if (before && !after)
    return [["k-NN before, last block", formatPercent(last(before)), `best block ${formatPercent(best(before))}`]];
  if (!before || !after) return [];
  return [
    [
      "k-NN, last block",
      formatPercent(last(after)),
      `before ${formatPercent(last(before))}, ${points(last(after) - last(before))}`,
    ],
    [
      "k-NN, best block",
      formatPercent(best(after)),
      `before ${formatPercent(best(before))}, ${points(best(after) - best(before))}`,
    ],
  ];
}

/** What the loss of a training of one stage is. */
const singleStages: Readonly<Record<string, { readonly name: string; readonly loss: string }>> = {
  finetune: { name: "fine-tuning", loss: "cross-entropy" },
  pretrain: { name: "pre-training", loss: "mean squared error" },
};

function trainingFacts({ metrics, config }: RunRecord): Fact[] {
  const { updates, tests } = metrics;
  const facts: Fact[] = [];
  const test = tests.at(-1);
  if (test) facts.push([`Top-1, epoch ${test.epoch}`, formatPercent(test.accuracy), `${test.images} test images`]);
  const stages = ([2, 3] as const).map((stage) => updates.filter((line) => line.stage === stage).length);
  const isRefinement = updates.some(({ stage }) => stage > 1);
  const single = singleStages[config.command === "finetune" ? "finetune" : "pretrain"];
  const name = isRefinement ? `stage 2: ${stages[0]}, stage 3: ${stages[1]}` : (single?.name ?? "");
  if (updates.length > 0) facts.push(["Updates", String(updates.length), name]);
  const loss = updates.at(-1)?.loss;
  if (loss !== undefined)
    facts.push(["Loss, last update", formatNumber(loss), isRefinement ? "sum over the heads" : (single?.loss ?? "")]);
  return facts;
}

/** Device, timings and planned memory. */
export function machineSection({ data, metrics }: RunRecord): string {
  const { device, timings, memoryPlan } = data;
  const parts: string[] = [];
  const named = Object.entries(device).map(([name, value]) => [name, String(value)]);
  if (named.length > 0) parts.push(table({ caption: "Device", columns: ["property", "value"], rows: named }));
  if (timings.length > 0) {
    const rows = timings.map(({ name, seconds }) => [name, formatDuration(seconds)]);
    parts.push(table({ caption: "Timings", columns: ["part", "time"], rows }));
  }
  if (memoryPlan.length > 0) {
    const rows = memoryPlan.map(({ name, bytes }) => [name, formatMebibytes(bytes)]);
    parts.push(table({ caption: "Planned device memory", columns: ["part", "size"], rows }));
  }
  const line = metrics.updates.at(-1);
  const measured = Object.entries({ "on the device": line?.deviceBytes, "on the host": line?.hostBytes }).flatMap(
    ([name, bytes]) => (bytes === undefined ? [] : [[name, formatMebibytes(bytes)]]),
  );
  if (measured.length > 0)
    parts.push(table({ caption: "Memory at the last update", columns: ["where", "size"], rows: measured }));
  if (parts.length === 0) return `<p class="soft">The run has stored nothing about its machine.</p>`;
  return `<div class="charts">${parts.map((part) => `<div class="card">${part}</div>`).join("")}</div>`;
}

/** Every key of `config.json`, nested ones with dots. */
export function configurationSection(config: Readonly<Record<string, unknown>>): string {
  const rows = flattened(config);
  if (rows.length === 0) return `<p class="soft">The run has no config.json.</p>`;
  return `<div class="card">${table({ caption: "Resolved configuration (config.json)", columns: ["key", "value"], rows })}</div>`;
}

function flattened(value: Readonly<Record<string, unknown>>, path = ""): string[][] {
  return Object.entries(value).flatMap(([key, entry]) => {
    const name = path === "" ? key : `${path}.${key}`;
    const isFolder = typeof entry === "object" && entry !== null && !Array.isArray(entry);
    if (isFolder) return flattened(Object.fromEntries(Object.entries(entry)), name);
    return [[name, typeof entry === "string" ? entry : JSON.stringify(entry)]];
  });
}

function points(difference: number): string {
  const value = (100 * difference).toFixed(1);
  return `${difference >= 0 ? "+" : "−"}${value.replace("-", "")} points`;
}

function formatDuration(seconds: number): string {
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

function formatMebibytes(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(1)} MiB`;
}
