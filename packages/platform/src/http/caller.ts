import type { Principal } from '@onbehalf/access';
import type { SecretValue } from '@onbehalf/secret-value';
import type { SubjectSource } from '@onbehalf/token-exchange';

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
