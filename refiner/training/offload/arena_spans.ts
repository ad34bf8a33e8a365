import type { Arena } from "../../../engine/index.ts";
import { arenaBlockElements } from "../../../engine/index.ts";

/** Elements `from … to` of a chunk of an arena. */
export interface ChunkRange {
  readonly chunk: number;
  readonly from: number;
  readonly to: number;
}

/** Elements that follow each other in two arenas alike. */
export interface Span {
  /** In the arena of all tensors. */
  readonly whole: ChunkRange;
  /** In that of some of them. */
  readonly part: ChunkRange;
}

/**
 * What two arenas have in common: as few runs of whole blocks as their layouts allow, one per chunk where they are the same.
 *
 * @param part - holds some of the tensors of `whole`, in their order
 * @throws OptionError for a tensor that `whole` does not have
 */
export function sharedSpans(whole: Arena, part: Arena): Span[] {
  const spans: Span[] = [];
  for (const { name } of part.entries) {
    const [there, here] = [rangeOf(whole, name), rangeOf(part, name)];
    const last = spans.at(-1);
    if (last && follows(last.whole, there) && follows(last.part, here))
      spans[spans.length - 1] = {
        whole: { ...last.whole, to: there.to },
        part: { ...last.part, to: here.to },
      };
    else spans.push({ whole: there, part: here });
  }
  return spans;
}

/** The elements of a range from one to another, counted from its beginning. */
export function within({ chunk, from }: ChunkRange, first: number, end: number): ChunkRange {
  return { chunk, from: from + first, to: from + end };
}

function rangeOf(arena: Arena, name: string): ChunkRange {
  const { chunk, firstBlock, blocks } = arena.placeOf(name);
  return { chunk, from: firstBlock * arenaBlockElements, to: (firstBlock + blocks) * arenaBlockElements };
}

function follows(before: ChunkRange, after: ChunkRange): boolean {
  return before.chunk === after.chunk && before.to === after.from;
}
