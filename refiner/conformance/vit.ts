import { CheckpointError } from "../../engine/files/index.ts";
import { cast, mul, type Outputs, recordProgram, reshape, slice, sum, type Tensor } from "../../engine/index.ts";
import { type EncodedTokens, segmentTokens, VisionTransformer, type VitConfig, vitConfig } from "../../models/index.ts";
import { modelBounds } from "./bounds.ts";
import type { GoldenCase, GoldenCheck } from "./fixture.ts";

/** A pre-norm or post-norm ViT: every stage of the forward pass, all gradients, other resolutions. */
export const vitCase: GoldenCheck = {
  run: checkVit,
  inputs: {
    tensors: /^(weights\/.+|input|R|other\/[^/]+\/input)$/,
    keys: /^(hyper\..+|batch|other_resolutions)$/,
  },
};

async function checkVit(golden: GoldenCase): Promise<void> {
  golden.json.expect({ batch: golden.shape("input")[0] });
  const model = await loadVit(golden, golden.has("weights/embed_norm.weight") ? "postnorm" : "prenorm");
  await checkForwardAndGradients(golden, model);
  for (const resolution of golden.json.get("other_resolutions").texts())
    await checkResolution(golden, model, resolution);
}

async function loadVit(golden: GoldenCase, kind: VitConfig["kind"]): Promise<VisionTransformer> {
  const hyper = golden.json.get("hyper");
  hyper.expect({ qkv_bias: true, gelu: "erf", drop_path_rate: 0 });
  const [channels = 3, heightPixels = 0, widthPixels = 0] = hyper.get("input_shape").numbers();
  const config = vitConfig({
    kind,
    patchPixels: hyper.get("patch_size").number(),
    width: hyper.get("dim").number(),
    blocks: hyper.get("depth").number(),
    heads: hyper.get("num_heads").number(),
    mlpWidth: hyper.get("mlp_hidden_dim").number(),
    classTokens: hyper.get("num_cls_tokens").number(),
    epsilon: hyper.get("eps").number(),
    channels,
    heightPixels,
    widthPixels,
  });
  const model = new VisionTransformer(golden.device, config);
  for (const name of model.parameters.tensors.keys()) {
    golden.device.write(model.parameters.get(name), await golden.floats(`weights/${name}`));
  }
  golden.device.write(model.positions, await golden.floats("weights/pos_embed.embed"));
  return model;
}

async function checkForwardAndGradients(golden: GoldenCase, model: VisionTransformer): Promise<void> {
  const parameters = [...model.parameters.tensors];
  const recorded = recordProgram<Outputs>(golden.device, (p) => {
    const input = p.input("input", golden.shape("input"));
    const weights = p.input("R", golden.shape("R"));
    const observed: Record<string, Tensor> = {};
    const encoded = model.forward(input, {
      precision: golden.precision,
      observe: (name, value) => {
        observed[`outputs/${name}`] = cast(value, "f32");
      },
    });
    const final = cast(segmentTokens(encoded, 0), "f32");
    const objective = sum(mul(final, weights));
    const targets = [input, ...parameters.map(([, tensor]) => tensor)];
    const names = ["input", ...parameters.map(([name]) => name)].map((name) => `grads/${name}`);
    const gradients = p.gradients(objective, targets);
    return {
      ...observed,
      "outputs/pos_added": patchPositions(encoded, observed["outputs/embedded"], model.config),
      "outputs/final": final,
      objective,
      ...Object.fromEntries(gradients.map((gradient, i) => [names[i] ?? "", gradient])),
    };
  });
  const stored = golden.names().filter((name) => name.startsWith("outputs/") || name.startsWith("grads/"));
  const inputs = { input: await golden.floats("input"), R: await golden.floats("R") };
  const values = await (await recorded.run(inputs, [...stored, "objective"])).read();
  const bounds = modelBounds(golden.precision, model.config.blocks);
  for (const name of stored) {
    if (name.startsWith("grads/")) await golden.compareGradient(name, values[name] ?? [], bounds.gradient);
    else await golden.compare(name, values[name] ?? [], bounds.forward);
  }
  golden.addScalar(golden.json.get("scalar", "objective"), values.objective?.[0] ?? Number.NaN, bounds.forward);
  recorded.destroy();
}

async function checkResolution(golden: GoldenCase, model: VisionTransformer, resolution: string): Promise<void> {
  const at = `other/${resolution}`;
  const recorded = recordProgram<Outputs>(
    golden.device,
    (p) => {
      let embedded: Tensor | undefined;
      const encoded = model.forward(p.input("input", golden.shape(`${at}/input`)), {
        precision: golden.precision,
        observe: (name, value) => {
          if (name === "embedded") embedded = cast(value, "f32");
        },
      });
      return {
        pos_added: patchPositions(encoded, embedded, model.config),
        final: cast(segmentTokens(encoded, 0), "f32"),
      };
    },
    { inference: true },
  );
  const values = await (
    await recorded.run({ input: await golden.floats(`${at}/input`) }, ["pos_added", "final"])
  ).read();
  const bounds = modelBounds(golden.precision, model.config.blocks);
  await golden.compare(`${at}/pos_added`, values.pos_added, bounds.forward);
  await golden.compare(`${at}/final`, values.final, bounds.forward);
  recorded.destroy();
}

/** Patch tokens of the assembled sequence, without the class tokens. */
function patchPositions(encoded: EncodedTokens, embedded: Tensor | undefined, config: VitConfig): Tensor {
  const [segment] = encoded.segments;
  if (!embedded || !segment) throw new CheckpointError("missing", "golden: the model reported no embedded tokens");
  const { batch, tokens } = segment;
  return slice(reshape(embedded, [batch, tokens, config.width]), [undefined, [config.classTokens, tokens], undefined]);
}
