/** One line of the table. Times are CPU microseconds per unit unless the name says otherwise. */
export interface Line {
  measure: string;
  ours: string;
  reference: string;
  ratio: number | undefined;
  target: string;
}

/** CPU microseconds per call of `work`, user and system together. */
export async function cpuPer(count: number, work: () => unknown): Promise<number> {
  const before = process.cpuUsage();
  for (let index = 0; index < count; index++) await work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / count;
}

/** The same for work that never waits. */
export function cpuPerSync(count: number, work: () => unknown): number {
  const before = process.cpuUsage();
  for (let index = 0; index < count; index++) work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / count;
}

/** Ours and the reference in turn, several rounds in one run, medians: absolute rates vary, ratios hold. */
export async function inTurn(
  rounds: number,
  ours: () => Promise<number>,
  reference: () => Promise<number>,
): Promise<{ ours: number; reference: number; ratio: number }> {
  const measured: [number, number][] = [];
  await ours();
  await reference();
  for (let round = 0; round < rounds; round++) measured.push([await ours(), await reference()]);
  return {
    ours: median(measured.map(([own]) => own)),
    reference: median(measured.map(([, other]) => other)),
    ratio: median(measured.map(([own, other]) => own / other)),
  };
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

export const micros = (value: number) => `${value < 10 ? value.toFixed(2) : value.toFixed(0)} µs`;
