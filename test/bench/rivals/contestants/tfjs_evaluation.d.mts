export interface ProbeWork {
  readonly rates: readonly number[];
  readonly classes: number;
  readonly features: readonly {
    readonly source: string;
    readonly columns: readonly [from: number, to: number];
    /** `[width, rates * classes]` */
    readonly weight: Float32Array;
  }[];
}

export interface KMeansWork {
  readonly rows: number;
  readonly columns: number;
  readonly data: Float32Array;
  readonly start: Float32Array;
  readonly clusters: number;
  readonly iterations: number;
}

export interface Rival {
  readonly adapter: string;
  readonly errors: string[];
  probe(work: ProbeWork): {
    update(rows: ReadonlyMap<string, Float32Array>, labels: Int32Array): Promise<Float32Array>;
  };
  kMeans(work: KMeansWork): { run(): Promise<{ readonly assignment: Int32Array; readonly centroids: Float32Array }> };
}

export function open(): Promise<Rival>;
