/**
 * People: who is known here, local users and their passwords, the deny list, one-time tickets, and what was used once
 * and is not good again. It follows the change log, so that every verification can ask it. It never judges a token,
 * never decides what somebody may do, and keeps no password or ticket that could be read back.
 */
export { createAttempts, type PasswordTry } from './attempts.ts';
export { cookiePrefixOf } from './cookie-prefix.ts';
export { denial, deniedBy, notBefore, sidUntil } from './deny-list.ts';
export { PeopleError, type PeopleErrorCode } from './error.ts';
export { hashOf } from './hash-of.ts';
export { keepHouse } from './housekeeping.ts';
export { LOCAL_ADMIN, localAdmin } from './local-admin.ts';
export { followPrincipals } from './principals.ts';
export { refOf } from './ref-of.ts';
export { createTickets } from './tickets.ts';
export type * from './types.ts';
export { replayOf, spend, type UsedAssertion, useOnce } from './used-assertions.ts';
export { createUsers } from './users.ts';
