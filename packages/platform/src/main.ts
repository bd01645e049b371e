/**
 * The composition root: the only file that builds things and hands rooms to one another. It opens the store, then what
 * stands on it, then the listeners; and closes them in the reverse order.
 */
import { chmodSync, existsSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { bindingsOf, modelConfigRefOf } from '@onbehalf/resources';
import { pino } from 'pino';
import { chainHash, createAudit, fileWitness } from './audit/index.ts';
import type { Config } from './config.ts';
import { createEgress } from './egress/index.ts';
import {
  createApp,
  createPolicy,
  createReconciler,
  createTrustedIssuers,
  type Services,
  writeEnvironment,
} from './http/index.ts';
import { createIdentity, type Identity } from './issuer/index.ts';
import { createModels, ModelError } from './models/index.ts';
import { followRevocations } from './policy/revocations.ts';
import { portHolder } from './port-holder.ts';
import { createDeclarativeExecutor, createRuntime, resolveModel, resolveTools } from './runtime/index.ts';
import { fixedFacts, listLitellmModels } from './start-checks.ts';
import { StartError } from './start-error.ts';
import { createRegistry, openSqliteStore, type Stored } from './store/index.ts';
import { createTools } from './tools/index.ts';
import { openVault } from './vault/index.ts';

export const VERSION = '0.1.0';
const DRAIN_MS = 25_000;

export interface Platform {
  url: string;
  adminSocket: string;
  services: Services;
  /** Lines for the person who started it. */
  notes: readonly string[];
  close(): Promise<void>;
}

export async function startPlatform(config: Config): Promise<Platform> {
  const now = Date.now;
  makeDataDir(config.dataDir);
  const closers: (() => unknown)[] = [];
  const closeAll = async () => {
    for (const close of closers.reverse()) await close();
    closers.length = 0;
  };
  try {
    const log = pino(
      { level: config.logLevel, redact: { paths: ['*.authorization', '*.cookie', '*.token'], censor: '[secret]' } },
      pino.destination(2),
    );
    const store = await openSqliteStore({ path: join(config.dataDir, 'onbehalf.db'), chain: chainHash });
    closers.push(() => store.close());
    const { installation } = await fixedFacts(store, config.publicUrl);
    const vault = await openVault({
      store,
      keyFile: config.keyFile,
      readEnv: config.readEnv,
      allowedFilePrefixes: config.allowedFilePrefixes,
    });
    closers.push(() => vault.close());
    const audit = await createAudit({
      store,
      signer: await vault.signer('audit'),
      keyedHash: vault.keyedHash,
      ...(config.auditWitness !== undefined && { witness: fileWitness(config.auditWitness) }),
    });
    closers.push(() => audit.close());
    const egress = createEgress({ privateNetworks: config.privateNetworks });
    closers.push(() => egress.close());
    const registry = await createRegistry(store);
    closers.push(() => registry.close());

    let identity: Identity | undefined;
    const policy = createPolicy({ registry, now, identity: () => identity });
    closers.push(policy.close);
    let trusted: ReturnType<typeof createTrustedIssuers> | undefined;
    identity = await createIdentity({
      publicUrl: config.publicUrl,
      installation,
      store,
      vault,
      audit,
      registry,
      egress,
      trustedIssuers: () => trusted?.list() ?? [],
      loginIssuers: () => trusted?.logins() ?? [],
      onError: (error) =>
        log.error(
          {
            name: error instanceof Error ? error.name : 'unknown',
            message: error instanceof Error ? error.message : '',
          },
          'identity',
        ),
      authorizeTarget({ subject, agent, server, chain }) {
        const actors = [agent, ...chain].map(({ uid }) => registry.byUid(uid));
        // Without a person the agent asks for itself: then only what it is bound to counts.
        const mayRun = (uid: string) =>
          subject === undefined ||
          policy.decide(policy.principalOf(subject), 'run', { kind: 'Agent', uid }).effect === 'allow';
        if (
          !actors.every(
            (found) => found?.kind === 'Agent' && found.spec.enabled !== false && mayRun(found.metadata.uid),
          )
        )
          return false;
        const [acting, above] = actors as [Stored<'Agent'>, Stored<'Agent'> | undefined];
        if (server)
          return resolveTools(acting, registry, policy.writerMayUse).some(
            (tool) => tool.server?.metadata.uid === server.uid,
          );
        return (
          above === undefined ||
          bindingsOf(above.spec).some(
            (binding) =>
              binding.agent &&
              registry.get('Agent', binding.agent.namespace ?? above.metadata.namespace, binding.agent.name)?.metadata
                .uid === agent.uid,
          )
        );
      },
    });
    closers.push(() => identity?.close());
    const known = identity;
    closers.push(known.principals.onChange(() => policy.refresh()));
    vault.attach(audit, (writer, secret) => {
      const principal = policy.principalOf(writer);
      // What is read from outside is no resource that a grant could name.
      if (secret.uid === 'env' || secret.uid === 'file') return principal.role === 'ADMIN';
      return policy.decide(principal, 'use', { kind: 'Secret', uid: secret.uid }).effect === 'allow';
    });
    trusted = createTrustedIssuers({
      registry,
      egress,
      credentials: vault.credentials,
      embedded: known.issuerConfig,
      onProblem: (name, problem) => log.warn({ name, problem }, 'an issuer is not trusted'),
      onChange: (name) => void known.verifier.reload(name).catch(() => undefined),
    });
    closers.push(() => trusted?.close());

    const models = createModels({
      egress,
      credentials: vault.credentials,
      lastWriter: (uid) => registry.byUid(uid)?.writer,
    });
    const tools = createTools({
      registry,
      audit,
      egress,
      credentials: vault.credentials,
      platform: known.platform,
      installation,
      settings: config.tokenExchange,
      now,
      isAdministrator: (principal) => policy.principalOf(principal).role === 'ADMIN',
    });
    closers.push(() => tools.close());
    const runtime = await createRuntime({
      store,
      registry,
      audit,
      tools,
      now,
      mayUse: policy.writerMayUse,
      soleHolder: true,
      executors: {
        Declarative: createDeclarativeExecutor(({ agent }) => {
          if (!config.modelsEnabled) throw new ModelError('model_disabled', 'models are switched off on this server');
          const ref = modelConfigRefOf(agent.spec);
          const model = resolveModel(agent, registry, policy.writerMayUse);
          if (!model)
            throw new ModelError(
              'model_not_found',
              ref ? `there is no ModelConfig ${ref.name}` : 'the agent refers to no ModelConfig',
            );
          return { client: models.client(model), model: model.spec.model };
        }),
      },
      async systemMessage(agent) {
        const { systemMessage, systemMessageFrom } = agent.spec.declarative ?? {};
        if (!systemMessageFrom) return systemMessage ?? '';
        const { value } = await vault.credentials.open(systemMessageFrom.secretRef, {
          kind: 'Agent',
          uid: agent.metadata.uid,
          ...(agent.metadata.namespace !== undefined && { namespace: agent.metadata.namespace }),
          ...(agent.writer && { writer: agent.writer }),
        });
        return value.reveal();
      },
    });
    closers.push(() => runtime.close());
    closers.push(followRevocations(store, registry, policy, tools, runtime, known.principals));

    const services: Services = {
      config,
      log,
      now,
      store,
      registry,
      audit,
      vault,
      identity: known,
      models,
      tools,
      runtime,
      policy,
      version: VERSION,
      consoleDir: consoleFolder(),
    };
    const litellmModel =
      config.litellmBaseUrl === undefined
        ? undefined
        : (config.litellmModel ?? (await listLitellmModels(egress, config)));
    const notes = await writeEnvironment(services, litellmModel);
    await trusted.settled();
    const reconciler = createReconciler(services);
    closers.push(() => reconciler.close());
    await reconciler.run();

    const adminSocket = join(config.dataDir, 'admin.sock');
    const local = await createApp(services, 'local');
    rmSync(adminSocket, { force: true });
    await local.app.listen({ path: adminSocket });
    chmodSync(adminSocket, 0o600);
    closers.push(() => local.app.close());
    const tcp = await createApp(services, 'tcp');
    closers.push(() => tcp.app.close());
    await tcp.app.listen({ host: config.host, port: config.port }).catch((cause: unknown) => {
      const busy = (cause as { code?: string }).code === 'EADDRINUSE';
      if (!busy) throw cause;
      const holder = portHolder(config.port);
      throw new StartError(
        'port_in_use',
        `port ${config.port} is in use${holder === undefined ? '' : ` by ${holder}`}: stop it, or start with --port`,
      );
    });
    return {
      url: config.publicUrl,
      adminSocket,
      services,
      notes,
      async close() {
        tcp.closeSockets();
        await runtime.drain(DRAIN_MS);
        await closeAll();
        rmSync(adminSocket, { force: true });
      },
    };
  } catch (error) {
    await closeAll().catch(() => undefined);
    throw error;
  }
}

function makeDataDir(dataDir: string): void {
  try {
    mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  } catch (cause) {
    throw new StartError('data_dir', `${dataDir} cannot be written: choose another with ONBEHALF_DATA_DIR`, { cause });
  }
}

/** The console is built into its package; without it the API still serves. */
function consoleFolder(): string | undefined {
  const folder = join(import.meta.dirname, '..', '..', 'console', 'dist');
  return existsSync(join(folder, 'index.html')) ? folder : undefined;
}
