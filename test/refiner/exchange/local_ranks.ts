import type { Exchange, Route } from "../../../refiner/exchange/exchange.ts";

/** Bytes that a rank handed to an exchange, by what they were. */
export interface Handed {
  /** Gradients. */
  sums: number;
  /** Sent to owners, or received from them. */
  features: number;
  control: number;
  /** Kinds in the order of their calls. */
  calls: string[];
}

type Floats = Float32Array<ArrayBuffer>;

/** Ranks within one process that meet at each call: exchanges without a launcher. Each sum is made in the order of the ranks. */
export function localRanks(size: number): {
  readonly exchanges: readonly Exchange[];
  readonly handed: readonly Handed[];
} {
  const meeting = new Meeting(size);
  const handed = Array.from({ length: size }, (): Handed => ({ sums: 0, features: 0, control: 0, calls: [] }));
  const exchanges = handed.map((count, rank) => exchangeOf(meeting, rank, count));
  return { exchanges, handed };
}

function exchangeOf(meeting: Meeting, rank: number, count: Handed): Exchange {
  const { size } = meeting;
  const meet = <T>(kind: string, value: T): Promise<readonly T[]> => {
    count.calls.push(kind);
    return meeting.meet(kind, rank, value);
  };
  return {
    rank,
    size,
    async sum(values: Floats) {
      count.sums += values.byteLength;
      const all = await meet("sum", values.slice());
      values.forEach((_, i) => {
        values[i] = all.reduce((total, other) => Math.fround(total + (other[i] ?? 0)), 0);
      });
    },
    async gather(part: Floats, owner: number) {
      if (rank !== owner) count.features += part.byteLength;
      const parts = await meet(`gather ${owner}`, part.slice());
      return rank === owner ? Float32Array.from(parts.flatMap((values) => [...values])) : undefined;
    },
    async scatter(length: number, owner: number, all?: Floats) {
      if (rank !== owner) count.features += 4 * length;
      const given = await meet(`scatter ${owner}`, all?.slice());
      return given[owner]?.slice(rank * length, (rank + 1) * length) ?? new Float32Array(length);
    },
    async deal(all: Floats) {
      count.sums += all.byteLength;
      const given = await meet("deal", all.slice());
      const length = all.length / size;
      return Float32Array.from(given.flatMap((values) => [...values.subarray(rank * length, (rank + 1) * length)]));
    },
    async spread(part: Floats) {
      count.sums += part.byteLength;
      return Float32Array.from((await meet("spread", part.slice())).flatMap((values) => [...values]));
    },
    async share(text: string) {
      count.control += text.length;
      return meet("share", text);
    },
    async pass(bytes: Uint8Array<ArrayBuffer>, route: Route) {
      if (route.from === route.to || ![route.from, route.to].includes(rank)) return;
      const letters = meeting.letters(`${route.from} to ${route.to}`);
      if (rank === route.from) letters.send(bytes.slice());
      else bytes.set(await letters.receive());
    },
  };
}

/** Where all ranks wait for each other. */
class Meeting {
  #arrived = new Map<number, { readonly kind: string; readonly value: unknown }>();
  #done = deferred<void>();
  readonly #letters = new Map<string, Letters>();

  constructor(readonly size: number) {}

  /** @throws Error where the ranks came for different things */
  async meet<T>(kind: string, rank: number, value: T): Promise<readonly T[]> {
    const arrived = this.#arrived;
    const done = this.#done;
    arrived.set(rank, { kind, value });
    if (arrived.size === this.size) {
      this.#arrived = new Map();
      this.#done = deferred();
      const kinds = new Set([...arrived.values()].map((one) => one.kind));
      if (kinds.size > 1) done.reject(new Error(`ranks met for ${[...kinds].join(" and ")}`));
      else done.resolve();
    }
    await done.promise;
    return Array.from({ length: this.size }, (_, i) => arrived.get(i)?.value as T);
  }

  letters(route: string): Letters {
    const known = this.#letters.get(route) ?? new Letters();
    this.#letters.set(route, known);
    return known;
  }
}

/** What one rank sends to another, in order. */
class Letters {
  readonly #sent: Uint8Array[] = [];
  readonly #awaited: Deferred<Uint8Array>[] = [];

  send(bytes: Uint8Array): void {
    const awaited = this.#awaited.shift();
    if (awaited) awaited.resolve(bytes);
    else this.#sent.push(bytes);
  }

  async receive(): Promise<Uint8Array> {
    const bytes = this.#sent.shift();
    if (bytes) return bytes;
    const coming = deferred<Uint8Array>();
    this.#awaited.push(coming);
    return coming.promise;
  }
}

interface Deferred<T> {
  readonly promise: Promise<T>;
  readonly resolve: (value: T) => void;
  readonly reject: (error: Error) => void;
}

function deferred<T>(): Deferred<T> {
  let settle: Pick<Deferred<T>, "resolve" | "reject"> | undefined;
  const promise = new Promise<T>((resolve, reject) => {
    settle = { resolve, reject };
  });
  if (!settle) throw new Error("a promise calls back at once");
  return { promise, ...settle };
}
