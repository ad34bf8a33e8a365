import { InertRecord, PickleDict, PickleSet, type PickleValue } from "./pickle_values.ts";

type Members = readonly (readonly [name: string, value: PickleValue])[];

function textEntries(value: PickleValue | undefined): Members {
  const entries = value instanceof PickleDict ? [...value.entries] : [];
  return entries.flatMap(([key, item]) => (typeof key === "string" ? [[key, item] as const] : []));
}

/**
 * The parts of a whole `torch.nn.Module` that was saved instead of its state dictionary, or of an archive of TorchScript: parameters,
 * buffers, modules within it, and attributes that are plain values. Joined by dots, the names are those of the state dictionary.
 *
 * @returns undefined for anything else
 */
export function moduleMembers(value: PickleValue): Members | undefined {
  if (!(value instanceof InertRecord && value.state instanceof PickleDict)) return undefined;
  // Lists of numbers beside the tensors are results of functions, without attributes.
  if (value.global.startsWith("__torch__."))
    return textEntries(value.state).filter(([, item]) => !(item instanceof InertRecord && item.state === null));
  const attributes = new Map(textEntries(value.state));
  const [parameters, modules] = [attributes.get("_parameters"), attributes.get("_modules")];
  if (!(parameters instanceof PickleDict && modules instanceof PickleDict)) return undefined;
  const unsaved = attributes.get("_non_persistent_buffers_set");
  const isUnsaved = new Set(unsaved instanceof PickleSet ? unsaved.items : []);
  return [
    ...textEntries(parameters),
    ...textEntries(attributes.get("_buffers")).filter(([name]) => !isUnsaved.has(name)),
    ...textEntries(modules),
    ...[...attributes].filter(([name, item]) => !name.startsWith("_") && (item === null || typeof item !== "object")),
  ].filter(([, item]) => item !== null);
}
