import type { SubjectSource } from '@onbehalf/token-exchange';

/** Why another token is needed, and what the issuer wants to be asked for it (OpenID Connect Core 1.0 section 5.5). */
export interface AuthWanted {
  reason: string;
  claimsChallenge?: string;
}

export interface TurnSubjectOptions {
  subject: SubjectSource | undefined;
  signal: AbortSignal;
  /** The turn is about to wait: stored before anyone is told. */
  onWait(wanted: AuthWanted): Promise<void>;
  /** Another token is there. */
  onResume(): Promise<void>;
}

/**
 * Whose token a turn exchanges. When it has run out, every call that needs it waits here for the next one of the same
 * principal, and for nobody else's; calls that need no person go on.
 */
export class TurnSubject {
  readonly #options: TurnSubjectOptions;
  #source: SubjectSource | undefined;
  #waiting: { resume(): void; promise: Promise<void> } | undefined;

  constructor(options: TurnSubjectOptions) {
    this.#options = options;
    this.#source = options.subject;
  }

  get source(): SubjectSource | undefined {
    return this.#source;
  }

  /** Whether another token is waited for. */
  get waits(): boolean {
    return this.#waiting !== undefined;
  }

  /** Resolves when there is another token than `failed`; rejects when the turn ends before. */
  async next(failed: SubjectSource, wanted: AuthWanted): Promise<void> {
    if (this.#source !== failed) return;
    this.#waiting ??= this.#begin(wanted);
    await this.#waiting.promise;
  }

  /**
   * False: it is not waited for, is another person's, or (`unless` it was brought on purpose) is of the very login that
   * has just failed.
   */
  offer(next: SubjectSource, onPurpose: boolean): boolean {
    const waiting = this.#waiting;
    const { principal, loginSession } = this.#source ?? {};
    const same = principal?.issuer === next.principal.issuer && principal.subject === next.principal.subject;
    if (waiting === undefined || !same) return false;
    if (!onPurpose && next.loginSession === loginSession) return false;
    this.#source = next;
    this.#waiting = undefined;
    waiting.resume();
    return true;
  }

  #begin(wanted: AuthWanted) {
    const { signal, onWait, onResume } = this.#options;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const aborted = () => reject(signal.reason);
    signal.addEventListener('abort', aborted, { once: true });
    const told = onWait(wanted);
    const whole = told
      .then(() => promise)
      .then(onResume)
      .finally(() => signal.removeEventListener('abort', aborted));
    // Nobody may be left to hear of it.
    promise.catch(() => undefined);
    whole.catch(() => undefined);
    return { resume: resolve, promise: whole };
  }
}
