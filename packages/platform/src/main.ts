/**
 * The composition root: the only file that builds things and hands rooms to one another. It opens the store, then what
 * stands on it, then the listeners; and closes them in the reverse order.
 */
import { chmodSync, existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { createVerifier } from '@onbehalf/access';
import { modelConfigRefOf } from '@onbehalf/resources';
import { authenticateClient, TokenExchangeError } from '@onbehalf/token-exchange';
import { pino } from 'pino';
import { tellAddress } from './address-file.ts';
import { placeSocket } from './admin-socket.ts';
import { chainHash, createAudit } from './audit/index.ts';
import { rememberWitness, witnessNote, witnessOf } from './audit-witness.ts';
import type { Config } from './config.ts';
import { createControl } from './control/index.ts';
import { createEgress } from './egress/index.ts';
import { createApp, createAuthenticator, createReadiness, createRoutes, loginPages } from './http/index.ts';
import { createIssuer, type Issuer } from './issuer/index.ts';
import { createLimits } from './limits/index.ts';
import { createLogin, type Login, loginIssuerOf } from './login/index.ts';
import { createModels, ModelError } from './models/index.ts';
import {
  cookiePrefixOf,
  createTickets,
  createUsers,
  followPrincipals,
  keepHouse,
  LOCAL_ADMIN,
} from './people/index.ts';
import {
  authorizeTarget,
  createPolicy,
  createSharedSecrets,
  createTrustedIssuers,
  followRevocations,
  missingTools,
  type Presence,
  resolveModel,
  resolveTools,
} from './policy/index.ts';
import { portHolder } from './port-holder.ts';
import { createDeclarativeExecutor, createRuntime } from './runtime/index.ts';
import { fixedFacts, listLitellmModels, refuseEmptied, secretWarnings } from './start-checks.ts';
import { StartError } from './start-error.ts';
import { createRegistry, openSqliteStore } from './store/index.ts';
import { clientConfigOf, createTools } from './tools/index.ts';
import { nameInstallation, openVault } from './vault/index.ts';

export const VERSION = '0.1.0';
const DRAIN_MS = 25_000;

export interface Platform {
  url: string;
  adminSocket: string;
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
    const database = join(config.dataDir, 'onbehalf.db');
    const begun = refuseEmptied(database, config.keyFile);
    const store = await openSqliteStore({ path: database, chain: chainHash });
    closers.push(() => store.close());
    const { installation } = await fixedFacts(store, config.publicUrl, begun);
    const vault = await openVault({
      store,
      keyFile: config.keyFile,
      readEnv: config.readEnv,
      allowedFilePrefixes: config.allowedFilePrefixes,
    });
    closers.push(() => vault.close());
    const told: string[] = [];
    if (!nameInstallation(config.keyFile, installation))
      told.push(
        `${config.keyFile} cannot be written, so it does not say what has begun with it: a lost database starts anew`,
      );
    const witness = witnessOf(config, installation);
    rememberWitness(config.dataDir, config.auditWitness);
    const audit = await createAudit({
      store,
      signer: await vault.signer('audit'),
      keyedHash: vault.keyedHash,
      ...(witness && { witness }),
    });
    closers.push(() => audit.close());
    const witnessed = witnessNote(witness, audit.witness);
    if (witnessed !== undefined) told.push(witnessed);
    for (const note of told) log.warn(note);
    const egress = createEgress({ privateNetworks: config.privateNetworks });
    closers.push(() => egress.close());
    const registry = await createRegistry(store);
    closers.push(() => registry.close());

    const principals = await followPrincipals(store);
    closers.push(() => principals.close());
    const policy = createPolicy({ registry, principals, issuer: config.publicUrl, now });
    closers.push(() => policy.close());
    vault.attach(audit, (writer, secret) => {
      const principal = policy.principalOf(writer);
      // What is read from outside is no resource that a grant could name.
      if (secret.uid === 'env' || secret.uid === 'file') return principal.role === 'ADMIN';
      return policy.decide(principal, 'use', { kind: 'Secret', uid: secret.uid }).effect === 'allow';
    });
    const noteError = (room: string) => (error: unknown) =>
      log.error(
        {
          name: error instanceof Error ? error.name : 'unknown',
          message: error instanceof Error ? error.message : '',
        },
        room,
      );
    const limits = createLimits({ settings: config.limits, trustedProxies: config.trustedProxies });
    const cookiePrefix = cookiePrefixOf(installation);
    const users = createUsers({ store, audit, principals, now, issuer: config.publicUrl });
    // The first look comes with the start itself.
    let judged: (uids: Iterable<string>) => void = () => undefined;
    const sharedSecrets = createSharedSecrets({
      registry,
      credentials: vault.credentials,
      fileOf: ({ file, env }) => file ?? (env === undefined ? undefined : config.secretFiles[env]),
      now,
    });
    closers.push(sharedSecrets.close);
    const trusted = createTrustedIssuers({
      registry,
      egress,
      sharedSecrets,
      embedded: config.publicUrl,
      loginOf: (resource) =>
        loginIssuerOf(resource, { credentials: vault.credentials, clientConfigOf, authenticateClient }),
      onProblem: (name, problem) => log.warn({ name, problem }, 'an issuer is not trusted'),
      onChange: (name) => verifier.reload(name).catch(() => undefined),
      onJudged: (uids) => judged(uids),
    });
    closers.push(() => trusted.close());
    const issuer: Issuer = await createIssuer({
      ...{ publicUrl: config.publicUrl, cookiePrefix, store, vault, audit, registry, egress, principals, limits, now },
      trustedIssuers: trusted.list,
      authorizeTarget: (question) => authorizeTarget({ registry, policy }, question),
      // The two ask one another, each only when a request comes.
      endpoint: (path) => login.endpoint(path),
      onError: noteError('issuer'),
    });
    closers.push(() => issuer.close());
    const verifier = createVerifier({
      issuers: () => [issuer.config(), ...trusted.list()],
      fetch: egress.fetch as typeof globalThis.fetch,
      principals,
      now,
    });
    closers.push(() => verifier.close());
    const login: Login = createLogin({
      ...{ embedded: issuer, verifier, cookiePrefix, store, vault, audit, egress, principals, now },
      trustedIssuers: trusted.list,
      loginIssuers: trusted.logins,
      over: (why) => new TokenExchangeError('user_token_required', why),
    });
    const tickets = createTickets({ store, principals, session: login.sessions.byHash, now });
    const house = keepHouse({ store, now, work: issuer.maintain, onError: noteError('housekeeping') });
    closers.push(() => house.close());

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
      platform: issuer.platform,
      installation,
      settings: config.tokenExchange,
      now,
      isAdministrator: (principal) => policy.principalOf(principal).role === 'ADMIN',
      onProblem: noteError('tools'),
    });
    closers.push(() => tools.close());
    const runtime = await createRuntime({
      store,
      registry,
      audit,
      tools,
      now,
      toolPolicy: {
        bound: (agent) => resolveTools(agent, registry, policy.writerMayUse),
        missing: (agent) => missingTools(agent, registry, policy.writerMayUse),
      },
      modelOf: (agent) => resolveModel(agent, registry, policy.writerMayUse),
      budget: { turnsRunning: () => limits.most('turnsRunning') },
      onProblem: noteError('turns'),
      soleHolder: true,
      executors: {
        Declarative: createDeclarativeExecutor({
          modelFor({ agent }) {
            if (!config.modelsEnabled) throw new ModelError('model_disabled', 'models are switched off on this server');
            const ref = modelConfigRefOf(agent.spec);
            const model = resolveModel(agent, registry, policy.writerMayUse);
            if (!model)
              throw new ModelError(
                'model_not_found',
                ref ? `there is no ModelConfig ${ref.name}` : 'the agent refers to no ModelConfig',
              );
            const { prices } = model.spec;
            return { client: models.client(model), model: model.spec.model, ...(prices && { prices }) };
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
        }),
      },
    });
    closers.push(() => runtime.close());
    closers.push(followRevocations({ store, registry, policy, principals, tools, runtime }));

    const people = {
      knows: (iss: string, subject: string) => principals.lookup(iss, subject) !== undefined,
      onChange: principals.onChange,
    };
    const control = createControl({
      people,
      ...{
        store,
        registry,
        audit,
        vault,
        policy,
        now,
        issuerProblem: trusted.problemOf,
        issuerNotice: trusted.noticeOf,
      },
      embedded: { issuer: issuer.issuer, doorAudiences: issuer.platform.doorAudiences },
      onError: noteError('conditions'),
    });
    closers.push(() => control.close());
    judged = control.look;
    const litellmModel =
      config.litellmBaseUrl === undefined
        ? undefined
        : (config.litellmModel ?? (await listLitellmModels(egress, config)));
    const made = { config, audiences: issuer.config().audiences, litellmModel };
    const notes = [...secretWarnings(config), ...(await control.writeEnvironment(LOCAL_ADMIN, made))];
    await trusted.settled();
    await control.reconcile();

    const presence: Presence = { session: login.sessions.byHash, verifier, principals, now };
    const authenticator = createAuthenticator({
      ...{ publicUrl: config.publicUrl, limits, verifier, login, tickets, users, policy, registry, runtime, now },
    });
    const doors = {
      limits,
      store,
      registry,
      audit,
      vault,
      policy,
      models,
      tools,
      runtime,
      control,
      presence,
      log,
      now,
    };
    const routes = createRoutes({
      ...{ ...doors, authenticator, tickets, users, sessions: login.sessions, keyedHash: vault.keyedHash },
      ...{ modelsEnabled: config.modelsEnabled, loginLinks: issuer.loginLinks },
      ...{ issuer: issuer.issuer, issuerCounts: issuer.counts },
    });
    const readiness = createReadiness({ store, now });
    const app = {
      readiness,
      ...{ ...doors, authenticator, routes, keyedHash: vault.keyedHash },
      ...{ publicUrl: config.publicUrl, version: VERSION, consoleDir: consoleFolder() },
      pages: [issuer.handle, loginPages({ publicUrl: config.publicUrl, sessions: login.sessions, control, log })],
    };

    const socket = placeSocket(config.dataDir, config.runtimeDir);
    closers.push(socket.remove);
    const adminSocket = socket.path;
    const local = await createApp(app, 'local');
    await local.app.listen({ path: adminSocket });
    chmodSync(adminSocket, 0o600);
    closers.push(() => local.app.close());
    const tcp = await createApp(app, 'tcp');
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
    closers.push(tellAddress(config.dataDir, config.publicUrl));
    return {
      url: config.publicUrl,
      adminSocket,
      notes: [...notes, ...told, ...(socket.note === undefined ? [] : [socket.note])],
      async close() {
        readiness.drain();
        tcp.closeSockets();
        await runtime.drain(DRAIN_MS);
        await closeAll();
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
