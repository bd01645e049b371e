import type { PrincipalName } from './types.ts';

/** Who somebody is, without what they may and how they came. */
export const refOf = ({ issuer, subject }: PrincipalName) => ({ issuer, subject });
