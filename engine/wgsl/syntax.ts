// The tree of a kernel's text: WGSL (W3C, "WebGPU Shading Language") as far as kernels use it. Every name is resolved and every
// expression carries its type, so that what walks the tree (a rewriting, an interpreter) needs no rules of its own.

/** Where a piece of text begins and ends, as offsets of characters. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

/** Abstract numbers are those of literals without suffix; they become another type by a {@link Convert} only. */
export type ScalarName = "bool" | "i32" | "u32" | "f32" | "f16" | "abstract-int" | "abstract-float";

export interface ScalarType {
  readonly kind: "scalar";
  readonly name: ScalarName;
}

export interface VectorType {
  readonly kind: "vector";
  readonly size: 2 | 3 | 4;
  readonly element: ScalarType;
}

/** `columns` vectors of `rows` elements. */
export interface MatrixType {
  readonly kind: "matrix";
  readonly columns: 2 | 3 | 4;
  readonly rows: 2 | 3 | 4;
  readonly element: ScalarType;
}

export interface ArrayType {
  readonly kind: "array";
  readonly element: Type;
  /** Absent: as many as the binding holds. It may use overrides. */
  readonly length?: Expression;
}

export interface AtomicType {
  readonly kind: "atomic";
  readonly element: ScalarType;
}

export interface StructType {
  readonly kind: "struct";
  readonly name: string;
  readonly fields: readonly { readonly name: string; readonly type: Type }[];
}

/** Of `&x`, which only atomics and `arrayLength` take. */
export interface PointerType {
  readonly kind: "pointer";
  readonly target: Type;
}

/** Of a function that returns nothing, and of its call. */
export interface VoidType {
  readonly kind: "void";
}

export type Type = ScalarType | VectorType | MatrixType | ArrayType | AtomicType | StructType | PointerType | VoidType;

export type BinaryOperator =
  | "+"
  | "-"
  | "*"
  | "/"
  | "%"
  | "=="
  | "!="
  | "<"
  | "<="
  | ">"
  | ">="
  | "&&"
  | "||"
  | "&"
  | "|"
  | "^"
  | "<<"
  | ">>";

interface Node extends Span {
  /** Line of the text, from 1. */
  readonly line: number;
}

interface Typed extends Node {
  readonly type: Type;
}

export interface Literal extends Typed {
  readonly kind: "literal";
  readonly value: number | boolean;
}

/** The value (or, on the left of an assignment, under `&` and under an index or member, the place) of what was declared. */
export interface Name extends Typed {
  readonly kind: "name";
  readonly name: string;
  readonly declaration: ValueDeclaration;
}

/** `-`, `!`, `~`; `&` gives a pointer. */
export interface Unary extends Typed {
  readonly kind: "unary";
  readonly operator: "-" | "!" | "~" | "&";
  readonly operand: Expression;
}

/** Operands have equal types, or one is a vector and the other its element, or one is a matrix, or it is a shift. */
export interface Binary extends Typed {
  readonly kind: "binary";
  readonly operator: BinaryOperator;
  readonly left: Expression;
  readonly right: Expression;
}

/** `base[index]` of an array, a vector or a matrix (a column). */
export interface Index extends Typed {
  readonly kind: "index";
  readonly base: Expression;
  readonly index: Expression;
}

/** `base.field` of a struct. */
export interface Field extends Typed {
  readonly kind: "field";
  readonly base: Expression;
  readonly name: string;
}

/** `base.xyz`: elements of a vector by their places; one place gives a scalar. */
export interface Swizzle extends Typed {
  readonly kind: "swizzle";
  readonly base: Expression;
  readonly places: readonly number[];
}

/** A call of a function of the text. */
export interface FunctionCall extends Typed {
  readonly kind: "call";
  readonly callee: FunctionDeclaration;
  readonly arguments: readonly Expression[];
}

/** A call of a function of the language. `bitcast` has its target as `type`. */
export interface BuiltinCall extends Typed {
  readonly kind: "builtin";
  readonly name: string;
  readonly arguments: readonly Expression[];
}

/** `vec4f(…)`, `f32(…)`, `Place(…)`, `array<f32, 4>(…)`: the value of `type` made of the arguments; without any it is zero. */
export interface Construct extends Typed {
  readonly kind: "construct";
  readonly arguments: readonly Expression[];
}

/** An abstract value (exact, or in f64) becomes one of the type; it has no text of its own. */
export interface Convert extends Typed {
  readonly kind: "convert";
  readonly operand: Expression;
}

export type Expression =
  | Literal
  | Name
  | Unary
  | Binary
  | Index
  | Field
  | Swizzle
  | FunctionCall
  | BuiltinCall
  | Construct
  | Convert;

/** `const`, `let` and `override`: a value. An override's may be replaced by name when a pipeline is made. */
export interface ConstantDeclaration extends Typed {
  readonly kind: "const" | "let" | "override";
  readonly name: string;
  /** Absent for an override without a default only. */
  readonly value?: Expression;
}

export type AddressSpace = "function" | "private" | "workgroup" | "uniform" | "storage";

/** `var`. Those of the space `function` belong to an invocation of their function and are zero without `value`. */
export interface VariableDeclaration extends Typed {
  readonly kind: "var";
  readonly name: string;
  readonly space: AddressSpace;
  readonly access: "read" | "read_write";
  /** Of uniform and storage, in group 0. */
  readonly binding?: number;
  readonly value?: Expression;
}

export interface Parameter extends Typed {
  readonly kind: "parameter";
  readonly name: string;
  /** `workgroup_id` and the like, of parameters of entry points. */
  readonly builtin?: string;
}

export type ValueDeclaration = ConstantDeclaration | VariableDeclaration | Parameter;

export interface FunctionDeclaration extends Node {
  readonly kind: "function";
  readonly name: string;
  readonly parameters: readonly Parameter[];
  readonly result: Type;
  readonly body: Block;
  /** Of an entry point (`@compute`): one to three sizes, which may use overrides. */
  readonly workgroupSize?: readonly Expression[];
  /** Of an entry point whose subgroups have to have this size (`@subgroup_size`). */
  readonly subgroupSize?: Expression;
}

export interface Block extends Node {
  readonly kind: "block";
  readonly statements: readonly Statement[];
}

export interface Declare extends Node {
  readonly kind: "declare";
  readonly declaration: ConstantDeclaration | VariableDeclaration;
}

/** `target = value`, or with an operator `target += value`. The target is absent for `_ = value`. */
export interface Assign extends Node {
  readonly kind: "assign";
  readonly target?: Expression;
  readonly operator?: BinaryOperator;
  readonly value: Expression;
}

/** `target++` and `target--` of whole numbers. */
export interface Increment extends Node {
  readonly kind: "increment";
  readonly target: Expression;
  readonly by: 1 | -1;
}

export interface CallStatement extends Node {
  readonly kind: "call-statement";
  readonly call: FunctionCall | BuiltinCall;
}

export interface If extends Node {
  readonly kind: "if";
  readonly condition: Expression;
  readonly then: Block;
  readonly otherwise?: If | Block;
}

/** `for`; also `while` (without first and step) and `loop` (without condition, too). */
export interface For extends Node {
  readonly kind: "for";
  readonly first?: Statement;
  readonly condition?: Expression;
  readonly step?: Statement;
  readonly body: Block;
}

export interface Switch extends Node {
  readonly kind: "switch";
  readonly selector: Expression;
  readonly clauses: readonly {
    /** Constant expressions; empty: the default alone. */
    readonly values: readonly Expression[];
    readonly isDefault: boolean;
    readonly body: Block;
  }[];
}

export interface Return extends Node {
  readonly kind: "return";
  readonly value?: Expression;
}

export interface Jump extends Node {
  readonly kind: "break" | "continue";
}

export type Statement = Block | Declare | Assign | Increment | CallStatement | If | For | Switch | Return | Jump;

/** A whole text. Aliases are resolved: types name what they stand for. */
export interface Module {
  readonly text: string;
  /** Names of `enable` lines. */
  readonly extensions: readonly string[];
  readonly structs: readonly StructType[];
  readonly constants: readonly ConstantDeclaration[];
  readonly variables: readonly VariableDeclaration[];
  readonly functions: readonly FunctionDeclaration[];
}
