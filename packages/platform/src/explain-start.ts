import { ConfigError } from './config.ts';
import { StartError } from './start-error.ts';
import { StoreError } from './store/index.ts';
import { VaultError } from './vault/index.ts';

/** One line for the operator, or nothing where the error is none that a person can act on. */
export function explainStart(error: unknown): string | undefined {
  if (error instanceof ConfigError) return error.problems.map((problem) => `configuration: ${problem}`).join('\n');
  if (error instanceof StoreError || error instanceof VaultError)
    return error.repair === undefined ? error.message : `${error.message}\n${error.repair}`;
  if (error instanceof StartError) return error.message;
  return undefined;
}
