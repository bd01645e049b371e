/**
 * Control: writing of resources. A write is planned, permitted, checked beside what is there, and stored as one unit with
 * its audit lines; what follows from other resources (conditions, what a Grant is bound to) is kept up to date; and what
 * the environment says is written like anything else. It never writes a part of what was asked, never shows a secret, and
 * never decides by itself who may do what.
 */
export { again, isMoved } from './again.ts';
export { type Control, createControl } from './control.ts';
export { litellmBase } from './environment.ts';
export { ControlError, type ControlErrorCode } from './error.ts';
export type { Placed, WriteOptions } from './placed.ts';
export type { Writer } from './ports.ts';
