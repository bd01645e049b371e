/** Milliseconds that one piece of work may keep others waiting: a new connection waits for four of them. */
const SLICE_MS = 3;

/** Awaited between the parts of long work: lets others in once it has worked for a while. */
export function inSlices(elapsed: () => number = () => performance.now()): () => Promise<void> | undefined {
  let began = elapsed();
  return () => {
    if (elapsed() - began < SLICE_MS) return undefined;
    return new Promise((resolve) =>
      setImmediate(() => {
        began = elapsed();
        resolve();
      }),
    );
  };
}
