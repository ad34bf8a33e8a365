import { z } from "zod";

/** The part of JSON Schema (draft 2020-12) that settings use. */
export type SettingType = z.core.JSONSchema._JSONSchema;

/** The type of each setting of a schema, in its order. */
export function settingTypes(schema: z.ZodObject): Readonly<Record<string, SettingType>> {
  return z.toJSONSchema(schema, { io: "input", unrepresentable: "any" }).properties ?? {};
}

/** What a setting, or an element of it, takes, in words: `a whole number of at least 1`. */
export function expectationAt(schema: z.ZodObject, [key, element]: readonly PropertyKey[]): string {
  if (key === undefined) return "values by name, such as { batch: 256 }";
  const type = settingTypes(schema)[String(key)] ?? true;
  return expectation(typeof element === "number" ? elementType(type, element) : type);
}

function elementType(type: SettingType, index: number): SettingType {
  if (typeof type === "boolean") return type;
  const { prefixItems, items } = type;
  const found = prefixItems?.[index] ?? (Array.isArray(items) ? items[index] : items);
  return found ?? true;
}

function expectation(type: SettingType): string {
  if (typeof type === "boolean") return "another value";
  if (type.anyOf) return type.anyOf.map(expectation).join(", or ");
  if (type.const !== undefined) return String(type.const);
  if (type.enum) return `one of ${type.enum.join(", ")}`;
  if (type.type === "integer" || type.type === "number") return numberExpectation(type);
  if (type.type === "array") return listExpectation(type);
  return type.type === "boolean" ? "true or false" : `a ${type.type ?? "value"}`;
}

function numberExpectation(type: Exclude<SettingType, boolean>): string {
  const name = type.type === "integer" ? "a whole number" : "a number";
  // Whole numbers have the range of safe integers where nothing else is said.
  const least = type.minimum === Number.MIN_SAFE_INTEGER ? undefined : type.minimum;
  const most = type.maximum === Number.MAX_SAFE_INTEGER ? undefined : type.maximum;
  if (least !== undefined && most !== undefined) return `${name} from ${least} to ${most}`;
  const limits = [
    least === undefined ? [] : [`of at least ${least}`],
    type.exclusiveMinimum === undefined ? [] : [`above ${type.exclusiveMinimum}`],
    most === undefined ? [] : [`of at most ${most}`],
    type.exclusiveMaximum === undefined ? [] : [`below ${type.exclusiveMaximum}`],
  ].flat();
  return [name, limits.join(" and ")].join(" ").trimEnd();
}

function listExpectation(type: Exclude<SettingType, boolean>): string {
  const { minItems = 0, maxItems } = type;
  const count = minItems === maxItems ? `${minItems}` : minItems > 0 ? `at least ${minItems}` : "any number";
  return `a list of ${count}, each ${expectation(elementType(type, 0))}`;
}
