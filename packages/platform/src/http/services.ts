import type { Action, Decision, DecisionContext, DecisionResource, PolicyTable, Principal } from '@onbehalf/access';
import type { SecretValue } from '@onbehalf/secret-value';
import type { SubjectSource } from '@onbehalf/token-exchange';
import type { Logger } from 'pino';
import type { Audit } from '../audit/index.ts';
import type { Config } from '../config.ts';
import type { Identity } from '../issuer/index.ts';
import type { Models } from '../models/index.ts';
import type { Runtime, WriterMayUse } from '../runtime/index.ts';
import type { Registry, Store } from '../store/index.ts';
import type { Tools } from '../tools/index.ts';
import type { Vault } from '../vault/index.ts';

/** Everything that the doors use. Built by main. */
export interface Services {
  config: Config;
  log: Logger;
  now: () => number;
  store: Store;
  registry: Registry;
  audit: Audit;
  vault: Vault;
  identity: Identity;
  models: Models;
  tools: Tools;
  runtime: Runtime;
  policy: Policy;
  /** Folder of the built console, if it is there. */
  consoleDir: string | undefined;
  version: string;
}

/** The policy table in force, swapped whole. */
export interface Policy {
  table(): PolicyTable;
  decide(
    principal: Principal,
    action: Action,
    resource: DecisionResource,
    context?: Partial<DecisionContext>,
  ): Decision;
  /** Called after each swap, and when a principal changed. */
  onChange(listener: () => void): () => void;
  /** Remembers what a verified token said of somebody, until it ends: their groups are known from nothing else. */
  note(principal: Principal): void;
  /** Somebody who is not on the line at the moment, as they are known now. */
  principalOf(ref: { issuer: string; subject: string }): Principal;
  writerMayUse: WriterMayUse;
  /** A principal whose token was verified a while ago, as they are known now. */
  current(principal: Principal): Principal;
}

/** Who somebody is, without what they may and how they came. */
export const refOf = ({ issuer, subject }: { issuer: string; subject: string }) => ({ issuer, subject });

/** An authenticated caller of one request. */
export interface Caller {
  principal: Principal;
  subject: SubjectSource | undefined;
  /** Cookie sessions: what unsafe requests must repeat. */
  csrf?: string;
  loginSession?: string;
  cookie?: SecretValue;
  address: string;
}
