import { storeConformance } from './conformance.ts';
import { storeFolder } from './folder.ts';

storeConformance('SQLite', async () => {
  const data = storeFolder();
  return {
    store: await data.open(),
    reopen: () => data.open(),
    remove: () => data[Symbol.asyncDispose](),
  };
});
