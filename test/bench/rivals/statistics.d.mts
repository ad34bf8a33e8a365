export function quantile(values: number[], q: number): number;
export function median(values: number[]): number;
export function geometricMean(values: number[]): number;
export function meanOfMedians(works: number[][]): { mean: number; low: number; high: number } | undefined;
