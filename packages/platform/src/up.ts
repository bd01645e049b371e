/** Starts a server in this process: reads the configuration, builds the platform, says what happened. */
import { type Config, loadConfig } from './config.ts';
import { startPlatform } from './main.ts';

export { type Config, ConfigError, loadConfig } from './config.ts';
export { explainStart } from './explain-start.ts';
export { type Platform, VERSION } from './main.ts';
export { StartError } from './start-error.ts';

export interface UpOptions {
  flags: { port?: number; host?: string; dataDir?: string; publicUrl?: string };
  configFile?: string;
  env: Record<string, string | undefined>;
  print(line: string): void;
  signal?: AbortSignal;
}

export interface Running {
  url: string;
  dataDir: string;
  adminSocket: string;
  close(): Promise<void>;
}

/** @throws {ConfigError | StartError | StoreError | VaultError} each with a message for the operator; see `explainStart` */
export async function up(options: UpOptions): Promise<Running> {
  const config: Config = loadConfig({ flags: options.flags, env: options.env, file: options.configFile });
  const platform = await startPlatform(config);
  for (const note of platform.notes) options.print(note);
  let closing: Promise<void> | undefined;
  const close = () => {
    closing ??= platform.close();
    return closing;
  };
  // Whoever closes it hears how that went.
  options.signal?.addEventListener('abort', () => close().catch(() => undefined), { once: true });
  return { url: platform.url, dataDir: config.dataDir, adminSocket: platform.adminSocket, close };
}
