import { EngineError } from "../../engine/index.ts";

/** Training went wrong in a way that more updates will not mend. */
export class CollapseError extends EngineError {}
