import { ValidationError } from "../core/errors.ts";
import { parseModule } from "../wgsl/parse_module.ts";
import type { ConstantDeclaration, Expression, FunctionDeclaration, Module, ValueDeclaration } from "../wgsl/syntax.ts";
import { CodeScope } from "./code_scope.ts";
import { expressionCode } from "./expression_code.ts";
import { runtime } from "./runtime.ts";
import { blockCode } from "./statement_code.ts";

/** Words of a bound buffer. */
export interface Memory {
  readonly f: Float32Array;
  readonly i: Int32Array;
  readonly u: Uint32Array;
  /** In bytes. */
  readonly size: number;
}

/** A kernel that runs on the CPU, in the arithmetic of WGSL: every operation of f32 rounds once. */
export interface InterpretedKernel {
  /** Runs all workgroups in turn. @param bound - what lies at each binding. @throws ValidationError for an index outside its array */
  run(bound: ReadonlyMap<number, Memory>, workgroups: readonly [number, number, number]): void;
}

/**
 * Translates a kernel to JavaScript. Invocations of a workgroup run one after the other up to the next barrier.
 *
 * @param constants - values of overrides by name
 * @throws WgslError for what the interpreter does not know (f16, subgroups); what has no one result on all adapters (`exp`) is refused
 *   where a kernel comes to it. EvalError in a page whose policy forbids code that is made there
 */
export function compileKernel(
  text: string,
  entryPoint: string,
  constants: Readonly<Record<string, number>> = {},
): InterpretedKernel {
  const module = parseModule(text);
  const entry = module.functions.find(({ name }) => name === entryPoint);
  if (!entry?.workgroupSize)
    throw new ValidationError(
      `interpreter: there is no entry point ${entryPoint}; expected ${module.functions
        .filter(({ workgroupSize }) => workgroupSize)
        .map(({ name }) => name)
        .join(", ")}`,
    );
  for (const name of Object.keys(constants))
    if (!module.constants.some((one) => one.kind === "override" && one.name === name))
      throw new ValidationError(`interpreter: ${entryPoint} has no override ${name}; give those that it declares`);
  const made: unknown = new Function("R", "F", "I", javaScriptOf(module, entry, constants))(
    runtime,
    Math.fround,
    Math.imul,
  );
  if (!isKernel(made)) throw new ValidationError(`interpreter: ${entryPoint} came to nothing`);
  return made;
}

function isKernel(made: unknown): made is InterpretedKernel {
  return typeof made === "object" && made !== null && "run" in made;
}

/** The body of a function that gives the kernel. */
function javaScriptOf(module: Module, entry: FunctionDeclaration, constants: Readonly<Record<string, number>>): string {
  const scope = new CodeScope(module);
  const code = (one: Expression): string => expressionCode(one, scope);
  const lengthOf = code;
  const { variables } = module;
  const buffers = variables.filter(({ space }) => space === "storage" || space === "uniform");
  const shared = variables.filter(({ space }) => space === "workgroup");
  const own = variables.filter(({ space }) => space === "private");
  const values = inOrder(module).map((one) => `const ${scope.nameOf(one)}=${constantCode(one, scope, constants)};`);
  const functions = module.functions.map((one) => functionCode(one, scope));
  const privateValues = own.map(
    (one) => `${scope.nameOf(one)}:${one.value ? code(one.value) : scope.zero(one.type, lengthOf)}`,
  );
  const sizes = [0, 1, 2].map((axis) => (entry.workgroupSize?.[axis] ? code(entry.workgroupSize[axis]) : "1"));
  const given = [`{${privateValues.join(",")}}`, ...entry.parameters.map(({ builtin }) => builtinValue(builtin))];
  const call = `${scope.nameOf(entry)}(${given.join(",")})`;
  const body = [
    ...values,
    ...buffers.map((one) => `let ${scope.nameOf(one)};`),
    ...shared.map((one) => `let ${scope.nameOf(one)};`),
    ...functions,
    `const sizes=[${sizes.join(",")}],lanes=sizes[0]*sizes[1]*sizes[2];`,
    `const local=Array.from({length:lanes},(_,i)=>[i%sizes[0],(i/sizes[0]|0)%sizes[1],i/(sizes[0]*sizes[1])|0]);`,
    `const start=(lane,group,counts)=>${call};`,
    `const begin=()=>{${shared.map((one) => `${scope.nameOf(one)}=${scope.zero(one.type, lengthOf)};`).join("")}};`,
    `const bind=(bound)=>{${buffers.map((one) => `${scope.nameOf(one)}=bound.get(${one.binding});`).join("")}};`,
    `return {run(bound,counts){bind(bound);R.runAll(lanes,counts,begin,start);}};`,
  ];
  return [...scope.helpers, ...body].join("\n");
}

function functionCode(one: FunctionDeclaration, scope: CodeScope): string {
  const parameters = ["L", ...one.parameters.map((parameter) => scope.nameOf(parameter))].join(",");
  return `function${scope.waits(one) ? "*" : ""} ${scope.nameOf(one)}(${parameters})${blockCode(one.body, scope)}`;
}

function constantCode(one: ConstantDeclaration, scope: CodeScope, constants: Readonly<Record<string, number>>): string {
  const given = one.kind === "override" && Object.hasOwn(constants, one.name) ? constants[one.name] : undefined;
  if (given === undefined) {
    if (one.value) return expressionCode(one.value, scope);
    throw new ValidationError(`interpreter: the override ${one.name} has no value; give one`);
  }
  const { type } = one;
  if (type.kind !== "scalar") throw new ValidationError(`interpreter: the override ${one.name} is no scalar`);
  if (type.name === "bool") return String(given !== 0);
  return type.name === "f32" ? `F(${given})` : String(given);
}

/** Constants so that each stands behind those that it needs. */
function inOrder({ constants }: Module): ConstantDeclaration[] {
  const ordered = new Set<ConstantDeclaration>();
  const add = (one: ConstantDeclaration): void => {
    if (ordered.has(one)) return;
    if (one.value) for (const needed of namesIn(one.value)) if (isConstant(needed, constants)) add(needed);
    ordered.add(one);
  };
  constants.forEach(add);
  return [...ordered];
}

function isConstant(one: ValueDeclaration, constants: readonly ConstantDeclaration[]): one is ConstantDeclaration {
  return constants.some((other) => other === one);
}

function namesIn(expression: Expression): ValueDeclaration[] {
  switch (expression.kind) {
    case "name":
      return [expression.declaration];
    case "literal":
      return [];
    case "unary":
    case "convert":
      return namesIn(expression.operand);
    case "binary":
      return [...namesIn(expression.left), ...namesIn(expression.right)];
    case "index":
      return [...namesIn(expression.base), ...namesIn(expression.index)];
    case "field":
    case "swizzle":
      return namesIn(expression.base);
    default:
      return expression.arguments.flatMap(namesIn);
  }
}

/** Of invocation `lane` in workgroup `group` of `counts`. */
function builtinValue(builtin: string | undefined): string {
  switch (builtin) {
    case "local_invocation_id":
      return "local[lane]";
    case "local_invocation_index":
      return "lane";
    case "workgroup_id":
      return "group";
    case "num_workgroups":
      return "counts";
    case "global_invocation_id":
      return "[0,1,2].map((axis)=>group[axis]*sizes[axis]+local[lane][axis])";
    default:
      throw new ValidationError(
        `interpreter: it has no ${builtin ?? "value for a parameter of an entry point"}; use a variant without subgroups`,
      );
  }
}
