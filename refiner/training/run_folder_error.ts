import { EngineError } from "../../engine/index.ts";

/** A run folder that another process works in, or that was taken away while a run wrote into it. */
export class RunFolderError extends EngineError {}
