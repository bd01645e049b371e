import { hash } from 'node:crypto';

/** What is kept of an id or a code of 256 random bits, which needs no more than a hash. */
export const hashOf = (value: string): string => hash('sha256', value, 'base64url');
